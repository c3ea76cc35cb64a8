//! The table of named functions: every non-linear function that layers, losses and metrics are made of has an identity
//! here. Kernels, rules of [`crate::transform`], listings and exporters key on the identity, never on a name that a
//! user can choose.
//!
//! A row says what the function takes and computes; its body stands where the function is defined, once.

use crate::expr::{Expr, Type};
use crate::function::{Function, VjpRule};
use serde_json::Value;

/// The identity of a function: two are the same when they are the same row of the table.
pub struct Named {
    /// What people and exporters call it.
    pub name: &'static str,
    /// Its inputs in order, its settings behind a semicolon, and its results where there is more to say than `y`:
    /// `x, gamma, beta, mask?; axis, epsilon -> y, mean, variance`. What ends in a question mark may be missing.
    pub signature: &'static str,
    /// What it computes; settings stand in backticks.
    pub doc: &'static str,
}

impl Named {
    /// A row of a table of one's own, for a `static`: rules can key on it as on those here.
    pub const fn new(name: &'static str, signature: &'static str, doc: &'static str) -> Named {
        Named { name, signature, doc }
    }

    /// The names of inputs, settings and results.
    ///
    /// ```
    /// use rhyton_graph::named::{ELU, LSTM_CELL};
    /// assert_eq!(ELU.names(), [vec!["x"], vec!["alpha"], vec!["y"]]);
    /// assert_eq!(LSTM_CELL.names()[2], ["h", "c"]);
    /// ```
    pub fn names(&self) -> [Vec<&'static str>; 3] {
        let (taken, results) = self.signature.split_once(" -> ").unwrap_or((self.signature, "y"));
        let (inputs, settings) = taken.split_once("; ").unwrap_or((taken, ""));
        [inputs, settings, results].map(|list| list.split(", ").filter(|name| !name.is_empty()).collect())
    }

    /// Applies the function to `inputs`: one call with one result. `attrs` are the settings that `body` uses.
    ///
    /// ```
    /// use rhyton_graph::{Expr, Named, Type};
    /// static SWISH: Named = Named::new("swish", "x", "x sigmoid(x)");
    /// let x = Expr::param("x", Type::f32([3]));
    /// let y = SWISH.apply(serde_json::Value::Null, &[x], |p| p[0].sigmoid() * p[0].clone());
    /// assert_eq!(y.shape().to_string(), "[3]");
    /// ```
    #[track_caller]
    pub fn apply(&'static self, attrs: Value, inputs: &[Expr], body: impl FnOnce(&[Expr]) -> Expr) -> Expr {
        let [y] = self.build(attrs, inputs, None, |p| [body(p)]);
        y
    }

    /// [`apply`](Named::apply) with a gradient rule of its own.
    #[track_caller]
    pub fn apply_with_vjp(
        &'static self,
        attrs: Value,
        inputs: &[Expr],
        rule: VjpRule,
        body: impl FnOnce(&[Expr]) -> Expr,
    ) -> Expr {
        let [y] = self.build(attrs, inputs, Some(rule), |p| [body(p)]);
        y
    }

    /// [`apply`](Named::apply) for several results.
    #[track_caller]
    pub fn apply_all<const N: usize>(
        &'static self,
        attrs: Value,
        inputs: &[Expr],
        body: impl FnOnce(&[Expr]) -> [Expr; N],
    ) -> [Expr; N] {
        self.build(attrs, inputs, None, body)
    }

    #[track_caller]
    fn build<const N: usize>(
        &'static self,
        attrs: Value,
        inputs: &[Expr],
        vjp: Option<VjpRule>,
        body: impl FnOnce(&[Expr]) -> [Expr; N],
    ) -> [Expr; N] {
        if let Some(bad) = inputs.iter().find(|e| e.is_poisoned()) {
            return std::array::from_fn(|_| bad.clone());
        }
        let types: Vec<Type> = inputs.iter().map(|e| e.ty().clone()).collect();
        let mut function = Function::trace(self.name, &types, |p| body(p).to_vec()).with_attrs(attrs);
        (function.named, function.vjp) = (Some(self), vjp);
        let results = function.call(inputs);
        std::array::from_fn(|i| results[i].clone())
    }
}

/// Declares the rows and the list of all of them.
macro_rules! table {
    ($($id:ident = $name:literal ($signature:literal) $doc:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "(", $signature, ")`: ", $doc)]
            pub static $id: Named = Named::new($name, $signature, $doc);
        )*

        /// Every row.
        pub static ALL: &[&Named] = &[$(&$id),*];
    };
}

table! {
    RELU = "relu" ("x") "max(x, 0)";
    THRESHOLD_RELU = "threshold_relu" ("x; threshold, negative_slope, max_value") "x from `threshold` on, up to `max_value`; `negative_slope` (x - `threshold`) below";
    LEAKY_RELU = "leaky_relu" ("x; negative_slope") "x above 0, `negative_slope` x below";
    PRELU = "prelu" ("x, alpha") "x above 0, alpha x below";
    RELU6 = "relu6" ("x") "min(max(x, 0), 6)";
    ELU = "elu" ("x; alpha") "x above 0, `alpha` (exp(x) - 1) below";
    CELU = "celu" ("x") "elu with the continuously differentiable parametrisation";
    SELU = "selu" ("x") "the self-normalising elu";
    SIGMOID = "sigmoid" ("x") "1 / (1 + exp(-x))";
    HARD_SIGMOID = "hard_sigmoid" ("x") "relu6(x + 3) / 6";
    LOG_SIGMOID = "log_sigmoid" ("x") "log(sigmoid(x))";
    SPARSE_SIGMOID = "sparse_sigmoid" ("x") "(x + 1) / 2 between 0 and 1";
    TANH = "tanh" ("x") "the hyperbolic tangent";
    HARD_TANH = "hard_tanh" ("x") "x between -1 and 1";
    TANH_SHRINK = "tanh_shrink" ("x") "x - tanh(x)";
    SOFT_SHRINK = "soft_shrink" ("x") "x moved towards 0 by 0.5";
    HARD_SHRINK = "hard_shrink" ("x") "x, but 0 within 0.5 of 0";
    SOFTMAX = "softmax" ("x; axis") "exp(x) / sum(exp(x)) along the last axis";
    LOG_SOFTMAX = "log_softmax" ("x; axis") "the logarithm of softmax";
    SPARSEMAX = "sparsemax" ("x") "sparse probabilities along the last axis";
    SOFTPLUS = "softplus" ("x") "log(1 + exp(x))";
    SOFTSIGN = "softsign" ("x") "x / (1 + |x|)";
    SQUAREPLUS = "squareplus" ("x") "(x + sqrt(x^2 + 4)) / 2";
    SPARSE_PLUS = "sparse_plus" ("x") "relu with a parabola between -1 and 1";
    GELU = "gelu" ("x") "x times the normal distribution function of x";
    SILU = "silu" ("x") "x sigmoid(x)";
    HARD_SILU = "hard_silu" ("x") "x hard_sigmoid(x)";
    MISH = "mish" ("x") "x tanh(softplus(x))";
    GLU = "glu" ("x") "the first half of the last axis times the sigmoid of the second";
    EXPONENTIAL = "exponential" ("x") "exp(x)";

    MAXIMUM = "maximum" ("a, b") "the larger of two elements";
    MINIMUM = "minimum" ("a, b") "the smaller of two elements";
    LARGEST = "largest" ("x; axes") "the largest element along `axes`, which disappear";
    MAX_POOL = "max_pool" ("x; pool_size, strides, before") "the largest element of each window, the first of which begins `before` positions before x";
    MASKING = "masking" ("x; mask_value -> y, mask") "x, but 0 at steps whose features all equal `mask_value`; mask is true at the others";

    BATCH_NORM = "batch_norm" ("x, gamma, beta, mean, variance; axis, epsilon") "(x - mean) / sqrt(variance + `epsilon`) gamma + beta";
    BATCH_NORM_TRAIN = "batch_norm_train" ("x, gamma, beta, mask?; axis, epsilon -> y, mean, variance") "batch_norm with the batch's own mean and variance";
    LAYER_NORM = "layer_norm" ("x, gamma?, beta?; axes, epsilon, rms_scaling, scale, center") "normalization over `axes` of each sample; gamma is there with `scale`, beta with `center`";
    GROUP_NORM = "group_norm" ("x, gamma?, beta?; groups, axis, epsilon, scale, center") "normalization over groups of channels; gamma is there with `scale`, beta with `center`";
    RMS_NORM = "rms_norm" ("x, scale; axes, epsilon") "x / sqrt(mean(x^2) + `epsilon`) scale over `axes`";
    UNIT_NORM = "unit_norm" ("x; axes, floor") "x / sqrt(max(sum(x^2), `floor`)) over `axes`";

    SIMPLE_RNN_CELL = "simple_rnn_cell" ("z, hU; activation -> h") "activation(z + hU), z being the part of the input, hU that of the state";
    LSTM_CELL = "lstm_cell" ("z, hU, c; activation, recurrent_activation -> h, c") "one step of an LSTM; z and hU hold the gates input, forget, new, output";
    GRU_CELL = "gru_cell" ("z, hU, h; activation, recurrent_activation -> h") "one step of a GRU; z and hU hold the gates update, reset, new";
    GRU_GATES = "gru_gates" ("z, hU; recurrent_activation -> gates") "update and reset gate of a GRU whose reset gate comes before the product";
    GRU_MIX = "gru_mix" ("z, rhU, update, h; activation -> h") "the state of such a GRU";

    ATTENTION = "attention" ("q, k, v, mask?, factors?; scale, causal, window, scored, masked, dropped -> y, scores?") "softmax(q k^T `scale`) v, each [batch, steps, heads, width]; mask is there when `masked`, factors of the scores when `dropped`, scores when `scored`";

    CHOSEN = "chosen" ("x; among") "x itself, marked as numbers that choose rows or classes";
    ABS_MAX_QUANTIZE = "abs_max_quantize" ("x; axes -> rounded, scale") "x as whole numbers from -127 to 127 and the scale over `axes`";
    DEQUANTIZE = "dequantize" ("sums, scale") "sums of products of whole numbers, divided by the product of their scales";

    HINGE = "hinge" ("t, p") "mean(max(1 - t p, 0))";
    SQUARED_HINGE = "squared_hinge" ("t, p") "mean(max(1 - t p, 0)^2)";
    CATEGORICAL_HINGE = "categorical_hinge" ("t, p") "max(largest wrong score - right score + 1, 0)";
    KL_DIVERGENCE = "kl_divergence" ("t, p") "sum(t log(t / p))";
    POISSON = "poisson" ("t, p") "mean(p - t log p)";
    BINARY_FOCAL_CROSSENTROPY = "binary_focal_crossentropy" ("t, p; from_logits, label_smoothing, apply_class_balancing, alpha, gamma") "binary crossentropy in which easy samples count less";
    CATEGORICAL_FOCAL_CROSSENTROPY = "categorical_focal_crossentropy" ("t, p; from_logits, label_smoothing, alpha, gamma") "categorical crossentropy in which easy samples count less";
    CATEGORICAL_GENERALIZED_CROSS_ENTROPY = "categorical_generalized_cross_entropy" ("labels, p; q") "(1 - p_t^`q`) / `q`";
    BINARY_CROSSENTROPY = "binary_crossentropy" ("t, p; from_logits, label_smoothing") "mean(-(t log p + (1 - t) log(1 - p)))";
    CATEGORICAL_CROSSENTROPY = "categorical_crossentropy" ("t, p; from_logits, label_smoothing") "-sum(t log p)";
    SPARSE_CATEGORICAL_CROSSENTROPY = "sparse_categorical_crossentropy" ("labels, p; from_logits, ignore_class") "-log p_t";
    MEAN_SQUARED_ERROR = "mean_squared_error" ("t, p") "mean((t - p)^2) over the last axis";
    MEAN_ABSOLUTE_ERROR = "mean_absolute_error" ("t, p") "mean(|t - p|) over the last axis";
    MEAN_ABSOLUTE_PERCENTAGE_ERROR = "mean_absolute_percentage_error" ("t, p") "100 mean(|t - p| / max(|t|, 1e-7)) over the last axis";
    MEAN_SQUARED_LOGARITHMIC_ERROR = "mean_squared_logarithmic_error" ("t, p") "mean((log(t + 1) - log(p + 1))^2) over the last axis";
    HUBER = "huber" ("t, p; delta") "squared below `delta`, linear beyond";
    LOG_COSH = "log_cosh" ("t, p") "mean(log(cosh(p - t))) over the last axis";
    COSINE_SIMILARITY = "cosine_similarity" ("t, p") "minus the cosine between t and p along the last axis";
    DICE = "dice" ("t, p; axis") "1 - 2 sum(t p) / (sum(t) + sum(p)) over `axis`, or everything";
    TVERSKY = "tversky" ("t, p; alpha, beta, axis") "1 - overlap over `axis`, with weight `alpha` for what is missing and `beta` for what is too much";
    PEARSON_CORRELATION = "pearson_correlation" ("t, p") "the correlation of t and p along the last axis";
    CONCORDANCE_CORRELATION = "concordance_correlation" ("t, p") "the agreement of t and p along the last axis";
    ACCURACY = "accuracy" ("t, p") "1 where t equals p";
    BINARY_ACCURACY = "binary_accuracy" ("t, p; threshold") "1 where p is on the side of `threshold` that t says";
    ROOT_MEAN_SQUARED_ERROR = "root_mean_squared_error" ("t, p") "(t - p)^2, whose mean the metric takes the root of";
}

impl PartialEq for Named {
    fn eq(&self, other: &Named) -> bool {
        std::ptr::eq(self, other)
    }
}
impl Eq for Named {}

impl std::hash::Hash for Named {
    fn hash<H: std::hash::Hasher>(&self, h: &mut H) {
        std::ptr::from_ref(self).hash(h);
    }
}

impl std::fmt::Debug for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
