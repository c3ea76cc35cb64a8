//! [`DTypePolicy`]: in which type a layer computes. Weights, their updates, losses and metrics are float32 in all of
//! them.
//!
//! A layer has the policy it was given ([`LayerExt::dtype`](crate::LayerExt::dtype)), else the one of the model around
//! it (`Sequential::dtype_policy`), else the global one when it was made, which is
//! `float32` unless [`set_global_policy`] says otherwise.

use rhyton_tensor::{DType, Error, Result};
use serde_json::{Value as Json, json};
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

/// In which type a layer computes (`keras.DTypePolicy`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DTypePolicy {
    /// Everything in float32.
    #[default]
    Float32,
    /// Layers compute in bfloat16: half the memory between layers, and products of twice the speed where the
    /// machine has instructions for them. Sums, normalisations, softmax and recurrent steps are float32 inside.
    MixedBfloat16,
}

impl DTypePolicy {
    /// Keras's name.
    pub fn name(self) -> &'static str {
        match self {
            DTypePolicy::Float32 => "float32",
            DTypePolicy::MixedBfloat16 => "mixed_bfloat16",
        }
    }

    /// The policy of a name.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn from_name(name: &str) -> Result<DTypePolicy> {
        let all = [DTypePolicy::Float32, DTypePolicy::MixedBfloat16];
        all.into_iter().find(|p| p.name() == name).ok_or_else(|| {
            Error::new(format!("there is no dtype policy '{name}'")).expected("float32 or mixed_bfloat16")
        })
    }

    /// The type of what goes from layer to layer.
    pub fn compute_dtype(self) -> DType {
        match self {
            DTypePolicy::Float32 => DType::F32,
            DTypePolicy::MixedBfloat16 => DType::BF16,
        }
    }

    /// Keras's record.
    pub fn to_json(self) -> Json {
        json!({ "module": "keras", "class_name": "DTypePolicy", "config": {"name": self.name()}, "registered_name": null })
    }

    /// The policy of the `dtype` of a configuration, a record or a name; `None` when it has none that is known.
    pub fn from_json(dtype: &Json) -> Option<DTypePolicy> {
        let name = dtype.as_str().or_else(|| dtype["config"]["name"].as_str());
        name.and_then(|n| DTypePolicy::from_name(n).ok())
    }
}

static GLOBAL_IS_MIXED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static WITHIN: RefCell<Vec<DTypePolicy>> = const { RefCell::new(Vec::new()) };
}

/// The policy of layers that will be made without one (`keras.config.dtype_policy`).
pub fn global_policy() -> DTypePolicy {
    let mixed = GLOBAL_IS_MIXED.load(Ordering::Relaxed);
    if mixed { DTypePolicy::MixedBfloat16 } else { DTypePolicy::Float32 }
}

/// Sets [`global_policy`] by name (`keras.config.set_dtype_policy`): `mixed_bfloat16` or `float32`. Layers that exist
/// keep theirs.
///
/// # Errors
/// When there is no policy of that name.
pub fn set_global_policy(name: &str) -> Result<()> {
    let mixed = DTypePolicy::from_name(name)? == DTypePolicy::MixedBfloat16;
    GLOBAL_IS_MIXED.store(mixed, Ordering::Relaxed);
    Ok(())
}

struct Leave;
impl Drop for Leave {
    fn drop(&mut self) {
        WITHIN.with_borrow_mut(|stack| stack.truncate(stack.len().saturating_sub(1)));
    }
}

/// Runs `f` inside a layer or model of this policy.
pub fn within<R>(policy: DTypePolicy, f: impl FnOnce() -> R) -> R {
    WITHIN.with_borrow_mut(|stack| stack.push(policy));
    let _leave = Leave;
    f()
}

/// The policy of what is around.
pub(crate) fn around() -> DTypePolicy {
    WITHIN.with_borrow(|stack| stack.last().copied()).unwrap_or_default()
}
