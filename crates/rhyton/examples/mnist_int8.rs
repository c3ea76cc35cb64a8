//! What int8 costs in accuracy on MNIST: `cargo run --release --example mnist_int8 -- FOLDER`, where FOLDER holds the
//! four gzipped IDX files. The dense and the convolutional network are trained in float32 and then quantized.

use rhyton::data::{datasets, rescale};
use rhyton::prelude::*;

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "mnist".into());
    let ((x_train, y_train), (x_test, y_test)) = datasets::mnist(&folder)?;
    let pixels = |x: &Tensor| rescale(x, 1.0 / 255.0, 0.0)?.reshape([x.shape()[0], 28, 28, 1]);
    let (x_train, x_test) = (pixels(&x_train)?, pixels(&x_test)?);

    let dense = Sequential::new([28, 28, 1]).name("dense").add(Flatten::new()).add(Dense::new(64).relu());
    let cnn = Sequential::new([28, 28, 1])
        .name("cnn")
        .add(Conv2D::new(32, 3).relu())
        .add(MaxPooling2D::new(2))
        .add(Conv2D::new(32, 3).relu())
        .add(MaxPooling2D::new(2))
        .add(Flatten::new());
    for network in [dense, cnn] {
        let model = network.add(Dense::new(64).relu()).add(Dense::new(10).softmax()).build()?;
        let name = model.name();
        let loss = "sparse_categorical_crossentropy";
        let mut model = model.compile(Compile::new(Adam::new(1e-3), loss).metrics(["accuracy"]))?;
        model.fit((&x_train, &y_train), Fit::epochs(5).batch_size(32).verbose(2))?;
        let sure = |m: &Compiled| m.predict_all(&x_test, 256).map(|mut p| p.swap_remove(0));
        let silent = || Evaluate::new().batch_size(256).verbose(0);
        let (large, before) = (size(&model)?, sure(&model)?);
        println!("{name} in float32: {} ({large} bytes)", model.evaluate_with((&x_test, &y_test), silent())?);
        model.quantize("int8")?;
        let (small, after) = (size(&model)?, sure(&model)?);
        println!("{name} in int8:    {} ({small} bytes)", model.evaluate_with((&x_test, &y_test), silent())?);
        let other = (0..10_000).filter(|i| digit(&before, *i) != digit(&after, *i)).count();
        println!("{other} of 10,000 answers changed");
    }
    Ok(())
}

/// Bytes of the model's file, without an optimizer.
fn size(model: &Model) -> Result<u64> {
    let path = std::env::temp_dir().join(format!("rhyton-int8-{}.keras", std::process::id()));
    model.save(&path)?;
    let bytes = std::fs::metadata(&path).map_or(0, |m| m.len());
    std::fs::remove_file(&path).ok();
    Ok(bytes)
}

/// The most probable digit of image `i`.
fn digit(outputs: &Tensor, i: usize) -> usize {
    (0..10)
        .max_by(|a, b| outputs.data().get_f64(i * 10 + a).total_cmp(&outputs.data().get_f64(i * 10 + b)))
        .unwrap_or(0)
}
