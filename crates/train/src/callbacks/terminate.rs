//! [`TerminateOnNaN`].

use super::Callback;
use crate::Training;
use rhyton_tensor::Result;

/// Stops as soon as the loss is NaN or infinite.
#[derive(Clone, Copy, Debug, Default)]
pub struct TerminateOnNaN;

impl Callback for TerminateOnNaN {
    fn on_train_batch_end(&mut self, batch: usize, cx: &mut Training<'_>) -> Result<()> {
        if !cx.loss_is_finite() {
            cx.print(&format!("Batch {batch}: Invalid loss, terminating training"));
            cx.stop();
        }
        Ok(())
    }
}
