//! The workloads in Burn, on its processor backend `flex`.

use burn::module::Module;
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig, generate_autoregressive_mask};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::gru::{Gru, GruConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::MaxPool2dConfig;
use burn::nn::{
    BatchNorm, BatchNormConfig, Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, Lstm,
    LstmConfig, PaddingConfig2d,
};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::activation::{gelu, relu};
use burn::tensor::{Device, Int, Tensor, TensorData};
use peers_rust::{Random, Trainer, Workload, chosen, measure};

/// A network from flat samples to scores, one row a target.
trait Net: Module + Clone + 'static {
    fn forward(&self, x: Tensor<2>) -> Tensor<2>;
}

fn main() {
    let (w, repeats) = chosen();
    let device = Device::flex().autodiff();
    let d = &device;
    let network: Box<dyn Trainer> = match w.name {
        "mlp" => train(w, Mlp { layers: [(100, 64), (64, 64), (64, 10)].map(|(i, o)| dense(i, o, d)).into() }, d),
        "cnn" => train(w, Cnn { conv: conv(1, 32, 3, 1, 0, true, d), dense: dense(5408, 64, d), out: dense(64, 10, d) }, d),
        "lstm" => train(w, Lstms { a: lstm(16, d), b: lstm(64, d), out: dense(64, 1, d) }, d),
        "gru" => train(w, Grus { a: gru(16, d), b: gru(64, d), out: dense(64, 1, d) }, d),
        "resnet20" => train(w, Resnet::new(d), d),
        "gpt" => train(w, Gpt::new(d), d),
        _ => train(w, Vgg::new(d), d),
    };
    measure("burn", w, repeats, network);
}

fn dense(inputs: usize, outputs: usize, d: &Device) -> Linear {
    LinearConfig::new(inputs, outputs).init(d)
}

fn conv(i: usize, o: usize, kernel: usize, stride: usize, pad: usize, bias: bool, d: &Device) -> Conv2d {
    let padding = PaddingConfig2d::Explicit(pad, pad, pad, pad);
    let conv = Conv2dConfig::new([i, o], [kernel, kernel]).with_stride([stride, stride]);
    conv.with_padding(padding).with_bias(bias).init(d)
}

fn lstm(inputs: usize, d: &Device) -> Lstm {
    LstmConfig::new(inputs, 64, true).init(d)
}

fn gru(inputs: usize, d: &Device) -> Gru {
    GruConfig::new(inputs, 64, true).init(d)
}

fn pool(x: Tensor<4>) -> Tensor<4> {
    MaxPool2dConfig::new([2, 2]).init().forward(x)
}

#[derive(Module, Debug)]
struct Mlp {
    layers: Vec<Linear>,
}

impl Net for Mlp {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let hidden = self.layers[..2].iter().fold(x, |x, layer| relu(layer.forward(x)));
        self.layers[2].forward(hidden)
    }
}

#[derive(Module, Debug)]
struct Cnn {
    conv: Conv2d,
    dense: Linear,
    out: Linear,
}

impl Net for Cnn {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let n = x.dims()[0];
        let x = pool(relu(self.conv.forward(x.reshape([n, 1, 28, 28]))));
        self.out.forward(relu(self.dense.forward(x.flatten(1, 3))))
    }
}

#[derive(Module, Debug)]
struct Lstms {
    a: Lstm,
    b: Lstm,
    out: Linear,
}

impl Net for Lstms {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let n = x.dims()[0];
        let (x, _) = self.a.forward(x.reshape([n, 50, 16]), None);
        let (_, last) = self.b.forward(x, None);
        self.out.forward(last.hidden)
    }
}

#[derive(Module, Debug)]
struct Grus {
    a: Gru,
    b: Gru,
    out: Linear,
}

impl Net for Grus {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let n = x.dims()[0];
        let x = self.b.forward(self.a.forward(x.reshape([n, 50, 16]), None), None);
        self.out.forward(x.narrow(1, 49, 1).reshape([n, 64]))
    }
}

#[derive(Module, Debug)]
struct Block {
    c1: Conv2d,
    b1: BatchNorm,
    c2: Conv2d,
    b2: BatchNorm,
    shortcut: Option<Conv2d>,
    shortcut_norm: Option<BatchNorm>,
}

impl Block {
    fn new(i: usize, o: usize, stride: usize, d: &Device) -> Block {
        let norm = || BatchNormConfig::new(o).init(d);
        let other = i != o;
        Block {
            c1: conv(i, o, 3, stride, 1, false, d),
            b1: norm(),
            c2: conv(o, o, 3, 1, 1, false, d),
            b2: norm(),
            shortcut: other.then(|| conv(i, o, 1, stride, 0, false, d)),
            shortcut_norm: other.then(norm),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = relu(self.b1.forward(self.c1.forward(x.clone())));
        let y = self.b2.forward(self.c2.forward(y));
        let x = match (&self.shortcut, &self.shortcut_norm) {
            (Some(conv), Some(norm)) => norm.forward(conv.forward(x)),
            _ => x,
        };
        relu(y + x)
    }
}

#[derive(Module, Debug)]
struct Resnet {
    conv: Conv2d,
    norm: BatchNorm,
    blocks: Vec<Block>,
    out: Linear,
}

impl Resnet {
    fn new(d: &Device) -> Resnet {
        let mut blocks = vec![];
        for (i, o, stride) in [(16, 16, 1), (16, 32, 2), (32, 64, 2)] {
            blocks.push(Block::new(i, o, stride, d));
            blocks.extend((0..2).map(|_| Block::new(o, o, 1, d)));
        }
        let norm = BatchNormConfig::new(16).init(d);
        Resnet { conv: conv(3, 16, 3, 1, 1, false, d), norm, blocks, out: dense(64, 10, d) }
    }
}

impl Net for Resnet {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let n = x.dims()[0];
        let x = relu(self.norm.forward(self.conv.forward(x.reshape([n, 3, 32, 32]))));
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x));
        self.out.forward(x.reshape([n, 64, 64]).mean_dim(2).reshape([n, 64]))
    }
}

#[derive(Module, Debug)]
struct GptBlock {
    n1: LayerNorm,
    attention: MultiHeadAttention,
    n2: LayerNorm,
    up: Linear,
    down: Linear,
}

#[derive(Module, Debug)]
struct Gpt {
    tokens: Embedding,
    positions: Embedding,
    blocks: Vec<GptBlock>,
    norm: LayerNorm,
    out: Linear,
}

impl Gpt {
    fn new(d: &Device) -> Gpt {
        let block = |_| GptBlock {
            n1: LayerNormConfig::new(128).init(d),
            attention: MultiHeadAttentionConfig::new(128, 4).with_dropout(0.0).init(d),
            n2: LayerNormConfig::new(128).init(d),
            up: dense(128, 512, d),
            down: dense(512, 128, d),
        };
        Gpt {
            tokens: EmbeddingConfig::new(65, 128).init(d),
            positions: EmbeddingConfig::new(64, 128).init(d),
            blocks: (0..4).map(block).collect(),
            norm: LayerNormConfig::new(128).init(d),
            out: dense(128, 65, d),
        }
    }
}

impl Net for Gpt {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let ([n, _], device) = (x.dims(), x.device());
        let places = Tensor::<1, Int>::arange(0..64, &device).reshape([1, 64]);
        let mut x = self.tokens.forward(x.int()) + self.positions.forward(places);
        let mask = generate_autoregressive_mask(n, 64, &device);
        for b in &self.blocks {
            let input = MhaInput::self_attn(b.n1.forward(x.clone())).mask_attn(mask.clone());
            x = x + b.attention.forward(input).context;
            let wide = gelu(b.up.forward(b.n2.forward(x.clone())));
            x = x + b.down.forward(wide);
        }
        self.out.forward(self.norm.forward(x)).reshape([n * 64, 65])
    }
}

#[derive(Module, Debug)]
struct Vgg {
    convs: Vec<Conv2d>,
    dense: Linear,
    out: Linear,
}

impl Vgg {
    fn new(d: &Device) -> Vgg {
        let sizes = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256)];
        let convs = sizes.map(|(i, o)| conv(i, o, 3, 1, 1, true, d)).into();
        Vgg { convs, dense: dense(4096, 256, d), out: dense(256, 10, d) }
    }
}

impl Net for Vgg {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let n = x.dims()[0];
        let mut x = x.reshape([n, 3, 32, 32]);
        for (i, conv) in self.convs.iter().enumerate() {
            x = relu(conv.forward(x));
            if i % 2 == 1 {
                x = pool(x);
            }
        }
        self.out.forward(relu(self.dense.forward(x.flatten(1, 3))))
    }
}

#[derive(Clone)]
enum Targets {
    Classes(Tensor<1, Int>),
    Numbers(Tensor<2>),
}

struct Training<M: Net> {
    model: Option<M>,
    frozen: Option<M>,
    optimizer: ModuleOptimizer,
    x: Tensor<2>,
    y: Targets,
    batch: usize,
    steps: usize,
}

fn train<M: Net>(w: &Workload, model: M, device: &Device) -> Box<dyn Trainer> {
    let (mut random, samples) = (Random::new(), w.batch * w.steps);
    let features: usize = w.sample.iter().product();
    let count = samples * features;
    let values = match w.name {
        "gpt" => random.classes(count, 65).iter().map(|x| *x as f32).collect(),
        _ => random.numbers(count),
    };
    let targets = if w.name == "gpt" { count } else { samples };
    let y = match w.classes {
        Some(k) => Targets::Classes(Tensor::from_data(TensorData::new(random.classes(targets, k), [targets]), device)),
        None => Targets::Numbers(Tensor::from_data(TensorData::new(random.numbers(samples), [samples, 1]), device)),
    };
    let x = Tensor::from_data(TensorData::new(values, [samples, features]), device);
    let optimizer = AdamConfig::new().with_epsilon(1e-7).init();
    Box::new(Training { model: Some(model), frozen: None, optimizer, x, y, batch: w.batch, steps: w.steps })
}

/// Loss and metric.
fn judge(scores: Tensor<2>, y: Targets) -> (Tensor<1>, Tensor<1>) {
    let plain = scores.clone().inner();
    match y {
        Targets::Classes(y) => {
            let loss = CrossEntropyLossConfig::new().init(&scores.device()).forward(scores, y.clone());
            let rows = y.dims()[0];
            let right = plain.argmax(1).reshape([rows]).equal(y.inner()).float().mean();
            (loss, right)
        }
        Targets::Numbers(y) => {
            let difference = scores - y.clone();
            (difference.square().mean(), (plain - y.inner()).abs().mean())
        }
    }
}

impl<M: Net> Training<M> {
    fn batch_targets(&self, step: usize) -> Targets {
        match &self.y {
            Targets::Classes(y) => {
                let rows = y.dims()[0] / self.steps;
                Targets::Classes(y.clone().narrow(0, step * rows, rows))
            }
            Targets::Numbers(y) => Targets::Numbers(y.clone().narrow(0, step * self.batch, self.batch)),
        }
    }
}

impl<M: Net> Trainer for Training<M> {
    fn epoch(&mut self) {
        let mut sums: Option<(Tensor<1>, Tensor<1>)> = None;
        for step in 0..self.steps {
            let Some(model) = self.model.take() else { return };
            let x = self.x.clone().narrow(0, step * self.batch, self.batch);
            let (loss, metric) = judge(model.forward(x), self.batch_targets(step));
            let grads = GradientsParams::from_grads(loss.backward(), &model);
            self.model = Some(self.optimizer.step(1e-3, model, grads));
            let loss = loss.inner();
            sums = Some(match sums {
                Some((l, m)) => (l + loss, m + metric),
                None => (loss, metric),
            });
        }
        if let Some((loss, metric)) = sums {
            std::hint::black_box((loss.into_data(), metric.into_data()));
        }
    }

    fn freeze(&mut self) {
        self.frozen = self.model.take().map(|m| m.valid());
        self.x = self.x.clone().inner();
    }

    fn predict(&mut self) {
        if let Some(model) = &self.frozen {
            std::hint::black_box(model.forward(self.x.clone().narrow(0, 0, 1)).into_data());
        }
    }
}
