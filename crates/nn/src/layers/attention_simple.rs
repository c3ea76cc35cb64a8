//! Attention without projections: Attention (Luong et al. 2015) and AdditiveAttention (Bahdanau et al. 2015).

use crate::functions::{softmax, tanh};
use crate::layers::{check, noise};
use crate::{Args, Cx, Layer, Object, Outputs, Value};
use rhyton_graph::Expr;
use rhyton_tensor::{Error, Result, Shape};

crate::layer! {
    /// Every step of the query gets the mean of the values, weighted by the softmax of how well query and key
    /// fit: their dot product. Applied to `[query, value]` or `[query, value, key]`, each `[batch, steps,
    /// features]`. Settings of the call: `use_causal_mask`, `return_attention_scores`.
    pub struct Attention {
        /// Multiplies the scores by a learned number.
        use_scale: bool = false,
        /// `dot`, or `concat` for a learned factor of `sum(tanh(query + key))`.
        score_mode: String = "dot".into(),
        /// The share of attention that is dropped in training.
        dropout: f64 = 0.0,
        /// Gives the layer random numbers of its own.
        seed: Option<u64> = None,
    }
}

crate::layer! {
    /// Attention that scores by `sum(scale * tanh(query + key))`. Applied to `[query, value]` or
    /// `[query, value, key]`, each `[batch, steps, features]`.
    pub struct AdditiveAttention {
        /// Learns a factor for each feature.
        use_scale: bool = true,
        /// The share of attention that is dropped in training.
        dropout: f64 = 0.0,
        /// Gives the layer random numbers of its own.
        seed: Option<u64> = None,
    }
}

/// Query, value and key.
fn inputs(class: &str, args: &Args) -> Result<[Expr; 3]> {
    if !(2..=3).contains(&args.inputs.len()) || args.inputs.iter().any(|v| v.expr.rank() != 3) {
        let shapes: Vec<String> = args.inputs.iter().map(|v| v.expr.shape().to_string()).collect();
        return Err(Error::new(format!("{class} got {}", shapes.join(", ")))
            .expected("query and value (and key), each [batch, steps, features]"));
    }
    let key = args.get(if args.inputs.len() == 3 { 2 } else { 1 });
    Ok([args.get(0), args.get(1), key])
}

/// `query + key` for every pair of steps, `[batch, query steps, key steps, features]`.
fn sums(q: &Expr, k: &Expr) -> Expr {
    q.expand_dims(&[2]) + k.expand_dims(&[1])
}

/// The values weighted by the softmax of `scores` `[batch, query steps, value steps]`, and the weights when
/// asked for.
fn attend(
    cx: &mut Cx<'_>,
    args: &Args,
    scores: Expr,
    value: &Expr,
    rate: f64,
    seed: Option<u64>,
) -> Vec<Value> {
    let mut scores = scores;
    let grid = Shape(scores.shape().get(1..).unwrap_or_default().to_vec());
    let seen = args.mask(1).map(|m| m.expand_dims(&[1]));
    let causal = args
        .flag("use_causal_mask")
        .then(|| Expr::iota(grid.clone(), 1).less_equal(&Expr::iota(grid, 0)).expand_dims(&[0]));
    if let Some(seen) = seen.into_iter().chain(causal).reduce(|a, b| a.and(&b)) {
        scores = scores + seen.select(&Expr::scalar(0.0f32), &Expr::scalar(-1e9f32));
    }
    let weights = softmax(&scores);
    let dropped = noise::dropout(cx, &weights, rate, weights.shape().clone(), seed);
    let mut y = dropped.matmul(value);
    let mask = args.mask(0);
    if let Some(m) = &mask {
        y = y * m.cast(rhyton_tensor::DType::F32).expand_dims(&[2]);
    }
    let scores = args.flag("return_attention_scores").then(|| Value::from(weights));
    std::iter::once(Value { expr: y, mask }).chain(scores).collect()
}

impl Attention {
    /// Scores by the dot product.
    #[track_caller]
    pub fn new() -> Attention {
        Attention::default()
    }

    fn output(&self, cx: &mut Cx<'_>, args: &Args) -> Result<Vec<Value>> {
        let class = self.class_name();
        check::rate(class, "dropout", self.dropout)?;
        let [query, value, key] = inputs(class, args)?;
        let number = |cx: &mut Cx<'_>, name: &str| cx.weight(name, Shape::default(), &"ones".into());
        let scale = self.use_scale.then(|| number(cx, "scale"));
        let scores = match self.score_mode.as_str() {
            "dot" => {
                let product = query.matmul(&key.transpose(&[0, 2, 1]));
                scale.map_or(product.clone(), |s| product * s)
            }
            "concat" => {
                let factor = number(cx, "concat_score_weight");
                let pair = sums(&query, &key);
                factor * tanh(&scale.map_or(pair.clone(), |s| pair * s)).sum(&[3])
            }
            other => {
                return Err(
                    Error::new(format!("{class} got the score_mode '{other}'")).expected("'dot' or 'concat'")
                );
            }
        };
        Ok(attend(cx, args, scores, &value, self.dropout, self.seed))
    }
}

impl Layer for Attention {
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
        self.output(cx, args).into()
    }
}

impl AdditiveAttention {
    /// With a learned factor for each feature.
    #[track_caller]
    pub fn new() -> AdditiveAttention {
        AdditiveAttention::default()
    }

    fn output(&self, cx: &mut Cx<'_>, args: &Args) -> Result<Vec<Value>> {
        let class = self.class_name();
        check::rate(class, "dropout", self.dropout)?;
        let [query, value, key] = inputs(class, args)?;
        let mut pair = tanh(&sums(&query, &key));
        if self.use_scale {
            let features = check::features(class, &query)?;
            pair = pair * cx.weight("scale", [features], &"glorot_uniform".into());
        }
        Ok(attend(cx, args, pair.sum(&[3]), &value, self.dropout, self.seed))
    }
}

impl Layer for AdditiveAttention {
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
        self.output(cx, args).into()
    }
}
