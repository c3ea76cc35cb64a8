//! The settings that every optimizer has.

use super::{LearningRate, out_of_range};
use rhyton_tensor::{Error, Result};

/// Settings that every optimizer has.
#[derive(Clone, Debug)]
pub struct Common {
    /// The name in files.
    pub name: String,
    /// A number or a schedule.
    pub learning_rate: LearningRate,
    /// Weights lose this part of themselves times the learning rate at every step.
    pub weight_decay: Option<f64>,
    /// The largest norm of the gradient of one weight.
    pub clipnorm: Option<f64>,
    /// The largest norm of all gradients together.
    pub global_clipnorm: Option<f64>,
    /// The largest absolute value of an element of a gradient.
    pub clipvalue: Option<f64>,
    /// Keeps running averages of the weights.
    pub use_ema: bool,
    /// Their decay.
    pub ema_momentum: f64,
    /// Overwrites the weights with their averages every so many steps; the end of training does it in any case.
    pub ema_overwrite_frequency: Option<usize>,
    /// The loss is multiplied by this before gradients are taken, and gradients divided by it.
    pub loss_scale_factor: Option<f64>,
    /// Weights change once in so many steps, by the mean of the gradients.
    pub gradient_accumulation_steps: Option<usize>,
}

/// Access to the [`Common`] settings; implemented by [`optimizer!`](crate::optimizer!).
pub trait Settings {
    /// The settings that every optimizer has.
    fn common(&self) -> Common;
}

impl Common {
    /// Whether the settings make sense for the optimizer `class`.
    ///
    /// # Errors
    /// The first that does not, with what would be right.
    pub fn check(&self, class: &str) -> Result<()> {
        self.learning_rate.check(class)?;
        let clips = [
            ("clipnorm", self.clipnorm),
            ("global_clipnorm", self.global_clipnorm),
            ("clipvalue", self.clipvalue),
        ];
        let set: Vec<&str> = clips.iter().filter(|(_, v)| v.is_some()).map(|(n, _)| *n).collect();
        if set.len() > 1 {
            return Err(Error::new(format!("{class} clips gradients in two ways: {}", set.join(" and ")))
                .expected("at most one of clipnorm, global_clipnorm and clipvalue"));
        }
        let positive = [("weight_decay", self.weight_decay), ("loss_scale_factor", self.loss_scale_factor)];
        for (name, value) in clips.into_iter().chain(positive) {
            if let Some(v) = value.filter(|v| !(v.is_finite() && *v >= 0.0)) {
                return Err(out_of_range(class, name, v, "a number of at least 0"));
            }
        }
        if !(0.0..=1.0).contains(&self.ema_momentum) {
            return Err(out_of_range(class, "ema_momentum", self.ema_momentum, "a number between 0 and 1"));
        }
        if self.ema_overwrite_frequency == Some(0) {
            return Err(out_of_range(class, "ema_overwrite_frequency", 0, "at least 1, or nothing"));
        }
        if let Some(k) = self.gradient_accumulation_steps.filter(|k| *k < 2) {
            return Err(out_of_range(class, "gradient_accumulation_steps", k, "at least 2, or nothing"));
        }
        Ok(())
    }
}

/// Defines an optimizer: [`object!`](crate::object!) with the settings that all have, given its default name and
/// learning rate, and its weight decay where there is one by default.
#[macro_export]
macro_rules! optimizer {
    ($(#[$meta:meta])* $vis:vis struct $class:ident($name:literal, $rate:literal) { $($fields:tt)* }) => {
        $crate::optimizer! { $(#[$meta])* $vis struct $class($name, $rate, None) { $($fields)* } }
    };
    ($(#[$meta:meta])* $vis:vis struct $class:ident($name:literal, $rate:literal, $decay:expr) {
        $($fields:tt)*
    }) => {
        $crate::object! {
            $(#[$meta])*
            $vis struct $class {
                /// The name in files.
                name: String = $name.into(),
                /// A number or a schedule.
                learning_rate: $crate::optimizers::LearningRate = $rate.into(),
                /// Weights lose this part of themselves times the learning rate at every step.
                weight_decay: Option<f64> = $decay,
                /// The largest norm of the gradient of one weight.
                clipnorm: Option<f64> = None,
                /// The largest norm of all gradients together.
                global_clipnorm: Option<f64> = None,
                /// The largest absolute value of an element of a gradient.
                clipvalue: Option<f64> = None,
                /// Keeps running averages of the weights.
                use_ema: bool = false,
                /// Their decay.
                ema_momentum: f64 = 0.99,
                /// Overwrites the weights with their averages every so many steps; at the end of training when
                /// nothing is set.
                ema_overwrite_frequency: Option<usize> = None,
                /// The loss is multiplied by this before gradients are taken, and gradients divided by it.
                loss_scale_factor: Option<f64> = None,
                /// Weights change once in so many steps, by the mean of the gradients.
                gradient_accumulation_steps: Option<usize> = None,
                $($fields)*
            }
        }

        impl $class {
            /// With a learning rate: a number or a schedule.
            #[track_caller]
            pub fn new(learning_rate: impl $crate::Setting<$crate::optimizers::LearningRate>) -> Self {
                Self::default().learning_rate(learning_rate)
            }
        }

        impl $crate::optimizers::Settings for $class {
            fn common(&self) -> $crate::optimizers::Common {
                $crate::optimizers::Common {
                    name: self.name.clone(),
                    learning_rate: self.learning_rate.clone(),
                    weight_decay: self.weight_decay,
                    clipnorm: self.clipnorm,
                    global_clipnorm: self.global_clipnorm,
                    clipvalue: self.clipvalue,
                    use_ema: self.use_ema,
                    ema_momentum: self.ema_momentum,
                    ema_overwrite_frequency: self.ema_overwrite_frequency,
                    loss_scale_factor: self.loss_scale_factor,
                    gradient_accumulation_steps: self.gradient_accumulation_steps,
                }
            }
        }
    };
}
