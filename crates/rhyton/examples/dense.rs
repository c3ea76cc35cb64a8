//! A dense network reads handwritten digits: `cargo run --release --example dense`.

use rhyton::data::{datasets, resize_bilinear};
use rhyton::prelude::*;

fn main() -> Result<()> {
    let ((x_train, y_train), (x_test, y_test)) = datasets::digits()?;
    // 8x8 pixels become 10x10: 100 numbers a digit.
    let pixels = |x: &Tensor| resize_bilinear(x, 10, 10)?.reshape([x.shape()[0], 100]);
    let (x_train, x_test) = (pixels(&x_train)?, pixels(&x_test)?);

    let model = Sequential::new([100])
        .add(Dense::new(64).relu())
        .add(Dense::new(64).relu())
        .add(Dense::new(10).softmax())
        .build()?;
    println!("{}", model.summary());

    let mut model = model
        .compile(Compile::new(Adam::new(1e-3), "sparse_categorical_crossentropy").metrics(["accuracy"]))?;
    model.fit((&x_train, &y_train), Fit::epochs(20).batch_size(32).validation((&x_test, &y_test)))?;

    let figures = model.evaluate((&x_test, &y_test))?;
    println!("{figures}");
    model.save("dense.keras")
}
