//! [`LearningRate`]: a number or a schedule.

use super::out_of_range;
use super::schedules::{Schedule, ScheduleRef};
use crate::object::Setting;
use rhyton_graph::Expr;
use rhyton_tensor::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// The learning rate of an optimizer.
#[derive(Clone, Debug)]
pub enum LearningRate {
    /// A number, kept in float32 as in Keras: 0.001 reads back as 0.0010000000474974513.
    Number(f32),
    /// A function of the number of steps so far.
    Schedule(ScheduleRef),
}

impl LearningRate {
    /// Whether the rate makes sense for the optimizer `class`.
    ///
    /// # Errors
    /// When it is negative or not finite, or the schedule's settings are wrong.
    pub fn check(&self, class: &str) -> Result<()> {
        match self {
            LearningRate::Number(x) if x.is_finite() && *x >= 0.0 => Ok(()),
            LearningRate::Number(x) => {
                Err(out_of_range(class, "learning_rate", x, "a finite number of at least 0"))
            }
            LearningRate::Schedule(s) => s.get()?.check(),
        }
    }

    /// The rate that an optimizer's state starts with; `None` with a schedule, which is no state.
    pub fn number(&self) -> Option<f32> {
        match self {
            LearningRate::Number(x) => Some(*x),
            LearningRate::Schedule(_) => None,
        }
    }
}

impl From<f64> for LearningRate {
    fn from(x: f64) -> LearningRate {
        LearningRate::Number(x as f32)
    }
}
impl From<f32> for LearningRate {
    fn from(x: f32) -> LearningRate {
        LearningRate::Number(x)
    }
}
impl<S: Schedule> From<S> for LearningRate {
    fn from(s: S) -> LearningRate {
        LearningRate::Schedule(s.into())
    }
}
impl From<ScheduleRef> for LearningRate {
    fn from(s: ScheduleRef) -> LearningRate {
        LearningRate::Schedule(s)
    }
}
impl<X: Into<LearningRate>> Setting<LearningRate> for X {
    fn setting(self) -> LearningRate {
        self.into()
    }
}

impl Serialize for LearningRate {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            LearningRate::Number(x) => f64::from(*x).serialize(s),
            LearningRate::Schedule(schedule) => schedule.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for LearningRate {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<LearningRate, D::Error> {
        let value = Value::deserialize(d)?;
        if let Some(x) = value.as_f64() {
            return Ok(x.into());
        }
        ScheduleRef::from_json(&value).map(LearningRate::Schedule).map_err(serde::de::Error::custom)
    }
}

/// A schedule's value after `step` steps, computed on the host.
///
/// # Errors
/// When the schedule is poisoned.
pub(crate) fn scheduled(schedule: &ScheduleRef, step: f64) -> Result<f64> {
    let rate = schedule.get()?.rate(&Expr::scalar(step as f32));
    let values = rhyton_graph::eval(|_| vec![rate], &[])?;
    values.first().map(|t| t.data().get_f64(0)).ok_or_else(|| Error::new("a schedule gave no value"))
}
