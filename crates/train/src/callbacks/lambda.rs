//! [`LambdaCallback`].

use super::Callback;
use crate::Training;
use rhyton_tensor::Result;

type Hook<'a> = Box<dyn FnMut(usize, &mut Training<'_>) -> Result<()> + 'a>;

/// Closures as hooks. Each gets the epoch or batch (0 where there is none) and the state of training.
///
/// ```
/// use rhyton_train::callbacks::LambdaCallback;
/// let mut losses = vec![];
/// let callback = LambdaCallback::new().on_epoch_end(|_, cx| {
///     losses.extend(cx.logs().get("loss"));
///     Ok(())
/// });
/// # drop(callback);
/// ```
#[derive(Default)]
pub struct LambdaCallback<'a> {
    train_begin: Option<Hook<'a>>,
    train_end: Option<Hook<'a>>,
    epoch_begin: Option<Hook<'a>>,
    epoch_end: Option<Hook<'a>>,
    train_batch_begin: Option<Hook<'a>>,
    train_batch_end: Option<Hook<'a>>,
}

macro_rules! closures {
    ($($(#[$doc:meta])* $name:ident $field:ident;)*) => {
        impl<'a> LambdaCallback<'a> {
            /// Without any hook.
            pub fn new() -> Self {
                Self::default()
            }
            $($(#[$doc])*
            pub fn $name(mut self, f: impl FnMut(usize, &mut Training<'_>) -> Result<()> + 'a) -> Self {
                self.$field = Some(Box::new(f));
                self
            })*
        }
    };
}
closures! {
    /// Before the first epoch.
    on_train_begin train_begin;
    /// After the last epoch.
    on_train_end train_end;
    /// Before an epoch.
    on_epoch_begin epoch_begin;
    /// After an epoch.
    on_epoch_end epoch_end;
    /// Before a training step.
    on_train_batch_begin train_batch_begin;
    /// After a training step.
    on_train_batch_end train_batch_end;
}

fn run(hook: &mut Option<Hook<'_>>, at: usize, cx: &mut Training<'_>) -> Result<()> {
    hook.as_mut().map_or(Ok(()), |f| f(at, cx))
}

impl Callback for LambdaCallback<'_> {
    fn on_train_begin(&mut self, cx: &mut Training<'_>) -> Result<()> {
        run(&mut self.train_begin, 0, cx)
    }
    fn on_train_end(&mut self, cx: &mut Training<'_>) -> Result<()> {
        run(&mut self.train_end, 0, cx)
    }
    fn on_epoch_begin(&mut self, epoch: usize, cx: &mut Training<'_>) -> Result<()> {
        run(&mut self.epoch_begin, epoch, cx)
    }
    fn on_epoch_end(&mut self, epoch: usize, cx: &mut Training<'_>) -> Result<()> {
        run(&mut self.epoch_end, epoch, cx)
    }
    fn on_train_batch_begin(&mut self, batch: usize, cx: &mut Training<'_>) -> Result<()> {
        run(&mut self.train_batch_begin, batch, cx)
    }
    fn on_train_batch_end(&mut self, batch: usize, cx: &mut Training<'_>) -> Result<()> {
        run(&mut self.train_batch_end, batch, cx)
    }
}
