//! Callbacks: code that runs between the steps of training.

mod early_stopping;
mod lambda;
mod learning_rate;
mod monitor;
mod plateau;
mod terminate;

pub use early_stopping::EarlyStopping;
pub use lambda::LambdaCallback;
pub use learning_rate::LearningRateScheduler;
pub use monitor::{Mode, Monitor, Monitoring};
pub use plateau::ReduceLROnPlateau;
pub use terminate::TerminateOnNaN;

use crate::{Training, TrainingState};
use rhyton_tensor::{Result, Tensor};
use serde_json::Value as Json;

/// What a callback must remember for training to resume as if it had never stopped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallbackState {
    /// Numbers and words.
    pub json: Json,
    /// Tensors, by name.
    pub tensors: Vec<(String, Tensor)>,
}

impl From<Json> for CallbackState {
    fn from(json: Json) -> CallbackState {
        CallbackState { json, tensors: vec![] }
    }
}

/// A place where training can be saved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SavePoint {
    /// After a batch, with the number of batches done in this epoch.
    Batch(usize),
    /// After an epoch, with its number from 0.
    Epoch(usize),
    /// Before training ends early: a callback [interrupted](Training::interrupt) it.
    Interrupt,
}

macro_rules! hooks {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),*);)*) => {
        /// Code that runs at certain moments of `fit` and `evaluate`. Epochs and batches count from 0. Every hook may
        /// read and change the model, the logs and the course of training through [`Training`].
        ///
        /// ```
        /// use rhyton_train::callbacks::Callback;
        /// use rhyton_train::Training;
        /// /// Stops when the loss is small enough.
        /// struct GoodEnough(f64);
        /// impl Callback for GoodEnough {
        ///     fn on_epoch_end(&mut self, _: usize, cx: &mut Training<'_>) -> rhyton_tensor::Result<()> {
        ///         if cx.logs().get("loss").is_some_and(|l| l < self.0) {
        ///             cx.stop();
        ///         }
        ///         Ok(())
        ///     }
        /// }
        /// ```
        pub trait Callback {
            $($(#[$doc])*
            ///
            /// # Errors
            /// An error ends training.
            fn $name(&mut self, $($arg: $ty,)* cx: &mut Training<'_>) -> Result<()> {
                $(let _ = $arg;)*
                let _ = cx;
                Ok(())
            }
            )*

            /// What it must remember across an interruption.
            fn state(&self) -> CallbackState {
                CallbackState::default()
            }

            /// Takes back what [`state`](Callback::state) gave.
            ///
            /// # Errors
            /// When the state is not its own.
            fn restore(&mut self, state: &CallbackState) -> Result<()> {
                let _ = state;
                Ok(())
            }

            /// Whether [`save`](Callback::save) wants the state of training here.
            fn wants_state(&mut self, at: SavePoint) -> bool {
                let _ = at;
                false
            }

            /// Keeps the state of training, as of a moment when every callback had its turn.
            ///
            /// # Errors
            /// When it cannot be kept; this ends training.
            fn save(&mut self, state: &TrainingState) -> Result<()> {
                let _ = state;
                Ok(())
            }

            /// A state kept by an earlier, interrupted run, for `fit` to go on from.
            ///
            /// # Errors
            /// When there is one that cannot be read.
            fn resume(&mut self) -> Result<Option<TrainingState>> {
                Ok(None)
            }
        }

        impl<C: Callback + ?Sized> Callback for &mut C {
            $(fn $name(&mut self, $($arg: $ty,)* cx: &mut Training<'_>) -> Result<()> {
                (**self).$name($($arg,)* cx)
            })*
            fn state(&self) -> CallbackState {
                (**self).state()
            }
            fn restore(&mut self, state: &CallbackState) -> Result<()> {
                (**self).restore(state)
            }
            fn wants_state(&mut self, at: SavePoint) -> bool {
                (**self).wants_state(at)
            }
            fn save(&mut self, state: &TrainingState) -> Result<()> {
                (**self).save(state)
            }
            fn resume(&mut self) -> Result<Option<TrainingState>> {
                (**self).resume()
            }
        }
    };
}

hooks! {
    /// Before the first epoch.
    on_train_begin();
    /// After the last epoch.
    on_train_end();
    /// When something is almost surely a mistake; the line that was written, without `warning: `.
    on_warning(warning: &str);
    /// Before an epoch.
    on_epoch_begin(epoch: usize);
    /// After an epoch and its validation; entries added to the logs go to the history.
    on_epoch_end(epoch: usize);
    /// Before a training step.
    on_train_batch_begin(batch: usize);
    /// After a training step.
    on_train_batch_end(batch: usize);
    /// Before an evaluation, also one within `fit`.
    on_test_begin();
    /// After an evaluation.
    on_test_end();
    /// Before an evaluation step.
    on_test_batch_begin(batch: usize);
    /// After an evaluation step.
    on_test_batch_end(batch: usize);
    /// Before a prediction.
    on_predict_begin();
    /// After a prediction.
    on_predict_end();
    /// Before a batch of a prediction.
    on_predict_batch_begin(batch: usize);
    /// After a batch of a prediction.
    on_predict_batch_end(batch: usize);
}
