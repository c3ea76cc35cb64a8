//! What a backend is: something that says what suits it and runs plans.

use crate::plan::{NamedCall, Plan};
use rhyton_tensor::{Result, Tensor};
use std::sync::Arc;

/// What suits a backend: how much of a graph one of its kernels should compute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Most folds of one `Reduce` kernel.
    pub folds: usize,
    /// Most values of the graph that one kernel computes and others could read.
    pub fused: usize,
    /// Most operands of one program: what it reads, its instructions and what it writes.
    pub operands: usize,
    /// A value is computed again for each of its readers up to this much arithmetic (an addition counts 1).
    pub recomputed: usize,
    /// The same where its readers repeat it under a broadcast.
    pub repeated: usize,
    /// Most values that are computed again inside one other.
    pub taken: usize,
    /// Most different readings of a value that is computed again.
    pub readings: usize,
    /// Most parts of joined values that one kernel writes; the rest are copied.
    pub placed: usize,
}

/// What suits processor cores: programs stay short enough for their values to stay in the first-level cache.
impl Default for Limits {
    fn default() -> Limits {
        Limits {
            folds: 4,
            fused: 192,
            operands: 512,
            recomputed: 5,
            repeated: 2,
            taken: 48,
            readings: 4,
            placed: 128,
        }
    }
}

/// What one launch took, see [`Executable::take_profile`].
#[derive(Clone, Debug, PartialEq)]
pub struct LaunchTime {
    /// Layer path and operation.
    pub label: String,
    /// The kernel and its sizes: `dot 1600 x 256, sums of 16`.
    pub kernel: String,
    /// 0 for the program's own launches, one more inside each loop; the launches of a loop's body follow the loop,
    /// whose time covers theirs.
    pub depth: usize,
    /// How often it ran.
    pub calls: u64,
    /// Seconds in all calls together.
    pub seconds: f64,
    /// Floating-point operations of a call; 0 for a loop, whose body has its own.
    pub flops: f64,
    /// Bytes that a call reads and writes if it touches each element once.
    pub bytes: f64,
    /// Threads that shared the work: 1 when it was not split.
    pub threads: usize,
}

/// A loaded program.
pub trait Executable: Send {
    /// Runs it once. The program's parameters are `state` followed by `batch`. Parameters that a result updates
    /// (see [`Plan::updates`]) are written in place in `state`; the other results are written to `results`, in
    /// order, reusing its tensors where shape and type already fit, so that a repeated run allocates nothing.
    /// Symbols (batch, time) are bound from the shapes given.
    ///
    /// # Errors
    /// When a shape or type does not fit its parameter; then nothing was written.
    fn run(&mut self, state: &mut [Tensor], batch: &[Tensor], results: &mut Vec<Tensor>) -> Result<()>;

    /// Starts (afresh) or stops measuring every launch; a backend that cannot measure ignores it.
    fn profile(&mut self, _on: bool) {}

    /// The measurements since the last call, in the order of the launches; empty when nothing is measured.
    /// Programs that ran with several shapes give the launches once for each.
    fn take_profile(&mut self) -> Vec<LaunchTime> {
        vec![]
    }
}

/// Something that runs plans.
pub trait Backend: Send + Sync {
    /// For people: `cpu (avx512)`.
    fn name(&self) -> String;

    /// Whether the backend has a kernel for this named function; it is then kept whole as
    /// [`Kernel::Named`](crate::plan::Kernel::Named) instead of becoming its body.
    fn takes(&self, call: &NamedCall) -> bool;

    /// What suits it.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Prepares a plan.
    ///
    /// # Errors
    /// When the plan needs something the backend lacks.
    fn load(&self, plan: Arc<Plan>) -> Result<Box<dyn Executable>>;
}
