//! [`Guard`]: the check of numbers that choose rows or classes (see [`rhyton_nn::indices`]), before a program runs.

use super::Values;
use super::run::{Program, ProgramParts};
use rhyton_graph::backend::Backend;
use rhyton_graph::expr::{rewrite, topological};
use rhyton_graph::ops::{Control, Elementwise, Op};
use rhyton_graph::{Expr, Function, Type, named};
use rhyton_nn::indices::Among;
use rhyton_tensor::{Error, Result, Tensor};
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

/// Samples looked at together where the numbers of much data have to be computed.
const ROWS: usize = 4096;

/// Marked numbers of a program.
#[derive(Clone)]
struct Marked {
    among: Among,
    numbers: Expr,
    /// The layer that marked them.
    layer: Arc<str>,
    /// Which tensor of the batch they are; when they are computed, none.
    given: Option<usize>,
}

/// Checks the marked numbers of a program before it runs.
pub(crate) struct Guard {
    marked: Vec<Marked>,
    /// Parameters of what the program keeps, by the names of its slots, and of its batch.
    slots: Vec<String>,
    params: Vec<Expr>,
    /// Computes the numbers that are not given; compiled when it is first needed.
    program: OnceLock<Box<Program>>,
}

/// Where to compile what computes numbers that choose.
pub(crate) type Home<'a> = &'a dyn Fn() -> Result<Arc<dyn Backend>>;

impl Marked {
    /// The inputs that the numbers come from, and the layer.
    fn place(&self, inputs: &[Expr]) -> String {
        let read = topological(std::slice::from_ref(&self.numbers));
        let read = read.iter().filter(|e| inputs.iter().any(|p| p.key() == e.key())).filter_map(param_name);
        let mut place: Vec<String> = read.map(|name| format!("input '{name}'")).collect();
        place.extend((!self.layer.is_empty()).then(|| format!("layer '{}'", self.layer)));
        place.join(" of ")
    }
}

fn param_name(e: &Expr) -> Option<&str> {
    match e.op() {
        Op::Control(Control::Param { name, .. }) => Some(name),
        _ => None,
    }
}

fn choice(e: &Expr) -> Option<Among> {
    let Op::Control(Control::Call(f)) = e.op() else { return None };
    Among::deserialize(&f.attrs["among"]).ok().filter(|_| f.named == Some(&named::CHOSEN))
}

fn has_mark(f: &Function) -> bool {
    f.nodes().iter().any(|e| match e.op() {
        Op::Control(Control::Call(inner)) => inner.named == Some(&named::CHOSEN) || has_mark(inner),
        _ => false,
    })
}

/// The graph with the named functions opened that have marks inside, like losses of one's own.
fn opened(results: &[Expr], known: HashMap<(u64, usize), Expr>) -> Vec<Expr> {
    rewrite(results, known, |e, inputs| match e.op() {
        Op::Control(Control::Call(f)) if f.named != Some(&named::CHOSEN) && has_mark(f) => {
            opened(&f.results, f.params.iter().map(Expr::key).zip(inputs).collect())
        }
        _ => e.with_inputs(inputs),
    })
}

/// What `e` was before it became a float.
fn as_given(mut e: &Expr) -> &Expr {
    while let (Op::Elementwise(Elementwise::Cast(to)), Some(from)) = (e.op(), e.inputs().first()) {
        if !to.is_float() {
            break;
        }
        e = from;
    }
    e
}

impl Guard {
    /// Over the numbers marked in `roots`, as far as they can be computed from `params`: those of `slots`, then those of
    /// the batch. What can be computed from `checked` alone is left out.
    pub(crate) fn new(slots: &[String], params: &[Expr], roots: &[Expr], checked: &[Expr]) -> Guard {
        let batch: HashMap<_, usize> =
            params[slots.len()..].iter().enumerate().map(|(i, p)| (p.key(), i)).collect();
        let [known, checked] = [params, checked].map(|l| l.iter().map(Expr::key).collect::<HashSet<_>>());
        // Of every node, whether it needs what is not known here, and whether it needs what is not checked yet.
        let mut needs: HashMap<u64, (bool, bool)> = HashMap::new();
        let (mut marked, mut seen): (Vec<Marked>, _) = (vec![], HashSet::new());
        for e in topological(&opened(roots, HashMap::new())) {
            let of_inputs = e.inputs().iter().filter_map(|i| needs.get(&i.node().id));
            let need = match param_name(&e) {
                Some(_) => (!known.contains(&e.key()), !checked.contains(&e.key())),
                None => of_inputs.fold((false, false), |a, b| (a.0 || b.0, a.1 || b.1)),
            };
            needs.insert(e.node().id, need);
            let Some((among, numbers)) = choice(&e).zip(e.inputs().first().map(as_given)) else { continue };
            if need == (false, true) && seen.insert((among, numbers.key())) {
                let given = batch.get(&numbers.key()).copied();
                marked.push(Marked { among, numbers: numbers.clone(), layer: e.node().path.clone(), given });
            }
        }
        Guard { marked, slots: slots.to_vec(), params: params.to_vec(), program: OnceLock::new() }
    }

    /// Checks the numbers of a batch whose first sample has the number `first`. `computed` is reused from call to call.
    ///
    /// # Errors
    /// When one of them chooses nothing.
    pub(crate) fn check(
        &self,
        home: Home<'_>,
        values: &Values,
        batch: &[Tensor],
        first: usize,
        computed: &mut Vec<Tensor>,
    ) -> Result<()> {
        if self.marked.iter().any(|m| m.given.is_none()) {
            self.program(home)?.infer(values, batch, computed)?;
        }
        let samples = batch.first().and_then(|t| t.shape().first()).copied().unwrap_or(0);
        let mut computed = computed.iter();
        for m in &self.marked {
            let Some(numbers) = m.given.map_or_else(|| computed.next(), |i| batch.get(i)) else { continue };
            let checked = m.among.check(numbers, samples, first);
            checked.map_err(|e| e.place(m.place(&self.params[self.slots.len()..])))?;
        }
        Ok(())
    }

    /// Checks the numbers of all samples of a model's inputs, in whatever types they came.
    ///
    /// # Errors
    /// When one of them chooses nothing.
    pub(crate) fn check_all(&self, home: Home<'_>, inputs: &[Tensor], types: &[Type]) -> Result<()> {
        let mut computed = vec![];
        if self.marked.iter().all(|m| m.given.is_some()) {
            return self.check(home, &Values::default(), inputs, 0, &mut computed);
        }
        let values = Values::on(&home()?)?;
        let samples = inputs.first().and_then(|t| t.shape().first()).copied().unwrap_or(0);
        for first in (0..samples).step_by(ROWS) {
            let rows = first..samples.min(first + ROWS);
            let part = |(t, ty): (&Tensor, &Type)| t.slice_rows(rows.clone())?.try_cast(ty.dtype);
            let batch = inputs.iter().zip(types).map(part).collect::<Result<Vec<_>>>()?;
            self.check(home, &values, &batch, first, &mut computed)?;
        }
        Ok(())
    }

    /// The program that computes what is not given. Two threads may both compile it; one of them is in time.
    fn program(&self, home: Home<'_>) -> Result<&Program> {
        if self.program.get().is_none() {
            let computed = self.marked.iter().filter(|m| m.given.is_none());
            let (slots, inputs) = self.params.split_at(self.slots.len());
            let parts = ProgramParts {
                name: "indices",
                slots: self.slots.iter().cloned().zip(slots.iter().cloned()).collect(),
                inputs: inputs.iter().map(|e| (String::new(), e.clone())).collect(),
                results: computed.map(|m| m.numbers.clone()).collect(),
                updates: vec![],
                checked: self.params.clone(),
                watch: None,
            };
            drop(self.program.set(Box::new(Program::compile(parts, &home()?)?)));
        }
        self.program.get().map(|p| &**p).ok_or_else(|| Error::new("the check of indices was not compiled"))
    }
}

/// The guard itself, without what it compiled.
impl Clone for Guard {
    fn clone(&self) -> Guard {
        let (marked, slots, params) = (self.marked.clone(), self.slots.clone(), self.params.clone());
        Guard { marked, slots, params, program: OnceLock::new() }
    }
}
