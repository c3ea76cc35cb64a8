//! The backend that programs run on. The facade registers the default one; nothing here names any.

use rhyton_graph::backend::Backend;
use rhyton_tensor::{Error, Result};
use std::sync::{Arc, RwLock};

/// A default backend, submitted with `inventory::submit!`.
pub struct DefaultBackend(pub fn() -> Result<Arc<dyn Backend>>);
inventory::collect!(DefaultBackend);

static CHOSEN: RwLock<Option<Arc<dyn Backend>>> = RwLock::new(None);

/// The backend in force.
///
/// # Errors
/// When no crate that was linked registered one, or the environment asks the default one for what it cannot give.
pub fn backend() -> Result<Arc<dyn Backend>> {
    if let Some(b) = CHOSEN.read().ok().and_then(|b| b.clone()) {
        return Ok(b);
    }
    let Some(default) = inventory::iter::<DefaultBackend>.into_iter().next() else {
        return Err(Error::new("no backend is registered")
            .fix("depend on the crate `rhyton`, or call set_backend with one"));
    };
    set_backend((default.0)()?);
    backend()
}

/// Runs programs compiled from now on with `backend`.
pub fn set_backend(backend: Arc<dyn Backend>) {
    if let Ok(mut chosen) = CHOSEN.write() {
        *chosen = Some(backend);
    }
}
