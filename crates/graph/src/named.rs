//! The table of named functions: every non-linear function that layers, losses and metrics are made of has an identity
//! here. Kernels, rules of [`crate::transform`], listings and exporters key on the identity, never on a name that a
//! user can choose.
//!
//! A row says what the function computes; its body stands where the function is defined, once.

use crate::expr::{Expr, Type};
use crate::function::{Function, VjpRule};
use serde_json::Value;

/// The identity of a function: two are the same when they are the same row of the table.
pub struct Named {
    /// What people and exporters call it.
    pub name: &'static str,
    /// What it computes.
    pub doc: &'static str,
}

impl Named {
    /// A row of a table of one's own, for a `static`: rules can key on it as on those here.
    pub const fn new(name: &'static str, doc: &'static str) -> Named {
        Named { name, doc }
    }

    /// Applies the function to `inputs`: one call with one result. `attrs` are the settings that `body` uses.
    ///
    /// ```
    /// use rhyton_graph::{Expr, Named, Type};
    /// static SWISH: Named = Named::new("swish", "x sigmoid(x)");
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
    ($($id:ident = $name:literal, $doc:literal;)*) => {
        $(#[doc = $doc] pub static $id: Named = Named::new($name, $doc);)*

        /// Every row.
        pub static ALL: &[&Named] = &[$(&$id),*];
    };
}

table! {
    RELU = "relu", "max(x, 0)";
    THRESHOLD_RELU = "threshold_relu", "x from `threshold` on, up to `max_value`; `negative_slope` (x - threshold) below";
    LEAKY_RELU = "leaky_relu", "x above 0, `negative_slope` x below";
    PRELU = "prelu", "x above 0, alpha x below, for inputs (x, alpha)";
    RELU6 = "relu6", "min(max(x, 0), 6)";
    ELU = "elu", "x above 0, `alpha` (exp(x) - 1) below";
    CELU = "celu", "elu with the continuously differentiable parametrisation";
    SELU = "selu", "the self-normalising elu";
    SIGMOID = "sigmoid", "1 / (1 + exp(-x))";
    HARD_SIGMOID = "hard_sigmoid", "relu6(x + 3) / 6";
    LOG_SIGMOID = "log_sigmoid", "log(sigmoid(x))";
    SPARSE_SIGMOID = "sparse_sigmoid", "(x + 1) / 2 between 0 and 1";
    TANH = "tanh", "the hyperbolic tangent";
    HARD_TANH = "hard_tanh", "x between -1 and 1";
    TANH_SHRINK = "tanh_shrink", "x - tanh(x)";
    SOFT_SHRINK = "soft_shrink", "x moved towards 0 by 0.5";
    HARD_SHRINK = "hard_shrink", "x, but 0 within 0.5 of 0";
    SOFTMAX = "softmax", "exp(x) / sum(exp(x)) along the last axis";
    LOG_SOFTMAX = "log_softmax", "the logarithm of softmax";
    SPARSEMAX = "sparsemax", "sparse probabilities along the last axis";
    SOFTPLUS = "softplus", "log(1 + exp(x))";
    SOFTSIGN = "softsign", "x / (1 + |x|)";
    SQUAREPLUS = "squareplus", "(x + sqrt(x^2 + 4)) / 2";
    SPARSE_PLUS = "sparse_plus", "relu with a parabola between -1 and 1";
    GELU = "gelu", "x times the normal distribution function of x";
    SILU = "silu", "x sigmoid(x)";
    HARD_SILU = "hard_silu", "x hard_sigmoid(x)";
    MISH = "mish", "x tanh(softplus(x))";
    GLU = "glu", "the first half of the last axis times the sigmoid of the second";
    EXPONENTIAL = "exponential", "exp(x)";

    BATCH_NORM = "batch_norm", "(x - mean) / sqrt(variance + `epsilon`) gamma + beta, for inputs (x, gamma, beta, mean, variance)";
    BATCH_NORM_TRAIN = "batch_norm_train", "batch_norm with the batch's own mean and variance, for inputs (x, gamma, beta, mask if any) to (y, mean, variance)";
    LAYER_NORM = "layer_norm", "normalization over `axes` of each sample, for inputs (x, gamma and beta if any)";
    GROUP_NORM = "group_norm", "normalization over groups of channels, for inputs (x, gamma and beta if any)";
    RMS_NORM = "rms_norm", "x / sqrt(mean(x^2) + `epsilon`) scale over `axes`, for inputs (x, scale)";
    UNIT_NORM = "unit_norm", "x over its Euclidean norm along `axes`";

    SIMPLE_RNN_CELL = "simple_rnn_cell", "activation(z + h U), for inputs (z, h U)";
    LSTM_CELL = "lstm_cell", "one step of an LSTM, for inputs (z, h U, c) to (h, c)";
    GRU_CELL = "gru_cell", "one step of a GRU, for inputs (z, h U, h)";
    GRU_GATES = "gru_gates", "update and reset gate of a GRU whose reset gate comes before the product, for inputs (z, h U)";
    GRU_MIX = "gru_mix", "the state of such a GRU, for inputs (z, r h U, update, h)";

    ATTENTION = "attention", "softmax(q k^T `scale`) v, for inputs (q, k, v, a mask and factors of the scores if any)";

    CHOSEN = "chosen", "x itself, marked as numbers that choose rows or classes";
    ABS_MAX_QUANTIZE = "abs_max_quantize", "x as whole numbers from -127 to 127 and the scale over `axes`";

    HINGE = "hinge", "mean(max(1 - t p, 0))";
    SQUARED_HINGE = "squared_hinge", "mean(max(1 - t p, 0)^2)";
    CATEGORICAL_HINGE = "categorical_hinge", "max(largest wrong score - right score + 1, 0)";
    KL_DIVERGENCE = "kl_divergence", "sum(t log(t / p))";
    POISSON = "poisson", "mean(p - t log p)";
    BINARY_FOCAL_CROSSENTROPY = "binary_focal_crossentropy", "binary crossentropy in which easy samples count less";
    CATEGORICAL_FOCAL_CROSSENTROPY = "categorical_focal_crossentropy", "categorical crossentropy in which easy samples count less";
    CATEGORICAL_GENERALIZED_CROSS_ENTROPY = "categorical_generalized_cross_entropy", "(1 - p_t^`q`) / `q`";
    BINARY_CROSSENTROPY = "binary_crossentropy", "mean(-(t log p + (1 - t) log(1 - p)))";
    CATEGORICAL_CROSSENTROPY = "categorical_crossentropy", "-sum(t log p)";
    SPARSE_CATEGORICAL_CROSSENTROPY = "sparse_categorical_crossentropy", "-log p_t";
    MEAN_SQUARED_ERROR = "mean_squared_error", "mean((t - p)^2) over the last axis";
    MEAN_ABSOLUTE_ERROR = "mean_absolute_error", "mean(|t - p|) over the last axis";
    MEAN_ABSOLUTE_PERCENTAGE_ERROR = "mean_absolute_percentage_error", "100 mean(|t - p| / max(|t|, 1e-7)) over the last axis";
    MEAN_SQUARED_LOGARITHMIC_ERROR = "mean_squared_logarithmic_error", "mean((log(t + 1) - log(p + 1))^2) over the last axis";
    HUBER = "huber", "squared below `delta`, linear beyond";
    LOG_COSH = "log_cosh", "mean(log(cosh(p - t))) over the last axis";
    COSINE_SIMILARITY = "cosine_similarity", "minus the cosine between t and p along the last axis";
    DICE = "dice", "1 - 2 sum(t p) / (sum(t) + sum(p))";
    TVERSKY = "tversky", "1 - overlap, with weights for what is missing and what is too much";
    PEARSON_CORRELATION = "pearson_correlation", "the correlation of t and p along the last axis";
    CONCORDANCE_CORRELATION = "concordance_correlation", "the agreement of t and p along the last axis";
    ACCURACY = "accuracy", "1 where t equals p";
    BINARY_ACCURACY = "binary_accuracy", "1 where p is on the side of `threshold` that t says";
    ROOT_MEAN_SQUARED_ERROR = "root_mean_squared_error", "(t - p)^2, whose mean the metric takes the root of";
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
