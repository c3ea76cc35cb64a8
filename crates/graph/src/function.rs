//! [`Function`]: a closed piece of graph, named. Whole programs, bodies of named functions and of loops are all
//! functions.

use crate::expr::{Expr, Type, substitute, topological};
use crate::named::Named;
use crate::ops::{Control, Op};
use rhyton_tensor::{Error, Result};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A gradient rule of a named function: (function, inputs, results, cotangents of the results) to cotangents of
/// the inputs. For functions whose derivative is cheaper from the result than from the body.
pub type VjpRule = fn(&Function, &[Expr], &[Expr], &[Option<Expr>]) -> Vec<Option<Expr>>;

/// A closed piece of graph: `results` depend on nothing but `params` and constants.
pub struct Function {
    /// What people call it: `gelu`, `layer_norm`, `train_step`.
    pub name: String,
    /// Which function of the table it is; `None` for one that has a name only.
    pub named: Option<&'static Named>,
    /// Its settings, for people, exporters and fused kernels.
    pub attrs: serde_json::Value,
    /// Parameters, each a `param` node.
    pub params: Vec<Expr>,
    /// Results.
    pub results: Vec<Expr>,
    /// A gradient rule to use instead of differentiating the body.
    pub vjp: Option<VjpRule>,
    id: u64,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Function {
    /// A function of existing parameters and results.
    pub fn new(name: &str, params: Vec<Expr>, results: Vec<Expr>) -> Function {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Function {
            name: name.into(),
            named: None,
            attrs: serde_json::Value::Null,
            params,
            results,
            vjp: None,
            id,
        }
    }

    /// Traces `body` over fresh parameters of these types.
    #[track_caller]
    pub fn trace(name: &str, types: &[Type], body: impl FnOnce(&[Expr]) -> Vec<Expr>) -> Function {
        let params: Vec<Expr> =
            types.iter().enumerate().map(|(i, t)| Expr::param(&format!("{name}.{i}"), t.clone())).collect();
        let results = body(&params);
        Function::new(name, params, results)
    }

    /// The same with settings attached.
    pub fn with_attrs(mut self, attrs: serde_json::Value) -> Function {
        self.attrs = attrs;
        self
    }

    /// The same with a gradient rule of its own.
    pub fn with_vjp(mut self, rule: VjpRule) -> Function {
        self.vjp = Some(rule);
        self
    }

    /// The same name, identity, settings and rule over other parameters and results.
    pub fn rebuilt(&self, params: Vec<Expr>, results: Vec<Expr>) -> Function {
        Function {
            named: self.named,
            attrs: self.attrs.clone(),
            vjp: self.vjp,
            ..Function::new(&self.name, params, results)
        }
    }

    /// Applies the function; one `call` node.
    #[track_caller]
    pub fn call(self, inputs: &[Expr]) -> Vec<Expr> {
        if let Some(bad) = self.results.iter().find(|r| r.is_poisoned()) {
            return vec![bad.clone(); self.results.len()];
        }
        let n = self.results.len();
        let all = Expr::apply_all(Control::Call(Arc::new(self)), inputs.to_vec());
        // A poisoned call has one value; every result is poisoned then.
        (0..n).map(|i| all.get(i).unwrap_or(&all[0]).clone()).collect()
    }

    pub(crate) fn check_inputs(&self, inputs: &[&Type]) -> Result<()> {
        if inputs.len() != self.params.len() {
            return Err(Error::new(format!(
                "{} takes {} inputs, got {}",
                self.name,
                self.params.len(),
                inputs.len()
            )));
        }
        for (i, (p, t)) in self.params.iter().zip(inputs).enumerate() {
            if p.ty() != *t {
                return Err(
                    Error::new(format!("input {i} of {} is {t}", self.name)).expected(p.ty().to_string())
                );
            }
        }
        match self.results.iter().find_map(Expr::error) {
            Some(e) => Err(e.clone()),
            None => Ok(()),
        }
    }

    /// The nodes in topological order.
    pub fn nodes(&self) -> Vec<Expr> {
        topological(&self.results)
    }

    /// Whether each element of the one result depends on one element of the parameter `which`, which has the same
    /// shape.
    pub fn is_elementwise_in(&self, which: usize) -> bool {
        let [result] = &self.results[..] else { return false };
        let Some(param) = self.params.get(which) else { return false };
        let mut varies = HashSet::from([param.node().id]);
        let mut fits = |e: &Expr| {
            let reads = |i: &Expr| varies.contains(&i.node().id);
            let which: Vec<usize> = (0..e.inputs().len()).filter(|i| reads(&e.inputs()[*i])).collect();
            let fits = match (e.op(), &which[..]) {
                (_, []) => return true,
                (Op::Elementwise(_), _) => true,
                (Op::Control(Control::Call(inner)), [one]) => inner.is_elementwise_in(*one),
                _ => false,
            };
            varies.insert(e.node().id);
            fits
        };
        result.shape() == param.shape() && result.dtype().is_float() && self.nodes().iter().all(&mut fits)
    }

    /// Every diagnostic of the function as one error.
    ///
    /// # Errors
    /// When a result is poisoned.
    pub fn check(&self) -> Result<()> {
        match Error::from_problems(crate::expr::problems(&self.results)) {
            Some(e) => Err(e),
            None => Ok(()),
        }
    }
}

/// Applies a function of the user's own, given by its body. It stays one node with this name; kernels and rules
/// know only those of the table ([`crate::named`]).
///
/// ```
/// use rhyton_graph::{function::named, Expr, Type};
/// let x = Expr::param("x", Type::f32([3]));
/// let y = named("swish", serde_json::Value::Null, &[x], |p| p[0].sigmoid() * p[0].clone());
/// assert_eq!(y.shape().to_string(), "[3]");
/// ```
#[track_caller]
pub fn named(
    name: &str,
    attrs: serde_json::Value,
    inputs: &[Expr],
    body: impl FnOnce(&[Expr]) -> Expr,
) -> Expr {
    if let Some(bad) = inputs.iter().find(|e| e.is_poisoned()) {
        return bad.clone();
    }
    let types: Vec<Type> = inputs.iter().map(|e| e.ty().clone()).collect();
    Function::trace(name, &types, |p| vec![body(p)]).with_attrs(attrs).call(inputs).remove(0)
}

/// [`named`] with a gradient rule of its own.
#[track_caller]
pub fn named_with_vjp(
    name: &str,
    attrs: serde_json::Value,
    inputs: &[Expr],
    rule: VjpRule,
    body: impl FnOnce(&[Expr]) -> Expr,
) -> Expr {
    if let Some(bad) = inputs.iter().find(|e| e.is_poisoned()) {
        return bad.clone();
    }
    let types: Vec<Type> = inputs.iter().map(|e| e.ty().clone()).collect();
    Function::trace(name, &types, |p| vec![body(p)]).with_attrs(attrs).with_vjp(rule).call(inputs).remove(0)
}

/// A loop over the first axis of `xs`. `body` maps (states, one entry of each sequence, `constants`) to (new
/// states, collected entries). Returns (final states, collected sequences). What else the body reads from outside
/// becomes a constant of the loop.
#[track_caller]
pub fn scan(
    name: &str,
    init: &[Expr],
    xs: &[Expr],
    constants: &[Expr],
    reverse: bool,
    body: impl FnOnce(&[Expr], &[Expr], &[Expr]) -> (Vec<Expr>, Vec<Expr>),
) -> (Vec<Expr>, Vec<Expr>) {
    let mut all: Vec<Expr> = init.iter().chain(xs).chain(constants).cloned().collect();
    if let Some(bad) = all.iter().find(|e| e.is_poisoned()) {
        return poisoned(bad, [init, xs, constants].map(<[Expr]>::len), body);
    }
    let Some(length) = xs.first().and_then(|x| x.shape().first().cloned()) else {
        let e = Expr::poison(Error::new("a scan needs at least one sequence with a time axis"));
        return poisoned(&e, [init, xs, constants].map(<[Expr]>::len), body);
    };
    let mut types: Vec<Type> = all.iter().map(|e| e.ty().clone()).collect();
    for t in &mut types[init.len()..init.len() + xs.len()] {
        if t.shape.rank() > 0 {
            t.shape.0.remove(0);
        }
    }
    let mut ys = 0;
    let before = Expr::newest_id();
    let traced = Function::trace(name, &types, |p| {
        let (c, rest) = p.split_at(init.len());
        let (x, k) = rest.split_at(xs.len());
        let (mut states, out) = body(c, x, k);
        ys = out.len();
        states.extend(out);
        states
    });
    if let Some(bad) = traced.results.iter().find(|r| r.is_poisoned()) {
        return (vec![bad.clone(); init.len()], vec![bad.clone(); ys]);
    }
    let (function, outside) = closed(traced, before);
    all.extend(outside);
    let op = Control::Scan { body: Arc::new(function), carries: init.len(), xs: xs.len(), length, reverse };
    let results = Expr::apply_all(op, all);
    if results[0].is_poisoned() {
        return (vec![results[0].clone(); init.len()], vec![results[0].clone(); ys]);
    }
    (results[..init.len()].to_vec(), results[init.len()..].to_vec())
}

/// What `body` gives for each entry of the sequences `xs` (their first axis), along a new first axis: a loop without a
/// state.
///
/// ```
/// use rhyton_graph::{eval, function::for_each};
/// use rhyton_tensor::Tensor;
/// let x = Tensor::new([3, 2], vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// let sums = eval(|p| for_each("sums", &[p[0].clone()], |x| vec![x[0].sum_all()]), &[x])?;
/// assert_eq!(sums[0].to_vec::<f32>(), [3.0, 7.0, 11.0]);
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
#[track_caller]
pub fn for_each(name: &str, xs: &[Expr], body: impl FnOnce(&[Expr]) -> Vec<Expr>) -> Vec<Expr> {
    // A loop carries something.
    let none = Expr::scalar(0.0f32);
    scan(name, &[none], xs, &[], false, |state, x, _| (state.to_vec(), body(x))).1
}

/// The function with every value it reads from outside as a further parameter, and these values. Outside is what was
/// made before the function (up to the node `before`), and a parameter that is not the function's own. Constants
/// without axes stay where they are.
fn closed(f: Function, before: u64) -> (Function, Vec<Expr>) {
    let own: HashSet<u64> = f.params.iter().map(|p| p.node().id).collect();
    let is_outside = |e: &Expr| match e.op() {
        Op::Control(Control::Param { .. }) => !own.contains(&e.node().id),
        Op::Control(Control::Scalar(_) | Control::Size(_)) => false,
        _ => e.node().id <= before && e.as_scalar().is_none(),
    };
    let mut outside: Vec<Expr> = vec![];
    let (mut seen, mut pending): (HashSet<(u64, usize)>, Vec<Expr>) = (HashSet::new(), f.results.clone());
    while let Some(e) = pending.pop() {
        match () {
            () if !seen.insert(e.key()) => {}
            () if is_outside(&e) => outside.push(e),
            () => pending.extend(e.inputs().iter().cloned()),
        }
    }
    if outside.is_empty() {
        return (f, outside);
    }
    outside.sort_by_key(Expr::key);
    let inside: Vec<Expr> = outside.iter().map(|e| Expr::param("outside", e.ty().clone())).collect();
    let replace: HashMap<(u64, usize), Expr> =
        outside.iter().map(Expr::key).zip(inside.iter().cloned()).collect();
    let results = substitute(&f.results, &replace);
    let params = f.params.iter().cloned().chain(inside).collect();
    (f.rebuilt(params, results), outside)
}

/// What a scan over a bad value gives; the body says how many sequences it would have collected.
fn poisoned(
    bad: &Expr,
    sizes: [usize; 3],
    body: impl FnOnce(&[Expr], &[Expr], &[Expr]) -> (Vec<Expr>, Vec<Expr>),
) -> (Vec<Expr>, Vec<Expr>) {
    let [init, xs, constants] = sizes.map(|n| vec![bad.clone(); n]);
    let sequences = body(&init, &xs, &constants).1.len();
    (init, vec![bad.clone(); sequences])
}

impl PartialEq for Function {
    fn eq(&self, other: &Function) -> bool {
        self.id == other.id
    }
}
impl Eq for Function {}
impl std::hash::Hash for Function {
    fn hash<H: std::hash::Hasher>(&self, h: &mut H) {
        self.id.hash(h);
    }
}
impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "fn {}({} params) -> {}", self.name, self.params.len(), self.results.len())
    }
}
