//! Seeds in configurations.

use crate::object::Setting;
use rhyton_tensor::rng::Stream;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A seed of one's own, or nothing. Keras's record of a seed generator counts as the seed it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seed(pub Option<u64>);

impl Seed {
    /// Runs `f` on the stream of this seed, or on `shared` when there is none.
    pub(super) fn with<R>(self, shared: &mut Stream, f: impl FnOnce(&mut Stream) -> R) -> R {
        match self.0 {
            Some(seed) => f(&mut Stream::new(seed, 0, 0)),
            None => f(shared),
        }
    }
}

macro_rules! seeds {
    ($($t:ty),*) => { $(
        impl Setting<Seed> for $t {
            fn setting(self) -> Seed { Seed(Some(self as u64)) }
        }
    )* };
}
seeds!(u64, i64, u32, i32, usize);

impl Serialize for Seed {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Seed, D::Error> {
        let value = Value::deserialize(d)?;
        let number = if value.is_object() { &value["config"]["seed"] } else { &value };
        let bits = number.as_u64().or_else(|| number.as_i64().map(|x| x as u64));
        match bits {
            None if !number.is_null() => Err(serde::de::Error::custom(format!("a seed of {number}"))),
            bits => Ok(Seed(bits)),
        }
    }
}
