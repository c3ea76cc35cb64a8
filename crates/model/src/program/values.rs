//! [`Values`]: what programs keep from run to run, by name.

use rhyton_graph::backend::{Backend, HostStore, Store};
use rhyton_tensor::{Error, Result, Tensor};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// Names and their places. Shared by all that have the same, so that a program looks names up once.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    names: Vec<Arc<str>>,
    places: HashMap<Arc<str>, usize>,
}

/// What programs keep from run to run: weights, states of optimizers, figures, the random key; by name. A program
/// reads and writes the values that have the names of its slots.
///
/// ```
/// use rhyton_model::program::Values;
/// use rhyton_tensor::Tensor;
/// let mut values = Values::default();
/// values.insert("state/rounds", Tensor::scalar(0.0f32))?;
/// values.set("state/rounds", &Tensor::scalar(1.0f32))?;
/// assert_eq!(values.get("state/rounds")?.data().get_f64(0), 1.0);
/// assert!(values.set("state/rounds", &Tensor::vector(vec![1.0f32, 2.0])).is_err());
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub struct Values {
    layout: Arc<Layout>,
    store: Box<dyn Store>,
    /// Copies here of what a backend keeps elsewhere, until something is written.
    copies: OnceLock<Vec<Tensor>>,
}

impl Layout {
    /// Where the value of this name lies.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }
}

impl Values {
    /// None, to be kept where this backend works.
    ///
    /// # Errors
    /// When the backend has no room.
    pub fn on(backend: &Arc<dyn Backend>) -> Result<Values> {
        Ok(Values { store: backend.store(vec![])?, ..Values::default() })
    }

    /// The same values, to be kept where this backend works.
    ///
    /// # Errors
    /// When they cannot be brought there.
    pub fn moved_to(&self, backend: &Arc<dyn Backend>) -> Result<Values> {
        let values = (0..self.store.len()).map(|at| self.store.read(at)).collect::<Result<Vec<_>>>()?;
        let store = backend.store(values)?;
        Ok(Values { layout: self.layout.clone(), store, copies: OnceLock::new() })
    }

    /// The names, in the order in which they came.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.layout.names.iter().map(|n| &**n)
    }

    /// Whether there is a value of this name.
    pub fn has(&self, name: &str) -> bool {
        self.layout.place(name).is_some()
    }

    /// The value of this name. Its elements are shared, not copied, where they lie in the memory of the processor.
    ///
    /// # Errors
    /// When there is none, or the backend cannot give it.
    pub fn get(&self, name: &str) -> Result<Tensor> {
        self.store.read(self.place(name)?)
    }

    /// Gives a value other numbers, converted to its type.
    ///
    /// # Errors
    /// When there is none of this name, or it has another shape.
    pub fn set(&mut self, name: &str, value: &Tensor) -> Result<()> {
        let at = self.place(name)?;
        let old = self.store.read(at)?;
        if old.shape() != value.shape() {
            return Err(Error::new(format!("'{name}' has the shape {:?}", value.shape()))
                .expected(format!("{:?}", old.shape())));
        }
        self.store_mut().write(at, value.try_cast(old.dtype())?)
    }

    /// Adds a value, or replaces the one of this name, whatever its shape and type.
    ///
    /// # Errors
    /// When the backend has no room for it.
    pub fn insert(&mut self, name: &str, value: Tensor) -> Result<()> {
        match self.layout.place(name) {
            Some(at) => self.store_mut().write(at, value),
            None => {
                self.store_mut().push(value)?;
                let layout = Arc::make_mut(&mut self.layout);
                layout.places.insert(name.into(), layout.names.len());
                layout.names.push(name.into());
                Ok(())
            }
        }
    }

    /// Removes the values whose names are not `kept`.
    pub fn retain(&mut self, kept: impl Fn(&str) -> bool) -> Result<()> {
        if self.names().all(&kept) {
            return Ok(());
        }
        let left = self.names().filter(|n| kept(n)).map(|n| Ok((n.to_string(), self.get(n)?)));
        let left = left.collect::<Result<Vec<_>>>()?;
        self.store_mut().truncate(0);
        self.layout = Arc::default();
        left.into_iter().try_for_each(|(name, value)| self.insert(&name, value))
    }

    /// Names and values of all whose names begin so, in the order in which they came.
    ///
    /// # Errors
    /// When the backend cannot give them.
    pub fn with_prefix(&self, prefix: &str) -> Result<Vec<(String, Tensor)>> {
        let those = self.names().filter(|n| n.starts_with(prefix));
        those.map(|n| Ok((n.to_string(), self.get(n)?))).collect()
    }

    /// Bytes of all values.
    pub fn bytes(&self) -> usize {
        self.tensors().iter().map(|t| t.data().bytes()).sum()
    }

    /// All values, in the order in which they came. Where they lie elsewhere they are brought here, once after each
    /// change.
    pub fn tensors(&self) -> &[Tensor] {
        if let Ok(here) = HostStore::of(&*self.store) {
            return &here.values;
        }
        // A value that cannot be brought is an error wherever it is asked for by name.
        let all = || (0..self.store.len()).map_while(|at| self.store.read(at).ok()).collect();
        self.copies.get_or_init(all)
    }

    fn place(&self, name: &str) -> Result<usize> {
        self.layout.place(name).ok_or_else(|| Error::new(format!("there is no value '{name}'")))
    }

    pub(super) fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }

    pub(super) fn store_mut(&mut self) -> &mut dyn Store {
        self.copies.take();
        &mut *self.store
    }
}

/// None, in the memory of the processor.
impl Default for Values {
    fn default() -> Values {
        Values { layout: Arc::default(), store: Box::<HostStore>::default(), copies: OnceLock::new() }
    }
}

/// The same values, copied when one of the two changes.
impl Clone for Values {
    fn clone(&self) -> Values {
        Values { layout: self.layout.clone(), store: self.store.share(), copies: OnceLock::new() }
    }
}

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}
