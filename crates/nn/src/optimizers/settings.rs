//! The settings that every optimizer has.

use super::{LearningRate, out_of_range};
use crate::object::Setting;
use rhyton_tensor::{Error, Result};
use serde::{Deserialize, Serialize};

/// Declares the settings once: as fields, and as setters of the optimizers that hold them.
macro_rules! common {
    ($($(#[$meta:meta])* $field:ident: $ty:ty = $default:expr,)*) => {
        /// Settings that every optimizer has.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Common { $($(#[$meta])* pub $field: $ty,)* }

        impl Default for Common {
            fn default() -> Common { Common { $($field: $default,)* } }
        }

        /// Setters of the [`Common`] settings; implemented by [`optimizer!`](crate::optimizer!).
        pub trait CommonSettings: Settings + Sized {
            /// The settings that every optimizer has.
            fn common_mut(&mut self) -> &mut Common;

            $($(#[$meta])*
            #[track_caller]
            fn $field(mut self, value: impl Setting<$ty>) -> Self {
                self.common_mut().$field = value.setting();
                self
            })*
        }
    };
}

common! {
    /// The name in records.
    name: String = String::new(),
    /// A number or a schedule.
    learning_rate: LearningRate = 0.001.into(),
    /// Weights lose this part of themselves times the learning rate at every step.
    weight_decay: Option<f64> = None,
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
    /// Overwrites the weights with their averages every so many steps; the end of training does it in any case.
    ema_overwrite_frequency: Option<usize> = None,
    /// The loss is multiplied by this before gradients are taken, and gradients divided by it.
    loss_scale_factor: Option<f64> = None,
    /// Weights change once in so many steps, by the mean of the gradients.
    gradient_accumulation_steps: Option<usize> = None,
}

/// Access to the [`Common`] settings; implemented by [`optimizer!`](crate::optimizer!).
pub trait Settings {
    /// The settings that every optimizer has.
    fn common(&self) -> &Common;
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
    ($(#[$meta:meta])* $vis:vis struct $class:ident($name:literal, $rate:literal $(, $decay:expr)?) {
        $($fields:tt)*
    }) => {
        $crate::object!(@define [$(#[$meta])* $vis] $class {
            /// The settings that every optimizer has.
            #[serde(flatten)]
            pub common: $crate::optimizers::Common = $crate::optimizers::Common {
                name: $name.into(),
                learning_rate: $rate.into(),
                $(weight_decay: $decay,)?
                ..Default::default()
            }
        } $($fields)*);
        $crate::object!(@object $class []
            fn from_config(config: $crate::__private::Value) -> $crate::__private::Result<Self> {
                // The settings that all share would not know the defaults of this class.
                let mut all = <Self as $crate::Object>::config(&Self::default());
                if let $crate::__private::Value::Object(given) = config {
                    all.extend(given);
                }
                $crate::object::from_fields(all.into())
            }
        );

        impl $class {
            /// With a learning rate: a number or a schedule.
            #[track_caller]
            pub fn new(learning_rate: impl $crate::Setting<$crate::optimizers::LearningRate>) -> Self {
                $crate::optimizers::CommonSettings::learning_rate(Self::default(), learning_rate)
            }
        }

        impl $crate::optimizers::Settings for $class {
            fn common(&self) -> &$crate::optimizers::Common { &self.common }
        }

        impl $crate::optimizers::CommonSettings for $class {
            fn common_mut(&mut self) -> &mut $crate::optimizers::Common { &mut self.common }
        }
    };
}
