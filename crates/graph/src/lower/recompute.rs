//! Which elementwise values are computed where they are read instead of being stored: those with one reader that
//! takes them through a view, into a fold or into a joined buffer, and cheap ones whose inputs are stored anyway.

use super::graph::{Graph, Kind, Path, Use};
use super::program::int;
use crate::access::{Access, view};
use crate::ops::{Control, Elementwise, Op};
use rhyton_tensor::DType;

/// For each node: how its readers see it when it is computed in place (paths to the index space of the kernel
/// that computes it); `None` when it is not.
pub struct Recomputed {
    pub views: Vec<Option<Vec<Path>>>,
    /// The stored nodes that compute it.
    roots: Vec<Vec<usize>>,
    /// How many values each stored node has taken in.
    taken: Vec<usize>,
}

impl Recomputed {
    pub fn is(&self, node: usize) -> bool {
        self.views[node].is_some()
    }
}

/// Decides for every elementwise value, last ones first: a reader is decided before what it reads.
pub fn decide(g: &Graph) -> Recomputed {
    let n = g.nodes.len();
    let cheap = weights(g);
    let mut r = Recomputed { views: vec![None; n], roots: vec![vec![]; n], taken: vec![0; n] };
    for node in (0..n).rev() {
        if g.kinds[node] == Kind::Pointwise && !g.result_of.contains_key(&(node, 0)) {
            r.consider(g, node, cheap[node]);
        }
    }
    r
}

impl Recomputed {
    fn consider(&mut self, g: &Graph, node: usize, cheap: Option<usize>) {
        let uses = &g.uses[node];
        let reader = |c: usize| matches!(g.kinds[c], Kind::Pointwise | Kind::Reduce | Kind::Join);
        if uses.is_empty() || !uses.iter().all(|u| reader(u.consumer)) {
            return;
        }
        let (mut views, mut roots): (Vec<Path>, Vec<usize>) = (vec![], vec![]);
        for u in uses {
            match &self.views[u.consumer] {
                Some(outer) => {
                    views.extend(outer.iter().map(|o| u.path.iter().chain(o).copied().collect()));
                    roots.extend(&self.roots[u.consumer]);
                }
                None => {
                    views.push(u.path.clone());
                    roots.push(u.consumer);
                }
            }
        }
        views.sort_unstable();
        views.dedup();
        roots.sort_unstable();
        roots.dedup();
        let is_source = g.nodes[node].inputs().is_empty();
        let one = roots.len() == 1 && views.len() == 1;
        let limit = if views.iter().any(|v| g.grows(v)) {
            g.limits.repeated
        } else if one {
            usize::MAX
        } else {
            g.limits.recomputed
        };
        let free = is_source || widens(g, node);
        let affordable = free || limit == usize::MAX || cheap.is_some_and(|c| c <= limit);
        // Its only reader works on the same elements: they share a kernel, see `groups`. What is cheap and reads
        // only what is stored anyway goes with its reader, wherever that ends up.
        let same_kernel = one
            && !free
            && uses.iter().all(|u| self.views[u.consumer].is_none())
            && match g.kinds[uses[0].consumer] {
                Kind::Pointwise => cheap.is_none() && uses[0].path.is_empty(),
                kind => kind == Kind::Join && g.is_bijective(&uses[0].path),
            };
        let fits = (views.len() <= g.limits.readings || free)
            && roots.iter().all(|r| self.taken[*r] < g.limits.taken);
        if affordable && fits && !same_kernel && views.iter().all(|v| can_read(g, node, v)) {
            roots.iter().for_each(|r| self.taken[*r] += 1);
            self.views[node] = Some(views);
            self.roots[node] = roots;
        }
    }
}

/// True for a bfloat16 read as float32: wherever it is read, that is for free, and it takes half the memory.
fn widens(g: &Graph, node: usize) -> bool {
    let from = g.nodes[node].inputs().first().map(crate::Expr::dtype);
    let cast = matches!(g.op(node), Op::Elementwise(Elementwise::Cast(DType::F32)));
    cast && from == Some(DType::BF16)
}

/// The nodes that read `node`, as it is or widened.
fn readers(g: &Graph, node: usize) -> Vec<usize> {
    let of = |u: &Use| if widens(g, u.consumer) { readers(g, u.consumer) } else { vec![u.consumer] };
    g.uses[node].iter().flat_map(of).collect()
}

/// Whether strides can say how the inputs of `node` are read through `path`.
fn can_read(g: &Graph, node: usize, path: &[usize]) -> bool {
    if let Op::Index(iota) = g.op(node) {
        let access = Access::iota(iota).and_then(|a| follow(g, a, path));
        return access
            .is_some_and(|a| int(&a.offset).is_some() && a.strides.iter().all(|s| int(s).is_some()));
    }
    g.nodes[node].inputs().iter().all(|input| {
        let (base, inner) = g.resolve(input);
        let constant = matches!(g.op(base.0), Op::Control(Control::Scalar(_) | Control::Size(_)));
        let start = Access::contiguous(g.value(base).shape());
        constant || follow(g, start, &inner).and_then(|a| follow(g, a, path)).is_some()
    })
}

/// An access seen through further views.
pub fn follow(g: &Graph, mut access: Access, path: &[usize]) -> Option<Access> {
    for v in path {
        let e = &g.nodes[*v];
        access = access.through(view(e.op())?, e.inputs()[0].shape(), e.shape())?;
    }
    Some(access)
}

/// The arithmetic of computing each elementwise value again from what is stored anyway; `None` when something it
/// needs might not be stored.
fn weights(g: &Graph) -> Vec<Option<usize>> {
    let mut cheap: Vec<Option<usize>> = vec![None; g.nodes.len()];
    // Asked once for each value, not once for each of its readers.
    let mut stored_anyway: Vec<Option<bool>> = vec![None; g.nodes.len()];
    for node in 0..g.nodes.len() {
        let Op::Elementwise(op) = g.op(node) else {
            cheap[node] = matches!(g.op(node), Op::Index(_)).then_some(1);
            continue;
        };
        let mut sum = if widens(g, node) { 0 } else { op.cost() };
        for input in g.nodes[node].inputs() {
            let (base, path) = g.resolve(input);
            let again = cheap[base.0].unwrap_or(g.limits.recomputed + 1);
            // What is too dear to repeat under a broadcast is stored on its account.
            let anyway = *stored_anyway[base.0].get_or_insert_with(|| is_stored(g, base.0, &cheap));
            let stored = anyway || (g.grows(&path) && again > g.limits.repeated);
            sum += if stored { 0 } else { again };
        }
        cheap[node] = (sum <= g.limits.recomputed).then_some(sum);
    }
    cheap
}

/// True for values that are in memory whatever is decided.
fn is_stored(g: &Graph, node: usize, cheap: &[Option<usize>]) -> bool {
    let uses = &g.uses[node];
    let hard = |c: usize| g.kinds[c].has_epilogue() || g.kinds[c] == Kind::Kernel;
    let pinned = uses.iter().any(|u| hard(u.consumer));
    let readers = readers(g, node);
    let folded = readers.iter().any(|c| g.kinds[*c] == Kind::Reduce);
    match g.kinds[node] {
        Kind::Source | Kind::Reduce | Kind::Join | Kind::Kernel => true,
        Kind::View => false,
        Kind::Dot | Kind::Conv | Kind::Pool => {
            pinned
                || folded
                || g.result_of.contains_key(&(node, 0))
                || uses.iter().any(|u| !u.path.is_empty())
        }
        Kind::Pointwise => {
            let several = readers.iter().any(|c| *c != readers[0]);
            // Elements that are read at two places of one reader's space come from memory.
            let apart = uses.iter().any(|u| u.path != uses[0].path);
            let kept = apart || (several && folded);
            pinned || g.result_of.contains_key(&(node, 0)) || (kept && cheap[node].is_none())
        }
    }
}
