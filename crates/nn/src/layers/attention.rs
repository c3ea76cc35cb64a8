//! MultiHeadAttention (Vaswani et al. 2017).

use crate::constraints::Constraint;
use crate::functions::{sigmoid, softmax};
use crate::initializers::Initializer;
use crate::layers::{check, noise, parameter};
use crate::regularizers::Regularizer;
use crate::{Args, Axes, Cx, Layer, Object, OutputShape, Outputs};
use rhyton_graph::{Expr, named};
use rhyton_tensor::{DType, Dim, Error, Result, Shape};
use serde::Serialize;
use serde_json::{Value as Json, json};

crate::layer! {
    /// Every step of the query looks at all steps of the value, in several ways at once.
    ///
    /// Applied to `[query, value]` or `[query, value, key]` of shapes `[batch, steps, features]`; for each
    /// head `softmax(q . k^T / sqrt(key_dim)) . v`, where q, k, v are projections of query, key, value; the
    /// heads are joined and projected to `[batch, query steps, output_shape]`. Settings of the call:
    /// `use_causal_mask`, `return_attention_scores`; named tensors: `attention_mask` `[batch, query steps,
    /// value steps]`, `query_mask`, `value_mask`, `key_mask`.
    pub struct MultiHeadAttention {
        /// Number of heads.
        num_heads: usize = 0,
        /// Width of a head's query and key.
        key_dim: usize = 0,
        /// Width of a head's value; `key_dim` when not set.
        value_dim: Option<usize> = None,
        /// The share of attention that is dropped in training.
        dropout: f64 = 0.0,
        /// Adds biases to all projections.
        use_bias: bool = true,
        /// Multiplies the heads by a sigmoid of a projection of the query.
        use_gate: bool = false,
        /// Width of the result; the query's when not set.
        output_shape: Option<OutputShape> = None,
        /// The axis of the steps: 1.
        attention_axes: Option<Axes> = None,
        /// Steps at this distance and beyond are not seen.
        sliding_window: Option<usize> = None,
        /// How the kernels start.
        kernel_initializer: Initializer = "glorot_uniform".into(),
        /// How the biases start.
        bias_initializer: Initializer = "zeros".into(),
        /// Penalty of the kernels.
        kernel_regularizer: Option<Regularizer> = None,
        /// Penalty of the biases.
        bias_regularizer: Option<Regularizer> = None,
        /// Projection of the kernels.
        kernel_constraint: Option<Constraint> = None,
        /// Projection of the biases.
        bias_constraint: Option<Constraint> = None,
        /// Gives the layer random numbers of its own.
        seed: Option<u64> = None,
    }
}

impl MultiHeadAttention {
    /// `num_heads` heads of width `key_dim`.
    #[track_caller]
    pub fn new(num_heads: usize, key_dim: usize) -> MultiHeadAttention {
        MultiHeadAttention::default().num_heads(num_heads).key_dim(key_dim).value_dim(key_dim)
    }

    /// `x` `[.., inner]` times a kernel of shape `inner, outer`, with the last `inner` axes contracted.
    fn project(
        &self,
        cx: &mut Cx<'_>,
        x: &Expr,
        place: (&str, &str),
        inner: usize,
        outer: &[usize],
    ) -> Result<Expr> {
        let (keep, own) = x.shape().split_at(x.rank() - inner);
        let mut shape = vec![];
        for dim in own {
            shape.push(check::known(self.class_name(), dim, "last axis", x)?);
        }
        let rows: usize = shape.iter().product();
        shape.extend(outer);
        let columns: usize = outer.iter().product();
        let flat: Shape = keep.iter().cloned().chain([Dim::fixed(rows)]).collect();
        let y = cx.part(place.0, place.1, |cx| {
            let of_kernel = (&self.kernel_initializer, &self.kernel_regularizer, &self.kernel_constraint);
            let kernel = parameter(cx, "kernel", shape, of_kernel).reshape([rows, columns]);
            let mut y = x.reshape(flat).matmul(&kernel);
            if self.use_bias {
                let of_bias = (&self.bias_initializer, &self.bias_regularizer, &self.bias_constraint);
                y = y + parameter(cx, "bias", outer.to_vec(), of_bias).reshape([columns]);
            }
            y
        });
        Ok(y.reshape(keep.iter().cloned().chain(outer.iter().map(|n| Dim::fixed(*n))).collect::<Shape>()))
    }

    fn check(&self, inputs: &[Expr]) -> Result<()> {
        let class = self.class_name();
        check::positive(class, "num_heads", self.num_heads)?;
        check::positive(class, "key_dim", self.key_dim)?;
        check::positive(class, "value_dim", self.value_dim.unwrap_or(self.key_dim))?;
        check::rate(class, "dropout", self.dropout)?;
        if let Some(bad) = inputs.iter().find(|e| e.rank() != 3) {
            return Err(Error::new(format!("{class} takes [batch, steps, features], got {}", bad.shape()))
                .fix("Reshape the input to three axes"));
        }
        if let Some(axes) = self.attention_axes.as_ref().filter(|a| !matches!(a.as_slice(), [] | [1 | -2])) {
            return Err(Error::new(format!("{class} got the attention_axes {axes}"))
                .expected("1: the axis of the steps"));
        }
        if inputs[1].shape()[1] != inputs[2].shape()[1] {
            let (value, key) = (inputs[1].shape(), inputs[2].shape());
            return Err(Error::new(format!("{class} got the value {value} and the key {key}"))
                .expected("as many steps in both"));
        }
        Ok(())
    }

    /// Sizes of the result behind the steps.
    fn output_sizes(&self, query: &Expr) -> Result<Vec<usize>> {
        let class = self.class_name();
        let sizes = self.output_shape.iter().flat_map(OutputShape::as_slice);
        let sizes: Vec<usize> = sizes.map(|n| (*n).max(0) as usize).collect();
        let elements = sizes.iter().try_fold(1usize, |a, n| a.checked_mul(*n));
        check::positive(class, "output_shape", elements.unwrap_or(usize::MAX))?;
        if sizes.is_empty() { Ok(vec![check::features(class, query)?]) } else { Ok(sizes) }
    }

    fn output(&self, cx: &mut Cx<'_>, args: &Args) -> Result<Vec<Expr>> {
        let [query, value, key] = inputs(args)?;
        self.check(&[query.clone(), value.clone(), key.clone()])?;
        let value_dim = self.value_dim.unwrap_or(self.key_dim);
        let heads = [self.num_heads, self.key_dim];
        let q = self.project(cx, &query, ("query_dense", "query"), 1, &heads)?;
        let k = self.project(cx, &key, ("key_dense", "key"), 1, &heads)?;
        let gate = if self.use_gate {
            Some(self.project(cx, &query, ("_gate_dense", "gate"), 1, &[self.num_heads, value_dim])?)
        } else {
            None
        };
        let v = self.project(cx, &value, ("value_dense", "value"), 1, &[self.num_heads, value_dim])?;
        cx.visit("_softmax", "softmax");
        cx.visit("_dropout_layer", "dropout");
        let mask = mask(args)?;
        let wants_scores = args.flag("return_attention_scores");
        let form = Attention {
            scale: scale(self.key_dim),
            causal: args.flag("use_causal_mask"),
            window: self.sliding_window,
        };
        let (mut y, scores) = if self.dropout == 0.0 && !wants_scores {
            (form.apply(&q, &k, &v, mask), None)
        } else {
            let steps = [q.shape()[0].clone(), Dim::fixed(self.num_heads), q.shape()[1].clone()];
            let each: Shape = steps.into_iter().chain([k.shape()[1].clone()]).collect();
            let (y, scores) = form.scored(&q, &k, &v, mask, self.kept(cx, each));
            (y, Some(scores))
        };
        if let Some(gate) = gate {
            y = y * sigmoid(&gate);
        }
        let sizes = self.output_sizes(&query)?;
        let y = self.project(cx, &y, ("output_dense", "attention_output"), 2, &sizes)?;
        Ok(std::iter::once(y).chain(scores.filter(|_| wants_scores)).collect())
    }

    /// What dropout multiplies the scores by; nothing when it does nothing.
    fn kept(&self, cx: &mut Cx<'_>, scores: Shape) -> Option<Expr> {
        match self.dropout {
            rate if !cx.training() || rate <= 0.0 => None,
            rate if rate >= 1.0 => Some(Expr::scalar(0.0f32).broadcast_to(scores)),
            rate => Some(noise::keep(cx, rate, scores, self.seed)),
        }
    }
}

/// What each query step may look at of what is given from outside, `[batch, 1, query steps, value steps]` or less;
/// nothing when it is all.
fn mask(args: &Args) -> Result<Option<Expr>> {
    let of = |name: &str, i: usize| {
        let named = args.tensors(name).first().map(|v| v.expr.clone());
        named.or_else(|| args.mask(i)).map(|m| m.cast(DType::Bool))
    };
    let mut masks = vec![];
    masks.extend(of("query_mask", 0).map(|m| m.expand_dims(&[1, 3])));
    masks.extend(of("value_mask", 1).map(|m| m.expand_dims(&[1, 2])));
    masks.extend(of("key_mask", 2).map(|m| m.expand_dims(&[1, 2])));
    if let Some(given) = args.tensors("attention_mask").first() {
        let m = given.expr.cast(DType::Bool);
        masks.push(if m.rank() == 3 { m.expand_dims(&[1]) } else { m });
    }
    let all = masks.into_iter().reduce(|a, b| a.and(&b));
    match all.as_ref().and_then(Expr::error) {
        Some(e) => Err(e.clone()),
        None => Ok(all),
    }
}

/// Query, value and key: positional, or named as Keras names them; the key is the value when there is none.
fn inputs(args: &Args) -> Result<[Expr; 3]> {
    let at = |i: usize, name: &str| match args.tensors(name).first() {
        Some(v) => Some(v.expr.clone()),
        None => args.inputs.get(i).map(|v| v.expr.clone()),
    };
    let (Some(query), Some(value)) = (at(0, "query"), at(1, "value")) else {
        return Err(Error::new(format!("MultiHeadAttention got {} inputs", args.inputs.len()))
            .expected("query and value, and a key when it is not the value")
            .fix("for self attention, apply it to [&x, &x]"));
    };
    let key = at(2, "key").unwrap_or_else(|| value.clone());
    Ok([query, value, key].map(|e| e.float()))
}

fn scale(key_dim: usize) -> f32 {
    (1.0 / (key_dim as f64).sqrt()) as f32
}

/// `[batch, heads, query steps, key steps]` of `[batch, steps, heads, width]`.
fn logits(q: &Expr, k: &Expr) -> Expr {
    q.dot_general(k, &[0, 2], &[0, 2], &[3], &[3])
}

/// `[batch, query steps, heads, width]`: the values weighted by the scores.
fn weighted(scores: &Expr, v: &Expr) -> Expr {
    scores.cast(v.dtype()).dot_general(v, &[0, 1], &[0, 2], &[3], &[1]).transpose(&[0, 2, 1, 3])
}

/// The settings of the named function `attention`: of (q, k, v), each `[batch, steps, heads, width]`, it computes
/// `softmax(q . k^T scale) . v`.
#[derive(Serialize)]
struct Attention {
    /// Multiplies the products of queries and keys.
    scale: f32,
    /// A step looks at itself and those before it.
    causal: bool,
    /// Steps at this distance and beyond are not seen.
    window: Option<usize>,
}

impl Attention {
    /// The settings of a call: `scored` gives the scores too, `masked` and `dropped` say which inputs follow q, k, v.
    fn attrs(&self, scored: bool, masked: bool, dropped: bool) -> Json {
        let mut attrs = json!(self);
        attrs["scored"] = scored.into();
        attrs["masked"] = masked.into();
        attrs["dropped"] = dropped.into();
        attrs
    }

    /// A query without anything to look at gets the mean of the values.
    fn apply(&self, q: &Expr, k: &Expr, v: &Expr, mask: Option<Expr>) -> Expr {
        let inputs: Vec<Expr> = [q, k, v].into_iter().cloned().chain(mask).collect();
        named::ATTENTION.apply(self.attrs(false, inputs.len() > 3, false), &inputs, |p| {
            let mut logits = logits(&p[0], &p[1]) * self.scale;
            if let Some(m) = self.seen(&p[0], &p[1], p.get(3)) {
                logits = m.select(&logits, &Expr::scalar(-0.7 * f32::MAX));
            }
            weighted(&softmax(&logits), &p[2])
        })
    }

    /// The same with the scores `[batch, heads, query steps, key steps]` at hand, for dropout (`kept` multiplies them
    /// on their way to the values) and for who asks for them: a query without anything to look at gets zeros.
    fn scored(&self, q: &Expr, k: &Expr, v: &Expr, mask: Option<Expr>, kept: Option<Expr>) -> (Expr, Expr) {
        let (masked, dropped) = (mask.is_some(), kept.is_some());
        let inputs: Vec<Expr> = [q, k, v].into_iter().cloned().chain(mask).chain(kept).collect();
        let [y, scores] = named::ATTENTION.apply_all(self.attrs(true, masked, dropped), &inputs, |p| {
            let logits = logits(&(&p[0] * self.scale), &p[1]);
            let scores = match self.seen(&p[0], &p[1], p.get(3).filter(|_| masked)) {
                Some(m) => {
                    let far = m.select(&Expr::scalar(0.0f32), &Expr::scalar(-1e9f32));
                    m.select(&softmax(&(logits + far)), &Expr::scalar(0.0f32))
                }
                None => softmax(&logits),
            };
            let kept = p.last().filter(|_| dropped);
            [weighted(&kept.map_or_else(|| scores.clone(), |k| &scores * k), &p[2]), scores]
        });
        (y, scores)
    }

    /// What each query step may look at; nothing when it is all.
    fn seen(&self, q: &Expr, k: &Expr, given: Option<&Expr>) -> Option<Expr> {
        let grid = Shape(vec![q.shape()[1].clone(), k.shape()[1].clone()]);
        let (row, column) = (Expr::iota(grid.clone(), 0), Expr::iota(grid, 1));
        let causal = self.causal.then(|| column.less_equal(&row));
        let near = |width: usize| (&row - &column).abs().less(&Expr::scalar(width.min(1 << 30) as i32));
        let all = given.cloned().into_iter().chain(causal).chain(self.window.map(near));
        all.reduce(|a, b| a.and(&b))
    }
}

impl Layer for MultiHeadAttention {
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
        self.output(cx, args).into()
    }
    fn supports_masking(&self) -> bool {
        true
    }
}
