//! The loop over time that all recurrent layers share.

use super::cells::{Cell, Recurrent, block};
use crate::initializers::{Initialize, Initializer};
use crate::layers::noise::keep;
use crate::layers::{Tuning, check, parameter};
use crate::{Args, Cx, Outputs, Value};
use rhyton_graph::{Expr, function::scan};
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{DType, Error, Result, Shape};

/// The settings of a recurrent layer, whatever its cell.
pub(super) struct RecurrentSettings<'a> {
    pub class: &'static str,
    pub cell: Cell<'a>,
    pub units: usize,
    pub use_bias: bool,
    pub kernel: Tuning<'a>,
    pub recurrent: Tuning<'a>,
    pub bias: Tuning<'a>,
    pub unit_forget_bias: bool,
    pub dropout: f64,
    pub recurrent_dropout: f64,
    pub seed: Option<u64>,
    pub return_sequences: bool,
    pub return_state: bool,
    pub go_backwards: bool,
    pub stateful: bool,
    pub zero_output_for_mask: bool,
}

/// The weights of a cell.
struct Weights {
    kernel: Expr,
    recurrent: Expr,
    /// Added to the input's product.
    bias: Option<Expr>,
    /// Added to the state's product, for GRU with `reset_after`.
    recurrent_bias: Option<Expr>,
}

impl RecurrentSettings<'_> {
    /// The outputs on `[batch, steps, features]`, with the states behind when they are asked for.
    pub fn run(&self, cx: &mut Cx<'_>, args: &Args) -> Result<Outputs> {
        let x = args.x().cast(DType::F32);
        let features = self.check(&x)?;
        let init = self.initial(args, &x)?;
        let mask = args.mask(0);
        let weights = cx.part("cell", self.cell.name(), |cx| self.weights(cx, features));
        // Time comes first inside the loop.
        let z = self.project(cx, &x.transpose(&[1, 0, 2]), &weights);
        let recurrent = self.recurrent(cx, &x, &weights);
        let (states, sequence) = self.scan(&z, &init, mask.as_ref(), recurrent);
        let whole = sequence.map(|s| if self.go_backwards { s.flip(0) } else { s }.transpose(&[1, 0, 2]));
        let mut outputs = vec![match whole {
            Some(s) if self.return_sequences => Value { expr: s, mask },
            Some(s) => s.entry(1, x.shape()[1].clone() - 1usize).into(),
            None => states[0].clone().into(),
        }];
        if self.return_state {
            outputs.extend(states.into_iter().map(Value::from));
        }
        Ok(outputs.into())
    }

    fn check(&self, x: &Expr) -> Result<usize> {
        check::positive(self.class, "units", self.units)?;
        check::rate(self.class, "dropout", self.dropout)?;
        check::rate(self.class, "recurrent_dropout", self.recurrent_dropout)?;
        if self.stateful {
            return Err(Error::new(format!("{} with stateful is not supported", self.class))
                .fix("return the state and pass it on as initial_state"));
        }
        if x.rank() != 3 {
            let e = Error::new(format!("{} takes [batch, steps, features], got {}", self.class, x.shape()));
            return Err(e.fix(match x.rank() {
                2 => "give every step a list of features with Reshape, or indices a meaning with Embedding",
                _ => "Reshape the input to three axes, or wrap inner layers in TimeDistributed",
            }));
        }
        check::features(self.class, x)
    }

    /// The states before the first step: zeros, the named `initial_state`, or the inputs behind the first.
    fn initial(&self, args: &Args, x: &Expr) -> Result<Vec<Expr>> {
        let given: Vec<Expr> = match args.tensors("initial_state") {
            [] => args.inputs.iter().skip(1).map(|v| v.expr.clone()).collect(),
            named => named.iter().map(|v| v.expr.clone()).collect(),
        };
        let shape = Shape(vec![x.shape()[0].clone(), self.units.into()]);
        let states = self.cell.states();
        if given.is_empty() {
            return Ok(vec![Expr::full(shape, 0.0); states]);
        }
        if let Some(bad) = given.iter().find(|e| e.is_poisoned()) {
            return Ok(vec![bad.clone(); states]);
        }
        if given.len() != states || given.iter().any(|s| *s.shape() != shape) {
            let shapes: Vec<String> = given.iter().map(|s| s.shape().to_string()).collect();
            return Err(Error::new(format!("{} got the initial_state {}", self.class, shapes.join(", ")))
                .expected(format!("{states} of shape {shape}")));
        }
        Ok(given.iter().map(|s| s.cast(DType::F32)).collect())
    }

    fn weights(&self, cx: &mut Cx<'_>, features: usize) -> Weights {
        let columns = self.cell.gates() * self.units;
        let kernel = parameter(cx, "kernel", [features, columns], self.kernel);
        let recurrent = parameter(cx, "recurrent_kernel", [self.units, columns], self.recurrent);
        let forget = Initializer::from(UnitForget::default().units(self.units).rest(self.bias.0.clone()));
        let tuning = if self.unit_forget_bias { (&forget, self.bias.1, self.bias.2) } else { self.bias };
        let twice = matches!(self.cell, Cell::Gru { reset_after: true, .. });
        let (mut bias, mut recurrent_bias) = (None, None);
        if self.use_bias && twice {
            let both = parameter(cx, "bias", [2, columns], tuning);
            (bias, recurrent_bias) = (Some(both.entry(0, 0)), Some(both.entry(0, 1)));
        } else if self.use_bias {
            bias = Some(parameter(cx, "bias", [columns], tuning));
        }
        Weights { kernel, recurrent, bias, recurrent_bias }
    }

    /// `x . kernel + bias` for all steps at once. With dropout the same entries of all steps vanish; with
    /// recurrent dropout as well every gate has draws of its own, as in Keras.
    fn project(&self, cx: &mut Cx<'_>, x: &Expr, w: &Weights) -> Expr {
        let dims = x.shape();
        let shape = Shape(vec![dims[1].clone(), dims[2].clone()]);
        let z = if !cx.training() || self.dropout <= 0.0 || self.dropout >= 1.0 {
            x.matmul(&w.kernel)
        } else if self.recurrent_dropout > 0.0 && self.cell.gates() > 1 {
            let gate = |g: usize| {
                let kept = keep(cx, self.dropout, shape.clone(), self.seed);
                (x * kept).matmul(&block(&w.kernel, self.units, g..g + 1))
            };
            Expr::concat(&(0..self.cell.gates()).map(gate).collect::<Vec<_>>(), 2)
        } else {
            (x * keep(cx, self.dropout, shape, self.seed)).matmul(&w.kernel)
        };
        match &w.bias {
            Some(b) => z + b,
            None => z,
        }
    }

    fn recurrent(&self, cx: &mut Cx<'_>, x: &Expr, w: &Weights) -> Recurrent {
        let rate = self.recurrent_dropout;
        let drops = cx.training() && rate > 0.0 && rate < 1.0;
        let gates = self.cell.gates();
        let blocks = if drops { (0..gates).map(|g| g..g + 1).collect() } else { self.cell.blocks() };
        let shape = Shape(vec![x.shape()[0].clone(), self.units.into()]);
        let masks = if drops { blocks.len() } else { 0 };
        Recurrent {
            units: self.units,
            kernels: blocks.iter().map(|b| block(&w.recurrent, self.units, b.clone())).collect(),
            masks: (0..masks).map(|_| keep(cx, rate, shape.clone(), self.seed)).collect(),
            bias: w.recurrent_bias.clone(),
            blocks,
        }
    }

    /// The states after the last step, and the outputs of all steps, time first, when somebody needs them.
    fn scan(
        &self,
        z: &Expr,
        init: &[Expr],
        mask: Option<&Expr>,
        recurrent: Recurrent,
    ) -> (Vec<Expr>, Option<Expr>) {
        let mut sequences = vec![z.clone()];
        sequences.extend(mask.map(|m| m.transpose(&[1, 0]).expand_dims(&[2])));
        let (kernels, masks) = (recurrent.kernels.len(), recurrent.masks.len());
        let constants: Vec<Expr> =
            recurrent.kernels.iter().chain(&recurrent.masks).chain(&recurrent.bias).cloned().collect();
        let zero_out = self.zero_output_for_mask && mask.is_some();
        let collects = self.return_sequences || zero_out;
        let body = |states: &[Expr], x: &[Expr], k: &[Expr]| {
            let inside = Recurrent {
                units: recurrent.units,
                blocks: recurrent.blocks.clone(),
                kernels: k[..kernels].to_vec(),
                masks: k[kernels..kernels + masks].to_vec(),
                bias: k.get(kernels + masks).cloned(),
            };
            let mut new = self.cell.step(&x[0], states, &inside);
            let mut output = new[0].clone();
            if let Some(real) = x.get(1) {
                // Padding leaves the state as it is; its output is the one before.
                new = new.iter().zip(states).map(|(n, old)| real.select(n, old)).collect();
                output = if zero_out { real.select(&output, &output.zeros_like()) } else { new[0].clone() };
            }
            (new, if collects { vec![output] } else { vec![] })
        };
        let (states, outputs) = scan(self.class, init, &sequences, &constants, self.go_backwards, body);
        (states, outputs.into_iter().next().filter(|_| collects))
    }
}

crate::object! {
    /// Another initializer with ones in the second block, the forget gate's.
    struct UnitForget {
        /// Width of a block.
        units: usize = 0,
        /// The other initializer.
        rest: Initializer = "zeros".into(),
    }
}

impl Initialize for UnitForget {
    fn bytes_per_element(&self) -> usize {
        self.rest.get().map_or(size_of::<f32>(), |rest| rest.bytes_per_element())
    }

    fn values(&self, shape: &[usize], random: &mut Stream) -> Vec<f32> {
        let mut values = match self.rest.get() {
            Ok(rest) => rest.values(shape, random),
            Err(_) => vec![0.0; shape.iter().product()],
        };
        values.iter_mut().skip(self.units).take(self.units).for_each(|v| *v = 1.0);
        values
    }
}
