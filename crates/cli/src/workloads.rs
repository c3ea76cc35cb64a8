//! The networks that engines are compared on (`rhyton bench`): Keras initializers, Adam(1e-3), synthetic data.

use rhyton::nn::{Args, Cx, Layer, LayerRef, Outputs};
use rhyton::prelude::*;
use rhyton::tensor::rng::Stream;

/// One workload.
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// Builds the network.
    pub model: fn() -> Result<Model>,
    /// Sizes of a sample.
    pub sample: &'static [usize],
    /// Inputs are numbers below this one instead of normal ones.
    pub vocabulary: Option<u32>,
    /// Targets are classes below this one; numbers otherwise.
    pub classes: Option<u32>,
    /// A class at every position instead of one a sample.
    pub per_position: bool,
    /// Samples a step.
    pub batch: usize,
    /// Steps timed at once.
    pub steps: usize,
}

impl Workload {
    /// Loss and metric.
    pub fn loss(&self) -> (&'static str, &'static str) {
        match self.classes {
            Some(_) => ("sparse_categorical_crossentropy", "accuracy"),
            None => ("mse", "mae"),
        }
    }

    /// The workload of this name.
    pub fn named(name: &str) -> Result<&'static Workload> {
        WORKLOADS.iter().find(|w| w.name == name).ok_or_else(|| {
            let known: Vec<&str> = WORKLOADS.iter().map(|w| w.name).collect();
            Error::new(format!("there is no workload '{name}'")).expected(known.join(", "))
        })
    }

    /// A network, its own or one like it, with the workload's loss, optimizer and metric.
    pub fn compile(&self, model: Model) -> Result<Compiled> {
        let (loss, metric) = self.loss();
        model.compile(Compile::new(Adam::new(1e-3), loss).metrics([metric]))
    }

    /// `samples` samples and targets from a fixed seed.
    pub fn data(&self, samples: usize) -> (Tensor, Tensor) {
        let mut random = Stream::new(0, 0, 1);
        let shape: Vec<usize> = [samples].iter().chain(self.sample).copied().collect();
        let x = match self.vocabulary {
            Some(n) => Tensor::from_fn(shape.clone(), |_| random.below(n) as i32),
            None => Tensor::from_fn(shape.clone(), |_| random.normal()),
        };
        let y = match self.classes {
            Some(n) if self.per_position => Tensor::from_fn(shape, |_| random.below(n) as i32),
            Some(n) => Tensor::from_fn([samples], |_| random.below(n) as i32),
            None => Tensor::from_fn([samples, 1], |_| random.normal()),
        };
        (x, y)
    }
}

/// The workloads of the comparison, smallest first.
pub const WORKLOADS: &[Workload] = &[
    Workload { model: mlp, steps: 100, ..image("mlp", &[100]) },
    Workload { model: cnn, steps: 40, ..image("cnn", &[28, 28, 1]) },
    Workload { model: lstm, classes: None, steps: 20, ..image("lstm", &[50, 16]) },
    Workload { model: gru, classes: None, steps: 20, ..image("gru", &[50, 16]) },
    Workload { model: resnet20, batch: 64, steps: 4, ..image("resnet20", &[32, 32, 3]) },
    Workload {
        model: gpt,
        vocabulary: Some(65),
        classes: Some(65),
        per_position: true,
        batch: 12,
        steps: 10,
        ..image("gpt", &[64])
    },
    Workload { model: vgg, steps: 3, ..image("vgg", &[32, 32, 3]) },
];

const fn image(name: &'static str, sample: &'static [usize]) -> Workload {
    Workload {
        name,
        model: mlp,
        sample,
        vocabulary: None,
        classes: Some(10),
        per_position: false,
        batch: 32,
        steps: 10,
    }
}

fn mlp() -> Result<Model> {
    Sequential::new([100])
        .add(Dense::new(64).relu())
        .add(Dense::new(64).relu())
        .add(Dense::new(10).softmax())
        .build()
}

fn cnn() -> Result<Model> {
    Sequential::new([28, 28, 1])
        .add(Conv2D::new(32, 3).relu())
        .add(MaxPooling2D::new(2))
        .add(Flatten::new())
        .add(Dense::new(64).relu())
        .add(Dense::new(10).softmax())
        .build()
}

fn lstm() -> Result<Model> {
    Sequential::new([50, 16])
        .add(LSTM::new(64).return_sequences(true))
        .add(LSTM::new(64))
        .add(Dense::new(1))
        .build()
}

fn gru() -> Result<Model> {
    Sequential::new([50, 16])
        .add(GRU::new(64).return_sequences(true))
        .add(GRU::new(64))
        .add(Dense::new(1))
        .build()
}

/// ResNet-20 for CIFAR (He, Zhang, Ren and Sun, 2016).
fn resnet20() -> Result<Model> {
    let conv = |filters, kernel: usize, strides: usize| {
        let padding = if kernel == 3 { "same" } else { "valid" };
        Conv2D::new(filters, kernel).strides(strides).padding(padding).use_bias(false)
    };
    let input = Input::new([32, 32, 3]).symbolic();
    let x = BatchNormalization::new().apply(conv(16, 3, 1).apply(&input));
    let (mut x, mut channels) = (ReLU::new().apply(x), 16);
    for (filters, first) in [(16, 1), (32, 2), (64, 2)] {
        for block in 0..3 {
            let strides = if block == 0 { first } else { 1 };
            let y = BatchNormalization::new().apply(conv(filters, 3, strides).apply(&x));
            let y = conv(filters, 3, 1).apply(ReLU::new().apply(y));
            let y = BatchNormalization::new().apply(y);
            let shortcut = if channels == filters {
                x
            } else {
                BatchNormalization::new().apply(conv(filters, 1, strides).apply(&x))
            };
            x = ReLU::new().apply(Add::new().apply([&y, &shortcut]));
            channels = filters;
        }
    }
    let y = Dense::new(10).softmax().apply(GlobalAveragePooling2D::new().apply(x));
    Model::new(&[input], &[y])
}

rhyton::nn::layer! {
    /// Adds a learned vector to every position.
    struct Positions {}
}

impl Layer for Positions {
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
        let x = args.x();
        let shape = x.shape()[1..].to_vec();
        (x + cx.weight("embeddings", shape, &"uniform".into())).into()
    }
}

/// A small decoder in the manner of GPT-2: normalisation first, causal attention, a wide GELU layer.
fn gpt() -> Result<Model> {
    let norm = || LayerNormalization::new().epsilon(1e-5);
    let input = Input::new([64]).int32().symbolic();
    let mut x = LayerRef::from(Positions::default()).apply(Embedding::new(65, 128).apply(&input));
    for _ in 0..4 {
        let h = norm().apply(&x);
        let causal = rhyton::model::Inputs::from([&h, &h]).setting("use_causal_mask", true);
        x = Add::new().apply([&x, &MultiHeadAttention::new(4, 32).apply(causal)]);
        let wide = Dense::new(512).gelu().apply(norm().apply(&x));
        x = Add::new().apply([&x, &Dense::new(128).apply(wide)]);
    }
    let y = Dense::new(65).softmax().apply(norm().apply(x));
    Model::new(&[input], &[y])
}

fn vgg() -> Result<Model> {
    let mut model = Sequential::new([32, 32, 3]);
    for filters in [64, 128, 256] {
        for _ in 0..2 {
            model = model.add(Conv2D::new(filters, 3).padding("same").relu());
        }
        model = model.add(MaxPooling2D::new(2));
    }
    model.add(Flatten::new()).add(Dense::new(256).relu()).add(Dense::new(10).softmax()).build()
}
