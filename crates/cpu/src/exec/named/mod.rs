//! Named functions that have a kernel of their own. A row of [`TABLE`] says which functions it takes; the kernel is
//! tested against the function's body.

mod quantize;
mod softmax;

use crate::exec::Setting;
use crate::exec::resolve::Lane;
use crate::exec::task::Context;
use rhyton_graph::named::{self, Named};
use rhyton_graph::plan::{Launch, NamedCall};
use rhyton_tensor::{Error, Result};

/// A kernel with its sizes.
pub(crate) type Kernel = Box<dyn Fn(Context, &[Lane], &[Lane]) + Send>;

/// A fused kernel.
pub(crate) struct Row {
    /// The function.
    named: &'static Named,
    /// Whether the kernel can do it with these settings and types.
    accepts: fn(&NamedCall) -> bool,
    /// Prepares the kernel for sizes.
    prepare: fn(&NamedCall, &Setting) -> Result<Kernel>,
}

/// All of them.
const TABLE: &[Row] = &[
    Row { named: &named::ABS_MAX_QUANTIZE, accepts: quantize::accepts, prepare: quantize::prepare },
    Row { named: &named::SOFTMAX, accepts: softmax::accepts, prepare: softmax::plain },
    Row { named: &named::LOG_SOFTMAX, accepts: softmax::accepts, prepare: softmax::logarithm },
];

/// The row for a function.
pub(crate) fn find(call: &NamedCall) -> Option<&'static Row> {
    TABLE.iter().find(|r| call.named == Some(r.named) && (r.accepts)(call))
}

/// A prepared call.
pub(crate) struct NamedTask {
    kernel: Kernel,
    reads: Vec<Lane>,
    writes: Vec<Lane>,
}

impl NamedTask {
    pub fn new(call: &NamedCall, launch: &Launch, setting: &Setting) -> Result<NamedTask> {
        let row = find(call).ok_or_else(|| {
            Error::new(format!("the cpu backend has no kernel for the function '{}'", call.name))
        })?;
        let (reads, writes) = (setting.views(&launch.reads)?, setting.views(&launch.writes)?);
        if reads.len() != call.inputs.len() || writes.len() != call.results.len() {
            return Err(Error::new(format!("a call of '{}' does not fit its parameters", call.name)));
        }
        Ok(NamedTask { kernel: (row.prepare)(call, setting)?, reads, writes })
    }

    /// # Safety
    /// As for `Task::run`.
    pub unsafe fn run(&self, cx: Context) {
        (self.kernel)(cx, &self.reads, &self.writes);
    }
}
