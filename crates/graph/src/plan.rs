//! [`Plan`]: what a backend runs. A flat list of launches over buffers with symbolic sizes; it knows nothing of
//! layers, gradients or devices.

use crate::expr::{Expr, Type};
use crate::function::Function;
use crate::named::Named;
use crate::ops::{Control, Convolution, Elementwise, Fold, Literal, Op, Scalar, Window};
use rhyton_tensor::{Bindings, DType, Dim, Error, Result, Shape};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Index into [`Plan::buffers`].
pub type BufferId = usize;

/// A program for a backend.
#[derive(Clone, Debug)]
pub struct Plan {
    /// For people: `train_step`.
    pub name: String,
    /// What it is given: state, then the batch.
    pub params: Vec<Param>,
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

/// A parameter of a program.
#[derive(Clone, PartialEq, Debug)]
pub struct Param {
    /// For people: `dense/kernel`.
    pub name: String,
    /// Its element type and sizes.
    pub ty: Type,
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
    /// Handed from one stage of a [`Kernel::Rows`] to another and gone with it: only the rows at work exist.
    Rows,
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
    /// most [`Limits::folds`](crate::backend::Limits::folds), are folded. Writes are over the remaining axes.
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
    /// Loops and folds over the same rows, done one after the other for some rows before the next rows begin: what one
    /// stage hands to another is still in the cache. A stage sees of what another one writes only its own row, and the
    /// kernel reads a row of what it replaces before it writes it. Reads and writes are those of the stages, in order.
    Rows {
        /// Their number.
        rows: Dim,
        /// `Loop`s, whose leading axes are the rows (see [`Kernel::row_axes`]), and `Reduce`s, which keep just these.
        stages: Vec<Stage>,
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
    /// Convolution; reads 0 and 1 and all writes are contiguous. Types and epilogue are as for `Dot`, over the
    /// result's shape.
    Conv {
        /// Which one.
        conv: Convolution,
        /// Sizes of the three sides: `[batch, spatial.., in]`.
        x: Vec<Dim>,
        /// `[window.., in/groups, out]`.
        w: Vec<Dim>,
        /// `[batch, spatial.., out]`.
        y: Vec<Dim>,
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
    /// One primitive of [`Class::Kernel`](crate::ops::Class), on its own: gathers, random numbers, sorting. Reads are
    /// its inputs, writes its results, all contiguous.
    Primitive {
        /// Which, with its settings.
        op: Op,
        /// Types of the inputs.
        inputs: Vec<Type>,
        /// Types of the results.
        outputs: Vec<Type>,
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
    /// A named function taken whole by the backend (see [`Backend::takes`](crate::backend::Backend::takes)); reads and
    /// writes are contiguous.
    Named {
        /// The function.
        call: NamedCall,
    },
}

/// A part of a [`Kernel::Rows`].
#[derive(Clone, Debug)]
pub struct Stage {
    /// A `Loop` or a `Reduce`.
    pub kernel: Kernel,
    /// As a launch's.
    pub label: String,
}

/// A call of a named function, as a backend sees it: what it is, not how it is made of primitives.
#[derive(Clone, Debug)]
pub struct NamedCall {
    /// Its row in the table of named functions; None for a function of a user's own.
    pub named: Option<&'static Named>,
    /// For people.
    pub name: String,
    /// Its settings.
    pub attrs: serde_json::Value,
    /// Types of what it is given.
    pub inputs: Vec<Type>,
    /// Types of its results.
    pub results: Vec<Type>,
    body: Arc<Function>,
}

impl NamedCall {
    /// The call of a function.
    pub fn new(function: &Arc<Function>) -> NamedCall {
        let types = |all: &[Expr]| all.iter().map(|e| e.ty().clone()).collect();
        NamedCall {
            named: function.named,
            name: function.name.clone(),
            attrs: function.attrs.clone(),
            inputs: types(&function.params),
            results: types(&function.results),
            body: function.clone(),
        }
    }

    /// What it computes in primitives: for the reference backend, which has no kernels.
    pub(crate) fn body(&self) -> &Function {
        &self.body
    }
}

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
    /// Of each state parameter, whether a result updates it.
    pub fn written(&self) -> Vec<bool> {
        (0..self.state).map(|p| self.updates.iter().any(|(_, u)| *u == p)).collect()
    }

    /// The launch that writes a buffer first.
    pub fn writer(&self, buffer: BufferId) -> Option<&Launch> {
        self.launches.iter().find(|l| l.writes.iter().any(|w| w.buffer == buffer))
    }
}

impl Kernel {
    /// What happens at each of its elements, or to its results on their way to memory.
    pub fn program(&self) -> Option<&Program> {
        match self {
            Kernel::Loop { program, .. } | Kernel::Reduce { program, .. } => Some(program),
            Kernel::Dot { epilogue, .. } | Kernel::Conv { epilogue, .. } | Kernel::Pool { epilogue, .. } => {
                epilogue.as_ref()
            }
            Kernel::Rows { .. } | Kernel::Primitive { .. } | Kernel::Scan { .. } | Kernel::Named { .. } => {
                None
            }
        }
    }

    /// The number of leading axes of a `Loop` or a `Reduce` that together are `rows`; `None` where there are none, or a
    /// `Reduce` does not keep just them.
    pub fn row_axes(&self, rows: &Dim) -> Option<usize> {
        let axes = match self {
            Kernel::Loop { shape, .. } => (1..=shape.len()).find(|n| product(&shape[..*n]) == *rows),
            Kernel::Reduce { shape, folded, .. } => {
                shape.len().checked_sub(*folded).filter(|n| product(&shape[..*n]) == *rows)
            }
            _ => None,
        };
        axes.filter(|n| *n > 0)
    }
}

/// The product of sizes.
pub fn product(sizes: &[Dim]) -> Dim {
    sizes.iter().fold(Dim::fixed(1), |n, d| n * d)
}

impl Program {
    /// Registers and what is written: see [`Limits::operands`](crate::backend::Limits::operands).
    pub fn operands(&self) -> usize {
        self.inputs.len() + self.code.len() + self.outputs.len()
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
    /// The stages of a [`Kernel::Rows`], each with its own reads and writes; another launch is its only stage.
    pub fn stages(&self) -> Cow<'_, [Launch]> {
        let Kernel::Rows { stages, .. } = &self.kernel else { return Cow::from(std::slice::from_ref(self)) };
        let (mut reads, mut writes) = (self.reads.iter().cloned(), self.writes.iter().cloned());
        let stage = |Stage { kernel, label }: &Stage| {
            let (r, w) = match kernel {
                Kernel::Loop { program, .. } => (program.inputs.len(), program.outputs.len()),
                Kernel::Reduce { program, folds, .. } => (program.inputs.len(), folds.len()),
                _ => (0, 0),
            };
            Launch {
                kernel: kernel.clone(),
                reads: reads.by_ref().take(r).collect(),
                writes: writes.by_ref().take(w).collect(),
                label: label.clone(),
            }
        };
        stages.iter().map(stage).collect::<Vec<Launch>>().into()
    }

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
            Kernel::Rows { .. } => {
                let (reads, writes): (Vec<_>, Vec<_>) = self.stages().iter().map(Launch::shapes).unzip();
                (reads.concat(), writes.concat())
            }
            Kernel::Dot { batch, m, n, k, .. } => {
                let join = |parts: [&[Dim]; 3]| parts.concat();
                let whole = join([batch, m, n]);
                (fill(vec![join([batch, m, k]), join([batch, k, n])], &whole, r), fill(vec![], &whole, w))
            }
            Kernel::Conv { conv, x, w: kernel, y, .. } => {
                let [a, b, out] = conv.kind.sides([x, kernel, y]);
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
            Kernel::Primitive { inputs, outputs, .. } => {
                let shapes = |all: &[Type]| all.iter().map(|t| t.shape.to_vec()).collect();
                (shapes(inputs), shapes(outputs))
            }
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
            Kernel::Named { call } => {
                let shapes = |all: &[Type]| all.iter().map(|t| t.shape.to_vec()).collect();
                (shapes(&call.inputs), shapes(&call.results))
            }
        }
    }
}

impl Param {
    /// A parameter of a function.
    pub fn of(e: &Expr) -> Param {
        let name = match e.op() {
            Op::Control(Control::Param { name, .. }) => name.clone(),
            _ => String::new(),
        };
        Param { name, ty: e.ty().clone() }
    }
}

/// Finds the values of the symbols from the sizes of concrete arguments.
///
/// # Errors
/// When an argument's shape does not fit its parameter's.
pub fn bind(params: &[Param], shapes: &[&[usize]]) -> Result<Bindings> {
    let mut bindings = Bindings::new();
    for (p, sizes) in params.iter().zip(shapes) {
        let misfit =
            || Error::new(format!("'{}' has the shape {sizes:?}", p.name)).expected(p.ty.shape.to_string());
        if p.ty.shape.rank() != sizes.len() {
            return Err(misfit());
        }
        for (d, n) in p.ty.shape.iter().zip(sizes.iter()) {
            let mut names = BTreeSet::new();
            d.symbols(&mut names);
            if let (Some(name), true) = (names.first(), names.len() == 1)
                && *d == Dim::symbol(name)
            {
                bindings.entry(name.clone()).or_insert(*n);
            }
        }
    }
    for (p, sizes) in params.iter().zip(shapes) {
        if p.ty.shape.eval(&bindings).as_deref() != Some(*sizes) {
            return Err(Error::new(format!("'{}' has the shape {sizes:?}", p.name)).expected(format!(
                "{}{}",
                p.ty.shape,
                known_from_others(p, sizes, &bindings)
            )));
        }
    }
    Ok(bindings)
}

/// ` with batch = 2` for the symbols of the axes that do not fit: other arguments say how large they are.
fn known_from_others(p: &Param, sizes: &[usize], bindings: &Bindings) -> String {
    let mut names = BTreeSet::new();
    let wrong = p.ty.shape.iter().zip(sizes).filter(|(d, n)| d.eval(bindings) != Some(**n));
    wrong.for_each(|(d, _)| d.symbols(&mut names));
    let known: Vec<String> =
        names.iter().filter_map(|s| Some(format!("{s} = {}", bindings.get(s)?))).collect();
    if known.is_empty() { String::new() } else { format!(" with {}", known.join(", ")) }
}
