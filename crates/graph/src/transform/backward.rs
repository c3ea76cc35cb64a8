//! The walk from results to inputs.

use super::{Occurrence, calls, scan};
use crate::expr::{Expr, topological};
use crate::ops::{Control, Elementwise, Op, Unary};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};

/// Rules that take the place of gradients.
///
/// Guided backpropagation (Springenberg et al. 2015) lets only positive cotangents of positive values through a ReLU,
/// wherever it stands:
///
/// ```
/// use rhyton_graph::transform::{Backward, Occurrence, backward};
/// use rhyton_graph::{Expr, ops::{Binary, Elementwise, Op}};
///
/// struct Guided;
/// impl Backward for Guided {
///     fn rule(&self, at: &Occurrence, cotangents: &[Option<Expr>]) -> Option<Vec<Option<Expr>>> {
///         let Op::Elementwise(Elementwise::Binary(Binary::Max)) = at.op() else { return None };
///         let g = cotangents[0].as_ref()?.maximum(&Expr::scalar(0.0f32));
///         let zero = g.zeros_like();
///         Some(vec![Some(at.results[0].greater(&zero).select(&g, &zero)), None])
///     }
/// }
///
/// let x = rhyton_tensor::Tensor::vector(vec![1.0f32, -2.0, 3.0]);
/// let guided = rhyton_graph::eval(
///     |p| {
///         let weights = Expr::constant(&rhyton_tensor::Tensor::vector(vec![1.0f32, 1.0, -1.0]));
///         let y = (p[0].maximum(&Expr::scalar(0.0f32)) * weights).sum(&[0]);
///         let g = backward(&Guided, &[y], &[Some(Expr::scalar(1.0f32))], &[p[0].clone()]);
///         vec![g[0].clone().unwrap()]
///     },
///     &[x],
/// )?;
/// assert_eq!(guided[0].to_vec::<f32>(), [1.0, 0.0, 0.0]);
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub trait Backward {
    /// Cotangents of the inputs from those of the results (`None` is zero), one for each input; `None` where this is
    /// no occurrence for a rule. Then a primitive takes its gradient, and a call or a loop is entered: what is inside
    /// is asked for in its turn.
    fn rule(&self, at: &Occurrence, cotangents: &[Option<Expr>]) -> Option<Vec<Option<Expr>>>;
}

/// Rules with a note whether one of them has applied yet.
pub(crate) struct Rules<'a> {
    rules: Option<&'a dyn Backward>,
    applied: Cell<bool>,
}

impl<'a> Rules<'a> {
    fn given(rules: &'a dyn Backward) -> Rules<'a> {
        Rules { rules: Some(rules), applied: Cell::new(false) }
    }

    /// None at all: every operation takes its own gradient.
    pub fn gradient() -> Rules<'static> {
        Rules { rules: None, applied: Cell::new(false) }
    }

    /// The same rules, none of which has applied.
    pub fn fresh(&self) -> Rules<'a> {
        Rules { rules: self.rules, applied: Cell::new(false) }
    }

    /// Whether there are rules to ask.
    pub fn may_apply(&self) -> bool {
        self.rules.is_some()
    }

    /// Whether a rule has applied.
    pub fn applied(&self) -> bool {
        self.applied.get()
    }

    pub fn note_applied(&self) {
        self.applied.set(true);
    }

    /// Cotangents of the inputs of `e`.
    fn at(&self, e: &Expr, cotangents: &[Option<Expr>]) -> Vec<Option<Expr>> {
        if let Some(rules) = self.rules {
            let siblings = e.siblings();
            if let Some(back) = rules.rule(&Occurrence::new(e, e.inputs(), &siblings), cotangents) {
                self.note_applied();
                return back;
            }
        }
        match e.op() {
            Op::Control(Control::Call(_) | Control::Scan { .. }) => enter(self, e, cotangents),
            op => op.vjp(e, cotangents),
        }
    }
}

/// Cotangents of the inputs of a call or a loop.
pub(crate) fn enter(rules: &Rules, e: &Expr, cotangents: &[Option<Expr>]) -> Vec<Option<Expr>> {
    match e.op() {
        Op::Control(Control::Call(f)) => calls::call_backward(rules, f, e, cotangents),
        Op::Control(op @ Control::Scan { .. }) => scan::scan_backward(rules, op, e, cotangents),
        _ => vec![],
    }
}

/// Cotangents of `wrt` from cotangents of `results` by `rules`; `None` is zero.
pub fn backward(
    rules: &dyn Backward,
    results: &[Expr],
    cotangents: &[Option<Expr>],
    wrt: &[Expr],
) -> Vec<Option<Expr>> {
    walk(&Rules::given(rules), results, cotangents, wrt)
}

/// [`backward`] that notes whether a rule has applied.
pub(super) fn walk(
    rules: &Rules,
    results: &[Expr],
    cotangents: &[Option<Expr>],
    wrt: &[Expr],
) -> Vec<Option<Expr>> {
    let order = topological(results);
    let mut reaches: HashSet<u64> = wrt.iter().map(|w| w.node().id).collect();
    for e in &order {
        if e.inputs().iter().any(|i| reaches.contains(&i.node().id)) {
            reaches.insert(e.node().id);
        }
    }
    let mut sums: HashMap<(u64, usize), Expr> = HashMap::new();
    let add = |sums: &mut HashMap<(u64, usize), Expr>, to: &Expr, g: Expr| {
        let sum = match sums.remove(&to.key()) {
            Some(old) => old + g,
            None => g,
        };
        sums.insert(to.key(), sum);
    };
    for (r, g) in results.iter().zip(cotangents) {
        if let Some(g) = g {
            add(&mut sums, r, g.clone());
        }
    }
    let wanted: HashSet<(u64, usize)> = wrt.iter().map(Expr::key).collect();
    for e in order.iter().rev().filter(|e| reaches.contains(&e.node().id)) {
        let outs = e.node().outs.len();
        let g: Vec<Option<Expr>> = (0..outs)
            .map(|o| {
                let key = (e.node().id, o);
                if wanted.contains(&key) { sums.get(&key).cloned() } else { sums.remove(&key) }
            })
            .collect();
        if g.iter().all(Option::is_none) || e.inputs().is_empty() {
            continue;
        }
        let back = crate::expr::in_path(&e.node().path, || {
            crate::expr::at_source(&e.node().source, || rules.at(e, &g))
        });
        for (input, g) in e.inputs().iter().zip(back) {
            if let (Some(g), true) = (g, reaches.contains(&input.node().id)) {
                let g = if is_rounded_weight(input) { g } else { g.cast(input.dtype()) };
                add(&mut sums, input, g);
            }
        }
    }
    wrt.iter().map(|w| sums.get(&w.key()).cloned()).collect()
}

/// True for a weight that was rounded to be used, a parameter or what was assigned to one: its gradient adds up in
/// float32 and must not be rounded itself.
fn is_rounded_weight(e: &Expr) -> bool {
    let mut base = e;
    while let (Op::Movement(_), Some(input)) = (base.op(), base.inputs().first()) {
        base = input;
    }
    let is_weight = |e: &Expr| {
        let assigned = Op::Elementwise(Elementwise::Unary(Unary::StopGradient));
        matches!(e.op(), Op::Control(Control::Param { .. })) || *e.op() == assigned
    };
    matches!(base.op(), Op::Elementwise(Elementwise::Cast(_))) && base.inputs().iter().all(is_weight)
}
