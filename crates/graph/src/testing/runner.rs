//! Programs run on lists of tensors.

use crate::backend::{Backend, HostStore, Session};
use crate::plan::Plan;
use rhyton_tensor::{Result, Tensor};

/// A session of a backend that works in the memory of the processor, whose state is a list.
pub struct Runner {
    /// The session.
    pub session: Box<dyn Session>,
    store: HostStore,
    slots: Vec<usize>,
}

impl Runner {
    /// Loads a plan.
    ///
    /// # Errors
    /// When the backend lacks something.
    pub fn new(backend: &dyn Backend, plan: Plan) -> Result<Runner> {
        let session = backend.load(plan.into())?.session();
        Ok(Runner { session, store: HostStore::default(), slots: vec![] })
    }

    /// Runs it once; parameter `i` of the state is `state[i]`.
    ///
    /// # Errors
    /// As for [`Session::run`].
    pub fn run(&mut self, state: &mut [Tensor], batch: &[Tensor], results: &mut Vec<Tensor>) -> Result<()> {
        if self.slots.len() != state.len() {
            self.slots = (0..state.len()).collect();
            self.store.values.resize_with(state.len(), || Tensor::scalar(0.0f32));
        }
        self.exchange(state);
        let done = self.session.run(&mut self.store, &self.slots, batch, results);
        self.exchange(state);
        done
    }

    fn exchange(&mut self, state: &mut [Tensor]) {
        self.store.values.iter_mut().zip(state).for_each(|(own, given)| std::mem::swap(own, given));
    }
}
