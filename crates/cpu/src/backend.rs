//! [`CpuBackend`]: the backend of one machine's processor cores.

use crate::environment;
use crate::exec::Program;
use crate::exec::named;
use crate::exec::reduce::FOLDS;
use crate::isa::Isa;
use crate::pool::{Pool, Threads};
use crate::tile::code::OPERANDS;
use rhyton_graph::backend::{Backend, Executable, HostStore, Limits, Store};
use rhyton_graph::plan::{NamedCall, Plan};
use rhyton_tensor::{Result, Tensor};
use std::sync::Arc;

/// Runs plans on the processor's cores.
///
/// The same plan and data give the same bits at any number of threads.
///
/// Denormal numbers, those below 1.18e-38, count as zero while a program runs: as operands, and as results. That is the
/// rule of JAX and TensorFlow, too. It holds for programs only; the code around them computes as before.
#[derive(Clone)]
pub struct CpuBackend {
    threads: Threads,
    isa: Isa,
}

impl CpuBackend {
    /// All threads of the program and the strongest instruction set of the machine, or what the environment variables
    /// `RHYTON_THREADS` and `RHYTON_ISA` say.
    ///
    /// # Errors
    /// When a variable says something that cannot be had.
    pub fn new() -> Result<CpuBackend> {
        environment::threads()?;
        environment::isa()?;
        Ok(CpuBackend { threads: Threads::Global, isa: Isa::detect() })
    }

    /// A number of threads and an instruction set, which the machine must have (see [`Isa::available`]; another
    /// one is replaced by the portable one).
    pub fn with(threads: usize, isa: Isa) -> CpuBackend {
        let isa = if Isa::available().contains(&isa) { isa } else { Isa::Portable };
        CpuBackend { threads: Threads::Own(Arc::new(Pool::new(threads))), isa }
    }
}

impl Backend for CpuBackend {
    fn name(&self) -> String {
        format!("cpu ({})", self.isa.name())
    }

    fn takes(&self, call: &NamedCall) -> bool {
        named::find(call).is_some()
    }

    fn limits(&self) -> Limits {
        Limits { folds: FOLDS, operands: OPERANDS, ..Limits::default() }
    }

    fn store(&self, values: Vec<Tensor>) -> Result<Box<dyn Store>> {
        Ok(Box::new(HostStore { values }))
    }

    fn load(&self, plan: Arc<Plan>) -> Result<Arc<dyn Executable>> {
        Ok(Arc::new(Program::new(plan, self.threads.clone(), self.isa)?))
    }
}
