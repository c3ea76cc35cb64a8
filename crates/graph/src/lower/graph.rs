//! The graph as lowering sees it: numbered nodes, views resolved to what they view, and who reads what.

use crate::access::view;
use crate::backend::Limits;
use crate::expr::Expr;
use crate::function::Function;
use crate::ops::{Class, Contract, Elementwise, Movement, Op, Unary};
use rhyton_tensor::{Error, Result};
use std::collections::HashMap;

/// A value: node and which of its results.
pub type Value = (usize, usize);

/// View nodes between a base value and what is read, innermost first.
pub type Path = Vec<usize>;

/// How lowering treats a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Parameters and constants.
    Source,
    /// Other indices for the elements of its input.
    View,
    /// One element from one element of each input, or from its position.
    Pointwise,
    /// Folds axes.
    Reduce,
    /// Kernels with an epilogue.
    Dot,
    Conv,
    Pool,
    /// Parts written into one buffer: concatenation, padding, permuting copies.
    Join,
    /// A kernel of its own.
    Kernel,
}

impl Kind {
    /// Whether elementwise operations on its result may happen in its kernel.
    pub fn fuses(self) -> bool {
        self == Kind::Pointwise || self.has_epilogue()
    }

    /// Whether its kernel takes an epilogue.
    pub fn has_epilogue(self) -> bool {
        matches!(self, Kind::Dot | Kind::Conv | Kind::Pool)
    }
}

/// One reading of a value.
pub struct Use {
    pub consumer: usize,
    pub out: usize,
    pub path: Path,
}

/// Numbered nodes with their readers.
pub struct Graph<'a> {
    pub function: &'a Function,
    pub limits: Limits,
    pub nodes: Vec<Expr>,
    pub kinds: Vec<Kind>,
    /// For each base node: who reads it, through which views.
    pub uses: Vec<Vec<Use>>,
    /// Which result of the function a value is.
    pub result_of: HashMap<Value, usize>,
    at: HashMap<u64, usize>,
}

impl<'a> Graph<'a> {
    pub fn new(function: &'a Function, limits: Limits) -> Graph<'a> {
        let mut nodes = function.params.clone();
        let params: std::collections::HashSet<u64> = nodes.iter().map(|p| p.node().id).collect();
        nodes.extend(function.nodes().into_iter().filter(|e| !params.contains(&e.node().id)));
        let at: HashMap<u64, usize> = nodes.iter().enumerate().map(|(i, e)| (e.node().id, i)).collect();
        let kinds = nodes.iter().map(kind).collect();
        let uses = nodes.iter().map(|_| vec![]).collect();
        let mut g = Graph { function, limits, nodes, kinds, uses, result_of: HashMap::new(), at };
        for i in 0..g.nodes.len() {
            if g.kinds[i] == Kind::Pointwise && g.permutes(i) {
                g.kinds[i] = Kind::Join;
            }
        }
        for consumer in 0..g.nodes.len() {
            if g.kinds[consumer] == Kind::View {
                continue;
            }
            for input in g.nodes[consumer].inputs().to_vec() {
                let ((node, out), path) = g.resolve(&input);
                g.uses[node].push(Use { consumer, out, path });
            }
        }
        for (i, r) in g.function.results.iter().enumerate() {
            let value = (g.at[&r.node().id], r.out());
            g.result_of.insert(value, i);
        }
        g
    }

    /// The value behind views, and the views.
    pub fn resolve(&self, e: &Expr) -> (Value, Path) {
        let (mut e, mut path) = (e, vec![]);
        while view(e.op()).is_some() {
            path.push(self.at[&e.node().id]);
            e = &e.inputs()[0];
        }
        path.reverse();
        ((self.at[&e.node().id], e.out()), path)
    }

    pub fn op(&self, node: usize) -> &Op {
        self.nodes[node].op()
    }

    pub fn value(&self, v: Value) -> Expr {
        self.nodes[v.0].sibling(v.1)
    }

    /// Whether a node of `path` repeats elements.
    pub fn grows(&self, path: &[usize]) -> bool {
        path.iter().any(|v| matches!(self.op(*v), Op::Movement(Movement::Broadcast { .. })))
    }

    /// Whether `path` keeps every element exactly once, so that writing can follow it backwards.
    pub fn is_bijective(&self, path: &[usize]) -> bool {
        path.iter().all(|v| {
            matches!(
                self.op(*v),
                Op::Movement(Movement::Reshape { .. } | Movement::Transpose { .. } | Movement::Flip { .. })
            )
        })
    }

    /// True for a copy of a computed value in another order, which the value's own kernel can write.
    fn permutes(&self, node: usize) -> bool {
        let e = &self.nodes[node];
        if !matches!(e.op(), Op::Elementwise(Elementwise::Unary(Unary::Copy))) {
            return false;
        }
        let (base, path) = self.resolve(&e.inputs()[0]);
        let computed = matches!(self.kinds[base.0], Kind::Pointwise | Kind::Dot);
        computed && !path.is_empty() && self.is_bijective(&path)
    }
}

fn kind(e: &Expr) -> Kind {
    match e.op().class() {
        Class::Elementwise => Kind::Pointwise,
        Class::Reduce => Kind::Reduce,
        Class::Join => Kind::Join,
        Class::View => Kind::View,
        Class::Anchor => match e.op() {
            Op::Contract(Contract::Dot { .. }) => Kind::Dot,
            Op::Window(_) => Kind::Pool,
            _ => Kind::Conv,
        },
        Class::Kernel => Kind::Kernel,
        Class::Source => Kind::Source,
    }
}

/// A mistake of the compiler's, not of the user's.
pub fn internal(what: &str) -> Error {
    Error::new(format!("the compiler failed: {what}"))
        .fix("please report this with the program that shows it")
}

/// [`internal`] where something that must be there is not.
pub fn must<T>(x: Option<T>, what: &str) -> Result<T> {
    x.ok_or_else(|| internal(what))
}
