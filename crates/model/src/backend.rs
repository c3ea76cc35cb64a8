//! The backends that programs run on. The facade registers them; nothing here names any.

use rhyton_graph::backend::Backend;
use rhyton_tensor::{Error, Result};
use std::sync::{Arc, RwLock};

/// A backend that a crate offers, submitted with `inventory::submit!`.
pub struct Registered {
    /// What `RHYTON_BACKEND` and [`named`] call it.
    pub name: &'static str,
    /// Whether programs run on it unless something else is said.
    pub default: bool,
    /// Makes it.
    pub make: fn() -> Result<Arc<dyn Backend>>,
}
inventory::collect!(Registered);

static CHOSEN: RwLock<Option<Arc<dyn Backend>>> = RwLock::new(None);

/// The backend in force: the one that was set, or the one that the environment variable `RHYTON_BACKEND` names, or the
/// default one. A program keeps the backend that it was compiled on.
///
/// # Errors
/// When no crate that was linked registered one, or the environment asks for what cannot be had.
pub fn backend() -> Result<Arc<dyn Backend>> {
    if let Some(b) = CHOSEN.read().ok().and_then(|b| b.clone()) {
        return Ok(b);
    }
    let variable = std::env::var_os("RHYTON_BACKEND").unwrap_or_default();
    let wanted = variable.to_string_lossy();
    let made = match wanted.trim() {
        "" => match inventory::iter::<Registered>.into_iter().find(|r| r.default) {
            Some(r) => (r.make)()?,
            None => {
                return Err(Error::new("no backend is registered")
                    .fix("depend on the crate `rhyton`, or call set_backend with one"));
            }
        },
        name => {
            named(name).map_err(|e| e.place("RHYTON_BACKEND").fix("leave it out to have the default one"))?
        }
    };
    set_backend(made.clone());
    Ok(made)
}

/// A backend by its name: `cpu`, `reference`.
///
/// # Errors
/// When there is none of this name, or it cannot be had.
pub fn named(name: &str) -> Result<Arc<dyn Backend>> {
    let mut all: Vec<&Registered> = inventory::iter::<Registered>.into_iter().collect();
    all.sort_by_key(|r| (!r.default, r.name));
    match all.iter().find(|r| r.name == name) {
        Some(r) => (r.make)(),
        None => {
            let names: Vec<&str> = all.iter().map(|r| r.name).collect();
            Err(Error::new(format!("there is no backend '{name}'")).expected(names.join(", ")))
        }
    }
}

/// Runs programs compiled from now on with `backend`.
pub fn set_backend(backend: Arc<dyn Backend>) {
    if let Ok(mut chosen) = CHOSEN.write() {
        *chosen = Some(backend);
    }
}
