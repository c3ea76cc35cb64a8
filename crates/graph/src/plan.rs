//! [`Plan`]: what a backend runs. A flat list of launches over buffers with symbolic sizes; it knows nothing of
//! layers, gradients or devices.

use crate::function::Function;
use crate::ops::{ConvKind, Distribution, Elementwise, Fold, Literal, Scalar, Window};
use rhyton_tensor::{DType, Dim, Result, Shape, Tensor};
use std::sync::Arc;

/// Index into [`Plan::buffers`].
pub type BufferId = usize;

/// A program for a backend.
#[derive(Clone, Debug)]
pub struct Plan {
    /// For people: `train_step`.
    pub name: String,
    /// The graph it computes, after all passes that keep it a graph.
    pub graph: Arc<Function>,
    /// Everything that lives in memory.
    pub buffers: Vec<Buffer>,
    /// What happens, in order.
    pub launches: Vec<Launch>,
    /// The buffer of each parameter.
    pub inputs: Vec<BufferId>,
    /// Number of leading parameters that are state; the others are the batch.
    pub state: usize,
    /// (result, parameter): results that replace a state parameter when the program ends. Such a result shares
    /// the parameter's buffer; every read of the old value is launched before the write. The launch that writes
    /// may itself read the old value through the very view it writes: a kernel reads an element before it writes
    /// any output at that place.
    pub updates: Vec<(usize, usize)>,
    /// Where the program may end early.
    pub stop: Option<Stop>,
    /// The buffer of each result.
    pub outputs: Vec<BufferId>,
}

/// The program ends after some launches when a result, a float32 without axes that they store, is not finite. The other
/// results are not written then, nor the parameters that were to be held (see [`crate::compile::Watch`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stop {
    /// The result.
    pub result: usize,
    /// The number of launches.
    pub after: usize,
}

/// One contiguous piece of memory in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer {
    /// Element type; booleans are one byte, 0 or 1.
    pub dtype: DType,
    /// Sizes.
    pub shape: Shape,
    /// Where it lives.
    pub place: Place,
}

/// Where a buffer lives.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// Parameter `i` of the program; written too when a result updates it in place.
    Input(usize),
    /// Result `i` of the program.
    Output(usize),
    /// Known at compile time.
    Constant(Literal),
    /// In the arena, between its first write and its last read.
    Temp,
}

/// Elements of a buffer seen over an iteration space: element `(i, j, ..)` is at
/// `offset + i * strides[0] + j * strides[1] + ..` (in elements; 0 repeats, negative runs backwards).
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The buffer.
    pub buffer: BufferId,
    /// First element.
    pub offset: Dim,
    /// Distance along each axis of the iteration space.
    pub strides: Vec<Dim>,
}

/// One kernel applied.
#[derive(Clone, Debug)]
pub struct Launch {
    /// What to compute.
    pub kernel: Kernel,
    /// What it reads, in the order the kernel says.
    pub reads: Vec<View>,
    /// What it writes, in the order the kernel says.
    pub writes: Vec<View>,
    /// For people and profiles: layer path and operation.
    pub label: String,
}

/// The kernels.
#[derive(Clone, Debug)]
pub enum Kernel {
    /// `program` at every element of `shape`. Reads are its inputs, writes its outputs, over `shape`.
    Loop {
        /// The iteration space.
        shape: Vec<Dim>,
        /// What happens at an element.
        program: Program,
    },
    /// Folds the last `folded` axes of `shape`. Reads are the inputs of `program`, over `shape`; its outputs, at
    /// most [`MAX_FOLDS`], are folded. Writes are over the remaining axes.
    Reduce {
        /// The iteration space: kept axes, then folded ones.
        shape: Vec<Dim>,
        /// Number of folded axes.
        folded: usize,
        /// How, one for each output.
        folds: Vec<Reduction>,
        /// What happens before folding.
        program: Program,
    },
    /// Matrix product. Read 0 is over `batch ++ m ++ k`, read 1 over `batch ++ k ++ n`, the other reads and all
    /// writes over `batch ++ m ++ n`. Input 0 of the program is the product, its other inputs are reads 2, 3, ..
    /// Without a program, write 0 is the product. Reads 0 and 1 are float32 or bfloat16 with a float32
    /// product, or int8 with an int32 one.
    Dot {
        /// Batch axes.
        batch: Vec<Dim>,
        /// Free axes of the left side.
        m: Vec<Dim>,
        /// Free axes of the right side.
        n: Vec<Dim>,
        /// Summed axes.
        k: Vec<Dim>,
        /// What happens to the product on its way to memory.
        epilogue: Option<Program>,
    },
    /// Convolution; reads 0 and 1 and all writes are contiguous (see `Contract::Conv` for their layout). Types and
    /// epilogue are as for `Dot`, over the result's shape.
    Conv {
        /// Which side is computed.
        kind: ConvKind,
        /// Sizes of the three sides.
        x: Vec<Dim>,
        /// `[window.., in/groups, out]`.
        w: Vec<Dim>,
        /// `[batch, spatial.., out]`.
        y: Vec<Dim>,
        /// Step per spatial dim.
        strides: Vec<usize>,
        /// Distance between window entries per spatial dim.
        dilation: Vec<usize>,
        /// Zeros before the input per spatial dim.
        pad_lo: Vec<Dim>,
        /// Channel groups.
        groups: usize,
        /// What happens to the result on its way to memory.
        epilogue: Option<Program>,
    },
    /// Pooling; its operands (reads 0 and, for kinds that have two, 1) and all writes are contiguous. The epilogue is
    /// as for `Dot`, over the result's shape; its inputs 1, 2, .. are the reads after the operands.
    Pool {
        /// The windows.
        window: Window,
        /// `[batch, channels]`.
        outer: [Dim; 2],
        /// What happens to the result on its way to memory.
        epilogue: Option<Program>,
    },
    /// Read 0 contiguous `[outer, size, inner]`, read 1 contiguous int32 `[indices]`, write contiguous
    /// `[outer, indices, inner]`. Negative indices count from the end; out of range gives NaN, of int8 values 0.
    Gather {
        /// Product of the axes before.
        outer: Dim,
        /// Size of the axis.
        size: Dim,
        /// Product of the axes after.
        inner: Dim,
        /// Number of indices.
        indices: Dim,
    },
    /// Read 0 contiguous `[outer, indices, inner]`, read 1 contiguous int32 `[indices]`, write contiguous
    /// `[outer, size, inner]`, which starts as zeros. Equal indices add up in order.
    ScatterAdd {
        /// Product of the axes before.
        outer: Dim,
        /// Size of the axis.
        size: Dim,
        /// Product of the axes after.
        inner: Dim,
        /// Number of indices.
        indices: Dim,
    },
    /// Read 0 is the key, the write contiguous.
    Random {
        /// Which distribution.
        distribution: Distribution,
        /// Stream of the operation.
        stream: u32,
        /// Number of elements.
        elements: Dim,
    },
    /// A loop. Reads: initial states, sequences, constants, all contiguous; writes: final states, collected
    /// sequences, all contiguous. The body's inputs are (states, entries, constants), its outputs (new states,
    /// entries).
    Scan {
        /// Number of steps.
        length: Dim,
        /// From the last entry to the first.
        reverse: bool,
        /// Number of states.
        carries: usize,
        /// Number of sequences.
        xs: usize,
        /// One step.
        body: Box<Plan>,
    },
    /// A named function taken whole by the backend (see [`Backend::takes`]); reads and writes are contiguous.
    Named {
        /// The function.
        function: Arc<Function>,
    },
}

/// Most folds of one `Reduce` kernel.
pub const MAX_FOLDS: usize = 4;

/// How a `Reduce` kernel folds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reduction {
    /// Sum, largest, smallest.
    Fold(Fold),
    /// int32 position (in row-major order of the folded axes) of the first largest.
    ArgMax,
}

/// A register of a [`Program`]: first the inputs, then one per instruction.
pub type Register = usize;

/// Straight-line code at one element.
#[derive(Clone, PartialEq, Debug)]
pub struct Program {
    /// Types of the inputs, registers `0..inputs.len()`.
    pub inputs: Vec<DType>,
    /// Instruction `i` defines register `inputs.len() + i`.
    pub code: Vec<Instruction>,
    /// Registers that are written, in the order of the launch's writes.
    pub outputs: Vec<Register>,
}

/// One instruction.
#[derive(Clone, PartialEq, Debug)]
pub struct Instruction {
    /// What it computes.
    pub op: Step,
    /// What it reads.
    pub args: Vec<Register>,
    /// Type of the result.
    pub dtype: DType,
}

/// What an instruction computes.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// An elementwise operation on `args`.
    Apply(Elementwise),
    /// A constant.
    Constant(Scalar),
    /// A size as float32.
    Size(Dim),
    /// The position (int32) along this axis of the iteration space.
    Position(usize),
}

impl Plan {
    /// The launch that writes a buffer first.
    pub fn writer(&self, buffer: BufferId) -> Option<&Launch> {
        self.launches.iter().find(|l| l.writes.iter().any(|w| w.buffer == buffer))
    }
}

impl View {
    /// A whole buffer of `shape` in row-major order.
    pub fn contiguous(buffer: BufferId, shape: &[Dim]) -> View {
        View { buffer, offset: Dim::default(), strides: row_major(shape) }
    }
}

/// Distances between neighbours along each axis of a contiguous array.
pub fn row_major(shape: &[Dim]) -> Vec<Dim> {
    let mut strides = vec![Dim::fixed(1); shape.len()];
    for i in (0..shape.len().saturating_sub(1)).rev() {
        strides[i] = strides[i + 1].clone() * &shape[i + 1];
    }
    strides
}

impl Launch {
    /// The index spaces of the reads and of the writes.
    pub fn shapes(&self) -> (Vec<Vec<Dim>>, Vec<Vec<Dim>>) {
        let fill = |first: Vec<Vec<Dim>>, rest: &[Dim], n: usize| -> Vec<Vec<Dim>> {
            let more = n.saturating_sub(first.len());
            first.into_iter().chain(std::iter::repeat_n(rest.to_vec(), more)).collect()
        };
        let (r, w) = (self.reads.len(), self.writes.len());
        match &self.kernel {
            Kernel::Loop { shape, .. } => (fill(vec![], shape, r), fill(vec![], shape, w)),
            Kernel::Reduce { shape, folded, .. } => {
                let kept = &shape[..shape.len().saturating_sub(*folded)];
                (fill(vec![], shape, r), fill(vec![], kept, w))
            }
            Kernel::Dot { batch, m, n, k, .. } => {
                let join = |parts: [&[Dim]; 3]| parts.concat();
                let whole = join([batch, m, n]);
                (fill(vec![join([batch, m, k]), join([batch, k, n])], &whole, r), fill(vec![], &whole, w))
            }
            Kernel::Conv { kind, x, w: kernel, y, .. } => {
                let (a, b, out) = match kind {
                    ConvKind::Forward => (x, kernel, y),
                    ConvKind::InputGrad => (y, kernel, x),
                    ConvKind::KernelGrad => (x, y, kernel),
                };
                (fill(vec![a.clone(), b.clone()], out, r), fill(vec![], out, w))
            }
            Kernel::Pool { window, outer: [batch, channels], .. } => {
                let side = |full: bool| {
                    let sizes = if full { &window.full } else { &window.pooled };
                    [std::slice::from_ref(batch), sizes, std::slice::from_ref(channels)].concat()
                };
                let operands = window.kind.inputs_full().iter().map(|f| side(*f)).collect();
                let out = side(window.kind.result_full());
                (fill(operands, &out, r), fill(vec![], &out, w))
            }
            Kernel::Gather { outer, size, inner, indices } => {
                let (x, y) = spliced(outer, size, inner, indices);
                (vec![x, vec![indices.clone()]], vec![y])
            }
            Kernel::ScatterAdd { outer, size, inner, indices } => {
                let (x, y) = spliced(outer, size, inner, indices);
                (vec![y, vec![indices.clone()]], vec![x])
            }
            Kernel::Random { elements, .. } => (vec![vec![Dim::fixed(2)]], vec![vec![elements.clone()]]),
            Kernel::Scan { length, carries, xs, body, .. } => {
                let of = |b: &BufferId| body.buffers.get(*b).map(|b| b.shape.to_vec()).unwrap_or_default();
                let long = |s: Vec<Dim>| [vec![length.clone()], s].concat();
                let reads = body.inputs.iter().enumerate().map(|(i, b)| match i {
                    i if i >= *carries && i < carries + xs => long(of(b)),
                    _ => of(b),
                });
                let writes = body.outputs.iter().enumerate();
                let writes = writes.map(|(i, b)| if i < *carries { of(b) } else { long(of(b)) });
                (reads.collect(), writes.collect())
            }
            Kernel::Named { function } => {
                let shapes = |all: &[crate::Expr]| all.iter().map(|e| e.shape().to_vec()).collect();
                (shapes(&function.params), shapes(&function.results))
            }
        }
    }
}

/// `[outer, size, inner]` and `[outer, indices, inner]`.
fn spliced(outer: &Dim, size: &Dim, inner: &Dim, indices: &Dim) -> (Vec<Dim>, Vec<Dim>) {
    let with = |d: &Dim| vec![outer.clone(), d.clone(), inner.clone()];
    (with(size), with(indices))
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

    /// Whether the backend has a fused kernel for this named function; it is then kept whole as
    /// [`Kernel::Named`] instead of being inlined.
    fn takes(&self, function: &Function) -> bool;

    /// Prepares a plan.
    ///
    /// # Errors
    /// When the plan needs something the backend lacks.
    fn load(&self, plan: Arc<Plan>) -> Result<Box<dyn Executable>>;
}
