//! Optimizers: how gradients change weights. An optimizer describes one update of one weight; [`Pipeline`] does
//! around it what Keras does around every optimizer.

mod adafactor;
mod adagrad;
mod adam;
mod adamax;
mod apply;
mod ftrl;
mod lamb;
mod lion;
mod loss_scale;
mod muon;
mod nadam;
mod pipeline;
mod rate;
mod rmsprop;
mod schedule_free;
pub mod schedules;
mod settings;
mod sgd;

pub use adafactor::Adafactor;
pub use adagrad::{Adadelta, Adagrad};
pub use adam::{Adam, AdamW};
pub use adamax::Adamax;
pub use ftrl::Ftrl;
pub use lamb::Lamb;
pub use lion::Lion;
pub use loss_scale::LossScaleOptimizer;
pub use muon::Muon;
pub use nadam::Nadam;
pub use pipeline::{Pipeline, Step};
pub use rate::LearningRate;
pub use rmsprop::RMSprop;
pub use schedule_free::ScheduleFreeAdamW;
pub use settings::{Common, CommonSettings, Settings};
pub use sgd::SGD;

use crate::Handle;
use crate::layer::Variable;
use crate::object::Object;
use rhyton_graph::Expr;
use rhyton_tensor::{DType, Error, Result};
use std::sync::Arc;

/// How a slot starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// Every element this number.
    Value(f32),
    /// A copy of the weight.
    Weight,
}

/// A slot: memory that an optimizer keeps for every trained weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// Keras's name: `momentum`.
    pub name: &'static str,
    /// Sizes, where they are not the weight's.
    pub shape: Option<Vec<usize>>,
    /// float32, or int32.
    pub dtype: DType,
    /// How it starts.
    pub start: Start,
    /// The state holds the slots of group 0 first, weight by weight, then those of group 1, ..
    pub group: usize,
}

impl Slot {
    /// A float32 slot of the weight's shape that starts with zeros, in group 0.
    pub fn new(name: &'static str) -> Slot {
        Slot { name, shape: None, dtype: DType::F32, start: Start::Value(0.0), group: 0 }
    }
}

/// What an update may use besides gradient, weight and slots.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The learning rate, a float32 scalar.
    pub learning_rate: Expr,
    /// Number of this update, from 1, a float32 scalar.
    pub step: Expr,
    /// What the optimizer keeps once for all weights, after [`Optimizer::advance`].
    pub shared: Vec<Expr>,
}

impl Moment {
    /// `1 - beta ^ step`: what an average of decay `beta` that started at zero lacks.
    pub fn correction(&self, beta: f64) -> Expr {
        1.0 - Expr::scalar(beta as f32).pow(&self.step)
    }
}

/// An optimizer. The settings that all have come with [`optimizer!`](crate::optimizer!).
///
/// ```
/// use rhyton_graph::Expr;
/// use rhyton_nn::optimizers::{Moment, Optimizer, Slot};
/// rhyton_nn::optimizer! {
///     /// Follows the sign of the gradient.
///     pub struct SignDescent("sign_descent", 0.01) {}
/// }
/// impl Optimizer for SignDescent {
///     fn update(&self, at: &Moment, g: &Expr, w: &Expr, _: &[Expr]) -> (Expr, Vec<Expr>) {
///         (w - &at.learning_rate * g.sign(), vec![])
///     }
/// }
/// ```
pub trait Optimizer: Object + Settings {
    /// The slots of a weight.
    fn slots(&self, _of: &Variable) -> Vec<Slot> {
        vec![]
    }

    /// New weight and new slots from the gradient `g` (after clipping) of the weight `w` (after decay).
    fn update(&self, at: &Moment, g: &Expr, w: &Expr, slots: &[Expr]) -> (Expr, Vec<Expr>);

    /// Start values of the float32 scalars that are kept once for all weights.
    fn shared(&self) -> Vec<f32> {
        vec![]
    }

    /// Those scalars after one more step; called before the updates of the weights.
    fn advance(&self, at: &Moment) -> Vec<Expr> {
        at.shared.clone()
    }

    /// The part of a weight that decays at every step, in units of the learning rate.
    fn decay(&self, _of: &Variable) -> Option<f64> {
        self.common().weight_decay
    }

    /// Whether the optimizer's own settings make sense.
    ///
    /// # Errors
    /// When they do not; says which and what would be right.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The optimizer inside, for those that watch the scale of the loss around another.
    fn scaled(&self) -> Option<&LossScaleOptimizer> {
        None
    }
}

/// A shared optimizer.
pub type OptimizerRef = Handle<dyn Optimizer>;

impl<O: Optimizer> From<O> for OptimizerRef {
    fn from(o: O) -> OptimizerRef {
        OptimizerRef::new(Arc::new(o))
    }
}

// The optimizers. Strings name them by their class, in any case: `adamw`.
crate::registry! {
    dyn Optimizer, "optimizer" in "keras.optimizers";
    SGD "Gradient descent, with momentum and Nesterov's variant.": SGD::new(0.1).momentum(0.9).nesterov(true);
    RMSprop "Gradients over a running root mean square.": RMSprop::new(0.01).centered(true);
    Adam "Running first and second moments.": Adam::new(0.01).amsgrad(true).clipnorm(1.0);
    AdamW "Adam with decoupled weight decay.": AdamW::new(0.01).weight_decay(0.1).use_ema(true);
    Adagrad "Gradients over the root of all squares so far.";
    Adadelta "Adagrad over a window, without a rate of its own.";
    Adamax "Adam with the infinity norm.";
    Nadam "Adam with Nesterov momentum.";
    Ftrl "Follow the regularized leader, for sparse weights.";
    Lion "The sign of an interpolated momentum.";
    Lamb "Adam scaled to the size of each weight, for large batches.";
    Adafactor "Second moments factored into rows and columns.";
    Muon "Orthogonalised momentum for matrices, Adam for the rest.";
    ScheduleFreeAdamW "Adam that averages instead of lowering its rate.";
    LossScaleOptimizer "Another optimizer behind a dynamic scale of the loss.": LossScaleOptimizer::new(SGD::new(schedules::CosineDecay::new(0.1, 10)));
}

/// The error of a setting out of its range.
pub(crate) fn out_of_range(
    class: &str,
    setting: &str,
    value: impl std::fmt::Display,
    expected: &str,
) -> Error {
    Error::new(format!("{class} got {setting}={value}")).expected(expected)
}

/// `old` moved towards `new` by `1 - beta`: Keras's running average.
pub(crate) fn moved(old: &Expr, new: &Expr, beta: f64) -> Expr {
    old + (new - old) * (1.0 - beta) as f32
}
