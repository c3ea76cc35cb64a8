//! Learning rates as functions of the number of steps so far.

use super::out_of_range;
use crate::Handle;
use crate::object::{Object, Setting};
use rhyton_graph::Expr;
use rhyton_tensor::{Error, Result};
use std::sync::Arc;

/// A schedule.
pub trait Schedule: Object {
    /// The rate (float32 scalar) after `step` steps (float32 scalar, 0 at the first step).
    fn rate(&self, step: &Expr) -> Expr;

    /// Whether the settings make sense.
    ///
    /// # Errors
    /// When they do not; says which and what would be right.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// A shared schedule.
pub type ScheduleRef = Handle<dyn Schedule>;

impl<S: Schedule> From<S> for ScheduleRef {
    fn from(s: S) -> ScheduleRef {
        ScheduleRef::new(Arc::new(s))
    }
}

// The schedules.
crate::registry! {
    dyn Schedule, "learning rate schedule" in "keras.optimizers.schedules";
    ExponentialDecay "rate * decay_rate ^ (step / decay_steps)": ExponentialDecay::new(0.1, 10, 0.5).staircase(true);
    InverseTimeDecay "rate / (1 + decay_rate * step / decay_steps)": InverseTimeDecay::new(0.1, 10, 0.5);
    PiecewiseConstantDecay "a value for each stretch of steps": PiecewiseConstantDecay::new(&[5, 10], &[0.1, 0.05, 0.01]);
    PolynomialDecay "from one rate to another along a power": PolynomialDecay::new(0.1, 10).power(2.0).cycle(true);
    CosineDecay "along half a cosine, after an optional warm-up": CosineDecay::new(0.0, 10).warmup_target(0.1).warmup_steps(5.0);
    CosineDecayRestarts "along half cosines that start again": CosineDecayRestarts::new(0.1, 10).t_mul(1.5);
}

/// Numbers of steps in settings: any number that converts.
fn steps(class: &str, name: &str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        Ok(())
    } else {
        Err(out_of_range(class, name, value, "more than 0"))
    }
}

/// `step / decay_steps`, whole numbers only where `staircase` is set.
fn progress(step: &Expr, decay_steps: f64, staircase: bool) -> Expr {
    let p = step / Expr::scalar(decay_steps as f32);
    if staircase { p.floor() } else { p }
}

crate::object! {
    /// `initial_learning_rate * decay_rate ^ (step / decay_steps)`.
    pub struct ExponentialDecay {
        /// The rate at step 0.
        initial_learning_rate: f64 = 0.1,
        /// Steps until the rate has fallen by `decay_rate`.
        decay_steps: f64 = 1.0,
        /// The factor.
        decay_rate: f64 = 0.9,
        /// Falls in jumps, every `decay_steps`.
        staircase: bool = false,
        /// A name.
        name: String = "ExponentialDecay".into(),
    }
}

impl ExponentialDecay {
    /// From a rate, by `decay_rate` every `decay_steps` steps.
    pub fn new(initial_learning_rate: f64, decay_steps: usize, decay_rate: f64) -> ExponentialDecay {
        let decay_steps = decay_steps as f64;
        ExponentialDecay { initial_learning_rate, decay_steps, decay_rate, ..ExponentialDecay::default() }
    }
}

impl Schedule for ExponentialDecay {
    fn rate(&self, step: &Expr) -> Expr {
        let p = progress(step, self.decay_steps, self.staircase);
        self.initial_learning_rate as f32 * Expr::scalar(self.decay_rate as f32).pow(&p)
    }
    fn check(&self) -> Result<()> {
        steps("ExponentialDecay", "decay_steps", self.decay_steps)
    }
}

crate::object! {
    /// `initial_learning_rate / (1 + decay_rate * step / decay_steps)`.
    pub struct InverseTimeDecay {
        /// The rate at step 0.
        initial_learning_rate: f64 = 0.1,
        /// The unit of time.
        decay_steps: f64 = 1.0,
        /// How fast it falls.
        decay_rate: f64 = 0.9,
        /// Falls in jumps, every `decay_steps`.
        staircase: bool = false,
        /// A name.
        name: String = "InverseTimeDecay".into(),
    }
}

impl InverseTimeDecay {
    /// From a rate, with `decay_rate` per `decay_steps` steps.
    pub fn new(initial_learning_rate: f64, decay_steps: usize, decay_rate: f64) -> InverseTimeDecay {
        let decay_steps = decay_steps as f64;
        InverseTimeDecay { initial_learning_rate, decay_steps, decay_rate, ..InverseTimeDecay::default() }
    }
}

impl Schedule for InverseTimeDecay {
    fn rate(&self, step: &Expr) -> Expr {
        let p = progress(step, self.decay_steps, self.staircase);
        self.initial_learning_rate as f32 / (1.0 + self.decay_rate as f32 * p)
    }
    fn check(&self) -> Result<()> {
        steps("InverseTimeDecay", "decay_steps", self.decay_steps)
    }
}

impl Setting<Vec<f64>> for Vec<f64> {
    fn setting(self) -> Vec<f64> {
        self
    }
}

crate::object! {
    /// `values[0]` up to and including step `boundaries[0]`, `values[1]` up to `boundaries[1]`, ..; the last
    /// value after the last boundary.
    pub struct PiecewiseConstantDecay {
        /// Steps at which stretches end, ascending.
        boundaries: Vec<f64> = vec![],
        /// Rates, one more than boundaries.
        values: Vec<f64> = vec![],
        /// A name.
        name: String = "PiecewiseConstant".into(),
    }
}

impl PiecewiseConstantDecay {
    /// Rates between boundaries; one rate more than boundaries.
    pub fn new(boundaries: &[usize], values: &[f64]) -> PiecewiseConstantDecay {
        PiecewiseConstantDecay {
            boundaries: boundaries.iter().map(|b| *b as f64).collect(),
            values: values.to_vec(),
            ..PiecewiseConstantDecay::default()
        }
    }
}

impl Schedule for PiecewiseConstantDecay {
    fn rate(&self, step: &Expr) -> Expr {
        let Some((last, values)) = self.values.split_last() else {
            return Expr::poison(Error::new("PiecewiseConstantDecay has no values"));
        };
        let stretches = self.boundaries.iter().zip(values).rev();
        stretches.fold(Expr::scalar(*last as f32), |later, (end, value)| {
            step.less_equal(&Expr::scalar(*end as f32)).select(&Expr::scalar(*value as f32), &later)
        })
    }
    fn check(&self) -> Result<()> {
        let (b, v) = (&self.boundaries, &self.values);
        if b.is_empty() || v.len() != b.len() + 1 {
            let what = format!("PiecewiseConstantDecay got {} boundaries and {} values", b.len(), v.len());
            return Err(Error::new(what).expected("one value more than boundaries"));
        }
        if !b.is_sorted() {
            return Err(Error::new("the boundaries of PiecewiseConstantDecay are not ascending"));
        }
        Ok(())
    }
}

crate::object! {
    /// `(initial - end) * (1 - min(step, decay_steps) / decay_steps) ^ power + end`.
    pub struct PolynomialDecay {
        /// The rate at step 0.
        initial_learning_rate: f64 = 0.1,
        /// Steps until the end.
        decay_steps: f64 = 1.0,
        /// The rate at the end.
        end_learning_rate: f64 = 0.0001,
        /// 1 is a straight line.
        power: f64 = 1.0,
        /// Starts again over longer stretches instead of staying at the end.
        cycle: bool = false,
        /// A name.
        name: String = "PolynomialDecay".into(),
    }
}

impl PolynomialDecay {
    /// From a rate to 0.0001 over `decay_steps` steps, in a straight line.
    pub fn new(initial_learning_rate: f64, decay_steps: usize) -> PolynomialDecay {
        let decay_steps = decay_steps as f64;
        PolynomialDecay { initial_learning_rate, decay_steps, ..PolynomialDecay::default() }
    }
}

impl Schedule for PolynomialDecay {
    fn rate(&self, step: &Expr) -> Expr {
        let total = Expr::scalar(self.decay_steps as f32);
        let p = if self.cycle {
            // The first multiple of decay_steps that is not before the step; one at step 0.
            let times = -(-(step / &total)).floor();
            step / (total * times.maximum(&Expr::scalar(1.0f32)))
        } else {
            step.minimum(&total) / total
        };
        let (start, end) = (self.initial_learning_rate as f32, self.end_learning_rate as f32);
        (start - end) * (1.0 - p).pow(&Expr::scalar(self.power as f32)) + end
    }
    fn check(&self) -> Result<()> {
        steps("PolynomialDecay", "decay_steps", self.decay_steps)
    }
}

/// `(1 + cos(pi * p)) / 2`, from 1 to 0.
fn half_cosine(p: &Expr) -> Expr {
    0.5 * (1.0 + (p * std::f32::consts::PI).cos())
}

crate::object! {
    /// `rate * ((1 - alpha) * (1 + cos(pi * step / decay_steps)) / 2 + alpha)` (Loshchilov and Hutter 2016), after
    /// a straight line from `initial_learning_rate` to `warmup_target` where that is set.
    pub struct CosineDecay {
        /// The rate at step 0.
        initial_learning_rate: f64 = 0.1,
        /// Steps of the cosine.
        decay_steps: f64 = 1.0,
        /// The last rate as a part of the first.
        alpha: f64 = 0.0,
        /// A name.
        name: String = "CosineDecay".into(),
        /// The rate at the end of the warm-up.
        warmup_target: Option<f64> = None,
        /// Steps of the warm-up.
        warmup_steps: f64 = 0.0,
    }
}

impl CosineDecay {
    /// From a rate to 0 over `decay_steps` steps.
    pub fn new(initial_learning_rate: f64, decay_steps: usize) -> CosineDecay {
        let decay_steps = decay_steps as f64;
        CosineDecay { initial_learning_rate, decay_steps, ..CosineDecay::default() }
    }

    fn decayed(&self, from: f32, step: &Expr) -> Expr {
        let total = Expr::scalar(self.decay_steps as f32);
        let p = step.minimum(&total) / total;
        let alpha = self.alpha as f32;
        from * ((1.0 - alpha) * half_cosine(&p) + alpha)
    }
}

impl Schedule for CosineDecay {
    fn rate(&self, step: &Expr) -> Expr {
        let start = self.initial_learning_rate as f32;
        let Some(target) = self.warmup_target.map(|t| t as f32) else { return self.decayed(start, step) };
        let warmup = Expr::scalar(self.warmup_steps as f32);
        let rising = step / &warmup * (target - start) + start;
        step.less(&warmup).select(&rising, &self.decayed(target, &(step - &warmup)))
    }
    fn check(&self) -> Result<()> {
        steps("CosineDecay", "decay_steps", self.decay_steps)
    }
}

crate::object! {
    /// Half cosines one after the other, each `t_mul` times as long and `m_mul` times as high as the one before
    /// (Loshchilov and Hutter 2016).
    pub struct CosineDecayRestarts {
        /// The rate at step 0.
        initial_learning_rate: f64 = 0.1,
        /// Steps of the first half cosine.
        first_decay_steps: f64 = 1.0,
        /// How much longer each is than the one before.
        t_mul: f64 = 2.0,
        /// How much higher each starts than the one before.
        m_mul: f64 = 1.0,
        /// The last rate as a part of the first.
        alpha: f64 = 0.0,
        /// A name.
        name: String = "SGDRDecay".into(),
    }
}

impl CosineDecayRestarts {
    /// From a rate to 0 over `first_decay_steps` steps, then again over twice as many, ..
    pub fn new(initial_learning_rate: f64, first_decay_steps: usize) -> CosineDecayRestarts {
        let first_decay_steps = first_decay_steps as f64;
        CosineDecayRestarts { initial_learning_rate, first_decay_steps, ..CosineDecayRestarts::default() }
    }
}

impl Schedule for CosineDecayRestarts {
    fn rate(&self, step: &Expr) -> Expr {
        let done = step / Expr::scalar(self.first_decay_steps as f32);
        let t = Expr::scalar(self.t_mul as f32);
        let (restart, p) = if self.t_mul == 1.0 {
            let i = done.floor();
            (i.clone(), done - i)
        } else {
            // The stretches before restart i last (1 - t^i) / (1 - t) in units of the first.
            let i = ((1.0 - &done * (1.0 - &t)).log() / t.log()).floor();
            let scale = t.pow(&i);
            let before = (1.0 - &scale) / (1.0 - &t);
            (i, (done - before) / scale)
        };
        let height = Expr::scalar(self.m_mul as f32).pow(&restart);
        let alpha = self.alpha as f32;
        self.initial_learning_rate as f32 * ((1.0 - alpha) * (half_cosine(&p) * height) + alpha)
    }
    fn check(&self) -> Result<()> {
        steps("CosineDecayRestarts", "first_decay_steps", self.first_decay_steps)?;
        steps("CosineDecayRestarts", "t_mul", self.t_mul)
    }
}
