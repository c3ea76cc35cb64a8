//! [`Expr`]: an immutable value in a graph. Building never fails: a bad operation yields a poisoned expression
//! that carries its diagnostic to whoever compiles it.

use crate::ops::{Class, Control, Elementwise, Op, Scalar};
use rhyton_tensor::{DType, Error, Problem, Result, Shape, Source, Tensor};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Element type and sizes of a value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Type {
    /// Element type: float32, bfloat16, int32, int8, uint8 (of what comes in: it is converted where it is read) or bool.
    pub dtype: DType,
    /// Sizes, possibly symbolic.
    pub shape: Shape,
}

impl Type {
    /// A type.
    pub fn new(dtype: DType, shape: impl Into<Shape>) -> Type {
        Type { dtype, shape: shape.into() }
    }

    /// float32 of `shape`.
    pub fn f32(shape: impl Into<Shape>) -> Type {
        Type::new(DType::F32, shape)
    }
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

/// One operation of the graph with what it reads and where it was written.
#[derive(Debug)]
pub struct Node {
    /// Unique in the process; grows with creation.
    pub id: u64,
    /// What it computes.
    pub op: Op,
    /// What it reads.
    pub inputs: Vec<Expr>,
    /// Types of its results.
    pub outs: Vec<Type>,
    /// Where the user wrote it.
    pub source: Source,
    /// The layer it belongs to, like `sequential/dense_1`; empty outside layers.
    pub path: Arc<str>,
}

/// A value in a graph: cheap to clone, typed when it is made, remembers its source line and layer.
///
/// ```
/// use rhyton_graph::{eval, Expr};
/// use rhyton_tensor::Tensor;
/// let y = eval(|x| vec![(&x[0] * 2.0 + 1.0).sum(&[1])], &[Tensor::new([1, 2], vec![1.0f32, 2.0])?])?;
/// assert_eq!(y[0].to_vec::<f32>(), [8.0]);
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
#[derive(Clone)]
pub struct Expr {
    node: Arc<Node>,
    out: usize,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static PATH: RefCell<Vec<Arc<str>>> = const { RefCell::new(Vec::new()) };
    static SOURCE: RefCell<Vec<Source>> = const { RefCell::new(Vec::new()) };
}

struct Pop(fn());
impl Drop for Pop {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Runs `f` with `path` as the layer path of every expression it makes.
pub fn in_path<R>(path: &str, f: impl FnOnce() -> R) -> R {
    PATH.with_borrow_mut(|p| p.push(path.into()));
    let _pop = Pop(|| PATH.with_borrow_mut(|p| p.truncate(p.len().saturating_sub(1))));
    f()
}

/// Runs `f` with `source` as the place of every expression and layer it makes: a layer's expressions belong to the
/// line where the user made the layer, and a layer of a file to its place there.
pub fn at_source<R>(source: &Source, f: impl FnOnce() -> R) -> R {
    SOURCE.with_borrow_mut(|p| p.push(source.clone()));
    let _pop = Pop(|| SOURCE.with_borrow_mut(|p| p.truncate(p.len().saturating_sub(1))));
    f()
}

/// The innermost layer path in force.
pub fn current_path() -> Arc<str> {
    PATH.with_borrow(|p| p.last().cloned()).unwrap_or_else(|| "".into())
}

fn checked(types: Vec<Type>) -> Result<Vec<Type>> {
    types.iter().try_for_each(|t| t.shape.check())?;
    Ok(types)
}

/// The innermost source in force, or the caller's line.
#[track_caller]
pub fn current_source() -> Source {
    let caller = Source::here();
    SOURCE.with_borrow(|s| s.last().cloned()).unwrap_or(caller)
}

impl Expr {
    /// Applies `op` to `inputs` and returns its first result; poisoned when the types do not fit.
    #[track_caller]
    pub fn apply(op: impl Into<Op>, inputs: Vec<Expr>) -> Expr {
        Expr::apply_at(op.into(), inputs, current_source(), current_path())
    }

    /// Applies `op` and returns all its results.
    #[track_caller]
    pub fn apply_all(op: impl Into<Op>, inputs: Vec<Expr>) -> Vec<Expr> {
        Expr::apply(op, inputs).siblings()
    }

    /// [`Expr::apply`] with an explicit line and layer path: how passes rebuild a node.
    pub fn apply_at(op: Op, inputs: Vec<Expr>, source: Source, path: Arc<str>) -> Expr {
        if let Some(bad) = inputs.iter().find(|e| e.is_poisoned()) {
            return bad.clone();
        }
        let types: Vec<&Type> = inputs.iter().map(Expr::ty).collect();
        match op.infer(&types).and_then(checked) {
            Ok(outs) => Expr::raw(op, inputs, outs, source, path),
            Err(e) => Expr::poison_at(e, source, path),
        }
    }

    fn raw(op: Op, inputs: Vec<Expr>, outs: Vec<Type>, source: Source, path: Arc<str>) -> Expr {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Expr { node: Arc::new(Node { id, op, inputs, outs, source, path }), out: 0 }
    }

    /// A poisoned expression: anything made of it is poisoned too, and compiling reports `error`.
    #[track_caller]
    pub fn poison(error: Error) -> Expr {
        Expr::poison_at(error, current_source(), current_path())
    }

    fn poison_at(error: Error, source: Source, path: Arc<str>) -> Expr {
        let mut error = error.source(&source);
        if !path.is_empty() {
            error = error.place(&*path);
        }
        let out = Type::f32(Shape::default());
        Expr::raw(Op::Control(Control::Poison(error)), vec![], vec![out], source, path)
    }

    /// True when building this expression went wrong.
    pub fn is_poisoned(&self) -> bool {
        matches!(self.node.op, Op::Control(Control::Poison(_)))
    }

    /// The diagnostics of a poisoned expression.
    pub fn error(&self) -> Option<&Error> {
        if let Op::Control(Control::Poison(e)) = &self.node.op { Some(e) } else { None }
    }

    /// A parameter of a graph: a value given when it runs.
    #[track_caller]
    pub fn param(name: &str, ty: Type) -> Expr {
        let serial = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Expr::apply(Control::Param { name: name.into(), dtype: ty.dtype, shape: ty.shape, serial }, vec![])
    }

    /// A constant without axes.
    #[track_caller]
    pub fn scalar(value: impl Into<Scalar>) -> Expr {
        Expr::apply(Control::Scalar(value.into()), vec![])
    }

    /// A constant tensor; converted to the graph's types (floats to float32, integers to int32).
    #[track_caller]
    pub fn constant(t: &Tensor) -> Expr {
        Expr::apply(Control::Literal(crate::ops::Literal::new(t)), vec![])
    }

    /// An id that no node made so far exceeds, and every later one does.
    pub(crate) fn newest_id() -> u64 {
        NEXT_ID.fetch_add(1, Ordering::Relaxed)
    }

    /// The node behind this value.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Which result of the node this is.
    pub fn out(&self) -> usize {
        self.out
    }

    /// A key for maps: node and result.
    pub fn key(&self) -> (u64, usize) {
        (self.node.id, self.out)
    }

    /// Element type and sizes.
    pub fn ty(&self) -> &Type {
        &self.node.outs[self.out]
    }

    /// Sizes.
    pub fn shape(&self) -> &Shape {
        &self.ty().shape
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.ty().dtype
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.shape().rank()
    }

    /// The operation.
    pub fn op(&self) -> &Op {
        &self.node.op
    }

    /// What the operation reads.
    pub fn inputs(&self) -> &[Expr] {
        &self.node.inputs
    }

    /// All results of the node behind this value.
    pub fn siblings(&self) -> Vec<Expr> {
        (0..self.node.outs.len()).map(|out| Expr { node: self.node.clone(), out }).collect()
    }

    /// Result `out` of the node behind this value.
    pub fn sibling(&self, out: usize) -> Expr {
        Expr { node: self.node.clone(), out }
    }

    /// The results of the same operation on other inputs; the very same values when the inputs are the same.
    pub fn with_inputs(&self, inputs: Vec<Expr>) -> Vec<Expr> {
        if inputs.iter().zip(&self.node.inputs).all(|(a, b)| a.key() == b.key()) {
            return self.siblings();
        }
        self.with_op(self.node.op.clone(), inputs)
    }

    /// The results of another operation, on the line and in the layer of this one.
    pub fn with_op(&self, op: impl Into<Op>, inputs: Vec<Expr>) -> Vec<Expr> {
        let n = self.node.outs.len();
        let first = Expr::apply_at(op.into(), inputs, self.node.source.clone(), self.node.path.clone());
        // A poisoned operation has one value; every result is poisoned then.
        if first.is_poisoned() { vec![first; n] } else { first.siblings() }
    }

    /// The value when this is a constant without axes, seen through a few broadcasts, reshapes and casts. Passes
    /// make one view of many, so looking deeper finds nothing more; chains of views may be long.
    pub fn as_scalar(&self) -> Option<Scalar> {
        let (mut at, mut casts) = (self, vec![]);
        for _ in 0..8 {
            match &at.node.op {
                Op::Control(Control::Scalar(s)) => {
                    return Some(casts.into_iter().rev().fold(*s, |s, dtype| s.cast(dtype)));
                }
                op if op.class() == Class::View && !at.node.inputs.is_empty() => {}
                Op::Elementwise(Elementwise::Cast(d)) => casts.push(*d),
                _ => return None,
            }
            at = &at.node.inputs[0];
        }
        None
    }
}

impl std::fmt::Debug for Expr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "%{}.{}: {}", self.node.id, self.out, self.ty())
    }
}

/// Long chains must not overflow the stack when they are dropped.
impl Drop for Node {
    fn drop(&mut self) {
        let mut pending: Vec<Expr> = std::mem::take(&mut self.inputs);
        while let Some(e) = pending.pop() {
            if let Some(mut node) = Arc::into_inner(e.node) {
                pending.append(&mut node.inputs);
            }
        }
    }
}

/// The nodes that `results` depend on, each after everything it reads, one representative value per node.
pub fn topological(results: &[Expr]) -> Vec<Expr> {
    let mut order = Vec::new();
    let mut seen = HashSet::new();
    // (value, next input to visit): an explicit stack, because graphs are deep.
    let mut stack: Vec<(Expr, usize)> = Vec::new();
    for root in results {
        if seen.insert(root.node.id) {
            stack.push((root.sibling(0), 0));
        }
        while let Some((e, next)) = stack.last_mut() {
            if let Some(input) = e.node.inputs.get(*next).cloned() {
                *next += 1;
                if seen.insert(input.node.id) {
                    stack.push((input.sibling(0), 0));
                }
            } else {
                order.extend(stack.pop().map(|(e, _)| e));
            }
        }
    }
    order
}

/// Every problem of the poisoned expressions among `results`, each once, in the order they were made.
pub fn problems(results: &[Expr]) -> Vec<Problem> {
    let mut seen = HashSet::new();
    let all = results.iter().filter_map(Expr::error).flat_map(|e| &e.problems);
    all.filter(|p| seen.insert(*p)).cloned().collect()
}

/// Rebuilds `results` with some values replaced: `replace` maps a value's key to what stands for it.
pub fn substitute(results: &[Expr], replace: &HashMap<(u64, usize), Expr>) -> Vec<Expr> {
    rewrite(results, replace.clone(), |e, inputs| e.with_inputs(inputs))
}

/// Rebuilds a graph bottom up: `rule` gets each node with its inputs already rebuilt and returns one value for
/// each of its results. Values already in `done` are taken from there. With [`Expr::with_inputs`] as the last
/// resort of the rule, what does not change keeps its identity.
pub fn rewrite(
    results: &[Expr],
    mut done: HashMap<(u64, usize), Expr>,
    mut rule: impl FnMut(&Expr, Vec<Expr>) -> Vec<Expr>,
) -> Vec<Expr> {
    let at = |done: &HashMap<(u64, usize), Expr>, e: &Expr| done.get(&e.key()).cloned();
    for e in topological(results) {
        let outs = e.node.outs.len();
        if (0..outs).all(|o| done.contains_key(&(e.node.id, o))) {
            continue;
        }
        let inputs: Vec<Expr> =
            e.node.inputs.iter().map(|i| at(&done, i).unwrap_or_else(|| i.clone())).collect();
        for (o, value) in rule(&e, inputs).into_iter().enumerate() {
            done.entry((e.node.id, o)).or_insert(value);
        }
    }
    results.iter().map(|r| at(&done, r).unwrap_or_else(|| r.clone())).collect()
}
