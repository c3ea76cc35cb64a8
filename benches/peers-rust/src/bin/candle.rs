//! The workloads in Candle.

use candle_core::{D, DType, Device, Module, ModuleT, Result, Tensor};
use candle_nn::rnn::{GRU, GRUConfig, LSTM, LSTMConfig, RNN, gru, lstm};
use candle_nn::{
    AdamW, BatchNorm, Conv2d, Conv2dConfig, Embedding, LayerNorm, Linear, Optimizer, ParamsAdamW, VarBuilder, VarMap,
    batch_norm, conv2d, conv2d_no_bias, embedding, layer_norm_no_bias, linear, loss, ops,
};
use peers_rust::{Random, Trainer, Workload, chosen, measure};

/// A network from samples to scores, one row a target.
trait Net {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor>;
}

fn main() -> Result<()> {
    let (w, repeats) = chosen();
    let map = VarMap::new();
    let v = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    let net: Box<dyn Net> = match w.name {
        "mlp" => Box::new(Mlp([
            linear(100, 64, v.pp("a"))?,
            linear(64, 64, v.pp("b"))?,
            linear(64, 10, v.pp("c"))?,
        ])),
        "cnn" => Box::new(Cnn {
            conv: conv2d(1, 32, 3, Default::default(), v.pp("conv"))?,
            dense: linear(5408, 64, v.pp("dense"))?,
            out: linear(64, 10, v.pp("out"))?,
        }),
        "lstm" => Box::new(Rnns::<LSTM> {
            a: lstm(16, 64, LSTMConfig::default(), v.pp("a"))?,
            b: lstm(64, 64, LSTMConfig::default(), v.pp("b"))?,
            out: linear(64, 1, v.pp("out"))?,
        }),
        "gru" => Box::new(Rnns::<GRU> {
            a: gru(16, 64, GRUConfig::default(), v.pp("a"))?,
            b: gru(64, 64, GRUConfig::default(), v.pp("b"))?,
            out: linear(64, 1, v.pp("out"))?,
        }),
        "resnet20" => Box::new(Resnet::new(&v)?),
        "gpt" => Box::new(Gpt::new(&v)?),
        _ => Box::new(Vgg::new(&v)?),
    };
    measure("candle", w, repeats, Box::new(Training::new(w, net, &map)?));
    Ok(())
}

struct Mlp([Linear; 3]);

impl Net for Mlp {
    fn forward(&self, x: &Tensor, _: bool) -> Result<Tensor> {
        let x = self.0[0].forward(x)?.relu()?;
        self.0[2].forward(&self.0[1].forward(&x)?.relu()?)
    }
}

struct Cnn {
    conv: Conv2d,
    dense: Linear,
    out: Linear,
}

impl Net for Cnn {
    fn forward(&self, x: &Tensor, _: bool) -> Result<Tensor> {
        let x = self.conv.forward(x)?.relu()?.max_pool2d(2)?.flatten_from(1)?;
        self.out.forward(&self.dense.forward(&x)?.relu()?)
    }
}

struct Rnns<R> {
    a: R,
    b: R,
    out: Linear,
}

impl<R: RNN> Net for Rnns<R> {
    fn forward(&self, x: &Tensor, _: bool) -> Result<Tensor> {
        // A GRU's states come side by side, an LSTM's as an axis of their own.
        let x = self.a.states_to_tensor(&self.a.seq(x)?)?.reshape((x.dim(0)?, x.dim(1)?, 64))?;
        let states = self.b.seq(&x)?;
        let last = self.b.states_to_tensor(&states[states.len() - 1..])?;
        self.out.forward(&last.reshape((x.dim(0)?, 64))?)
    }
}

struct Normed {
    conv: Conv2d,
    norm: BatchNorm,
}

impl Normed {
    fn new(i: usize, o: usize, kernel: usize, stride: usize, v: VarBuilder) -> Result<Normed> {
        let config = Conv2dConfig { stride, padding: kernel / 2, ..Default::default() };
        let conv = conv2d_no_bias(i, o, kernel, config, v.pp("conv"))?;
        Ok(Normed { conv, norm: batch_norm(o, 1e-5, v.pp("norm"))? })
    }

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.norm.forward_t(&self.conv.forward(x)?, train)
    }
}

struct Resnet {
    first: Normed,
    blocks: Vec<(Normed, Normed, Option<Normed>)>,
    out: Linear,
}

impl Resnet {
    fn new(v: &VarBuilder) -> Result<Resnet> {
        let mut blocks = vec![];
        for (i, o, stride) in [(16, 16, 1), (16, 32, 2), (32, 64, 2)] {
            for k in 0..3 {
                let (i, stride) = if k == 0 { (i, stride) } else { (o, 1) };
                let v = v.pp(format!("block{}", blocks.len()));
                let shortcut = if i == o { None } else { Some(Normed::new(i, o, 1, stride, v.pp("s"))?) };
                blocks.push((Normed::new(i, o, 3, stride, v.pp("a"))?, Normed::new(o, o, 3, 1, v.pp("b"))?, shortcut));
            }
        }
        Ok(Resnet { first: Normed::new(3, 16, 3, 1, v.pp("first"))?, blocks, out: linear(64, 10, v.pp("out"))? })
    }
}

impl Net for Resnet {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut x = self.first.forward(x, train)?.relu()?;
        for (a, b, shortcut) in &self.blocks {
            let y = b.forward(&a.forward(&x, train)?.relu()?, train)?;
            let z = shortcut.as_ref().map_or_else(|| Ok(x.clone()), |s| s.forward(&x, train))?;
            x = (y + z)?.relu()?;
        }
        self.out.forward(&x.mean((2, 3))?)
    }
}

/// Layer normalization in the road that has a gradient: the fused one, taken with a bias, has none.
struct Norm {
    scale: LayerNorm,
    bias: Tensor,
}

impl Norm {
    fn new(v: VarBuilder) -> Result<Norm> {
        let bias = v.get_with_hints(128, "shift", candle_nn::Init::Const(0.0))?;
        Ok(Norm { scale: layer_norm_no_bias(128, 1e-5, v)?, bias })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.scale.forward(x)?.broadcast_add(&self.bias)
    }
}

struct GptBlock {
    n1: Norm,
    qkv: Linear,
    project: Linear,
    n2: Norm,
    up: Linear,
    down: Linear,
}

struct Gpt {
    tokens: Embedding,
    positions: Embedding,
    places: Tensor,
    mask: Tensor,
    blocks: Vec<GptBlock>,
    norm: Norm,
    out: Linear,
}

impl Gpt {
    fn new(v: &VarBuilder) -> Result<Gpt> {
        let block = |i: usize| -> Result<GptBlock> {
            let v = v.pp(format!("block{i}"));
            Ok(GptBlock {
                n1: Norm::new(v.pp("n1"))?,
                qkv: linear(128, 384, v.pp("qkv"))?,
                project: linear(128, 128, v.pp("project"))?,
                n2: Norm::new(v.pp("n2"))?,
                up: linear(128, 512, v.pp("up"))?,
                down: linear(512, 128, v.pp("down"))?,
            })
        };
        let later = |i: usize| (0..64).map(move |j| if j > i { f32::NEG_INFINITY } else { 0.0 });
        Ok(Gpt {
            tokens: embedding(65, 128, v.pp("tokens"))?,
            positions: embedding(64, 128, v.pp("positions"))?,
            places: Tensor::arange(0u32, 64, &Device::Cpu)?,
            mask: Tensor::from_vec((0..64).flat_map(later).collect(), (64, 64), &Device::Cpu)?,
            blocks: (0..4).map(block).collect::<Result<_>>()?,
            norm: Norm::new(v.pp("norm"))?,
            out: linear(128, 65, v.pp("out"))?,
        })
    }

    fn attend(&self, b: &GptBlock, x: &Tensor) -> Result<Tensor> {
        let n = x.dim(0)?;
        let qkv = b.qkv.forward(x)?.reshape((n, 64, 3, 4, 32))?.permute((2, 0, 3, 1, 4))?;
        let [q, k, v] = [0, 1, 2].map(|i| qkv.get(i).and_then(|t| t.contiguous()));
        let scores = (q?.matmul(&k?.t()?)? * (1.0 / 32f64.sqrt()))?.broadcast_add(&self.mask)?;
        let y = ops::softmax(&scores, D::Minus1)?.matmul(&v?)?;
        b.project.forward(&y.transpose(1, 2)?.contiguous()?.reshape((n, 64, 128))?)
    }
}

impl Net for Gpt {
    fn forward(&self, x: &Tensor, _: bool) -> Result<Tensor> {
        let n = x.dim(0)?;
        let mut x = self.tokens.forward(x)?.broadcast_add(&self.positions.forward(&self.places)?)?;
        for b in &self.blocks {
            x = (&x + self.attend(b, &b.n1.forward(&x)?)?)?;
            let wide = b.up.forward(&b.n2.forward(&x)?)?.gelu_erf()?;
            x = (&x + b.down.forward(&wide)?)?;
        }
        self.out.forward(&self.norm.forward(&x)?)?.reshape((n * 64, 65))
    }
}

struct Vgg {
    convs: Vec<Conv2d>,
    dense: Linear,
    out: Linear,
}

impl Vgg {
    fn new(v: &VarBuilder) -> Result<Vgg> {
        let config = Conv2dConfig { padding: 1, ..Default::default() };
        let sizes = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256)];
        let convs = sizes.iter().enumerate().map(|(k, (i, o))| conv2d(*i, *o, 3, config, v.pp(format!("conv{k}"))));
        let convs = convs.collect::<Result<_>>()?;
        Ok(Vgg { convs, dense: linear(4096, 256, v.pp("dense"))?, out: linear(256, 10, v.pp("out"))? })
    }
}

impl Net for Vgg {
    fn forward(&self, x: &Tensor, _: bool) -> Result<Tensor> {
        let mut x = x.clone();
        for pair in self.convs.chunks(2) {
            x = pair[1].forward(&pair[0].forward(&x)?.relu()?)?.relu()?.max_pool2d(2)?;
        }
        self.out.forward(&self.dense.forward(&x.flatten_from(1)?)?.relu()?)
    }
}

struct Training {
    net: Box<dyn Net>,
    optimizer: AdamW,
    batches: Vec<(Tensor, Tensor)>,
    sample: Tensor,
    classes: bool,
}

impl Training {
    fn new(w: &Workload, net: Box<dyn Net>, map: &VarMap) -> Result<Training> {
        let mut random = Random::new();
        let shape: Vec<usize> = [w.batch].iter().chain(w.sample).copied().collect();
        let count: usize = shape.iter().product();
        let whole = |values: Vec<i64>| values.iter().map(|x| *x as u32).collect::<Vec<u32>>();
        let mut batch = || -> Result<(Tensor, Tensor)> {
            let x = match w.name {
                "gpt" => Tensor::from_vec(whole(random.classes(count, 65)), shape.clone(), &Device::Cpu)?,
                _ => Tensor::from_vec(random.numbers(count), shape.clone(), &Device::Cpu)?,
            };
            let targets = if w.name == "gpt" { count } else { w.batch };
            let y = match w.classes {
                Some(k) => Tensor::from_vec(whole(random.classes(targets, k)), targets, &Device::Cpu)?,
                None => Tensor::from_vec(random.numbers(targets), (targets, 1), &Device::Cpu)?,
            };
            Ok((x, y))
        };
        let batches = (0..w.steps).map(|_| batch()).collect::<Result<Vec<_>>>()?;
        let sample = batches[0].0.narrow(0, 0, 1)?.contiguous()?;
        let adam = ParamsAdamW { lr: 1e-3, eps: 1e-7, weight_decay: 0.0, ..Default::default() };
        Ok(Training { net, optimizer: AdamW::new(map.all_vars(), adam)?, batches, sample, classes: w.classes.is_some() })
    }

    fn steps(&mut self) -> Result<f32> {
        let mut total = 0.0;
        for (x, y) in &self.batches {
            let scores = self.net.forward(x, true)?;
            let plain = scores.detach();
            let (loss, metric) = if self.classes {
                let right = plain.argmax(1)?.eq(y)?.to_dtype(DType::F32)?.mean_all()?;
                (loss::cross_entropy(&scores, y)?, right)
            } else {
                (loss::mse(&scores, y)?, (plain - y)?.abs()?.mean_all()?)
            };
            self.optimizer.backward_step(&loss)?;
            total += loss.to_scalar::<f32>()? + metric.to_scalar::<f32>()?;
        }
        Ok(total)
    }
}

impl Trainer for Training {
    fn epoch(&mut self) {
        let total = self.steps().expect("the workload is well formed");
        assert!(total.is_finite());
    }

    fn predict(&mut self) {
        let scores = self.net.forward(&self.sample, false).expect("the workload is well formed");
        std::hint::black_box(scores);
    }
}
