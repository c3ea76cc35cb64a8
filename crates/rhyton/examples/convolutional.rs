//! A convolutional network reads handwritten digits: `cargo run --release --example convolutional`.

use rhyton::data::datasets;
use rhyton::prelude::*;

fn main() -> Result<()> {
    let ((x_train, y_train), (x_test, y_test)) = datasets::digits_28x28()?;

    let model = Sequential::new([28, 28, 1])
        .add(Conv2D::new(32, 3).relu())
        .add(MaxPooling2D::new(2))
        .add(Flatten::new())
        .add(Dense::new(64).relu())
        .add(Dense::new(10).softmax())
        .build()?;
    println!("{}", model.summary());

    let mut model = model
        .compile(Compile::new(Adam::new(1e-3), "sparse_categorical_crossentropy").metrics(["accuracy"]))?;
    model.fit((&x_train, &y_train), Fit::epochs(5).batch_size(32).validation((&x_test, &y_test)))?;

    let figures = model.evaluate((&x_test, &y_test))?;
    println!("{figures}");
    model.save("convolutional.keras")
}
