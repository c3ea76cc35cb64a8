//! Networks on MNIST: `cargo run --release --example mnist -- FOLDER [dense|cnn|deep]`, where FOLDER holds the four
//! gzipped IDX files. Without a name, the dense and the convolutional one; the deep one is larger, and its 3 x 3 windows
//! over 16 and 32 channels run by Winograd's way. `SEED=n` draws other initial weights and another order. The learning
//! rate falls along a cosine over the five epochs; `RATE=constant` keeps it at Adam's 0.001.
//! `DTYPE=mixed_bfloat16` computes in bfloat16.

use rhyton::data::{datasets, rescale};
use rhyton::prelude::*;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "mnist".into());
    let chosen = arguments.next();
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    if let Ok(policy) = std::env::var("DTYPE") {
        rhyton::mixed_precision::set_global_policy(&policy)?;
    }
    let ((x_train, y_train), (x_test, y_test)) = datasets::mnist(&folder)?;
    let pixels = |x: &Tensor| rescale(x, 1.0 / 255.0, 0.0)?.reshape([x.shape()[0], 28, 28, 1]);
    let (x_train, x_test) = (pixels(&x_train)?, pixels(&x_test)?);

    let dense = Sequential::new([28, 28, 1])
        .name("dense")
        .add(Flatten::new())
        .add(Dense::new(64).relu())
        .add(Dense::new(64).relu())
        .add(Dense::new(10).softmax());
    let cnn = Sequential::new([28, 28, 1])
        .name("cnn")
        .add(Conv2D::new(32, 3).relu())
        .add(MaxPooling2D::new(2))
        .add(Flatten::new())
        .add(Dense::new(64).relu())
        .add(Dense::new(10).softmax());

    let deep = Sequential::new([28, 28, 1])
        .name("deep")
        .add(Conv2D::new(16, 3).padding("same").relu())
        .add(Conv2D::new(16, 3).padding("same").relu())
        .add(MaxPooling2D::new(2))
        .add(Conv2D::new(32, 3).padding("same").relu())
        .add(Conv2D::new(32, 3).padding("same").relu())
        .add(MaxPooling2D::new(2))
        .add(Flatten::new())
        .add(Dense::new(10).softmax());

    let epochs = 5;
    let steps = epochs * x_train.shape()[0].div_ceil(32);
    let falling = CosineDecay::default().initial_learning_rate(2e-3).decay_steps(steps as f64);
    let constant = std::env::var("RATE").is_ok_and(|r| r == "constant");
    for network in [dense, cnn, deep] {
        let model = network.seed(seed).build()?;
        let name = model.name();
        if chosen.as_ref().map_or(name == "deep", |c| *c != name) {
            continue;
        }
        let optimizer = if constant { Adam::new(1e-3) } else { Adam::new(falling.clone()) };
        let loss = "sparse_categorical_crossentropy";
        let mut model = model.compile(Compile::new(optimizer, loss).metrics(["accuracy"]))?;
        model.fit((&x_train, &y_train), Fit::epochs(epochs).batch_size(32).seed(seed))?;
        println!("{name} on 10,000 test images: {}", model.evaluate((&x_test, &y_test))?);
    }
    Ok(())
}
