//! [`Place`]: which values of a model are explained.

use rhyton_graph::Expr;
use rhyton_graph::expr::topological;
use rhyton_graph::ops::{Control, Index, Op};
use rhyton_tensor::{Error, Result};
use std::collections::HashSet;

/// Which values are explained.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Place {
    /// The inputs. Of an input of whole numbers, the vectors that embeddings read for it.
    #[default]
    Inputs,
    /// What a layer gives, at each of its calls.
    Layer {
        /// Its name, or the end of its path: `block/conv`.
        name: String,
        /// Whether its activation belongs to it. Without, these are the values that the activation is applied to.
        activated: bool,
    },
}

/// A value that is explained.
pub(crate) struct Spot {
    pub name: String,
    pub value: Expr,
    /// The input of whole numbers whose vectors these are.
    pub token_of: Option<usize>,
}

impl Place {
    /// The values between `inputs` and `result`.
    pub(crate) fn find(&self, inputs: &[(String, Expr)], result: &Expr) -> Result<Vec<Spot>> {
        match self {
            Place::Inputs => at_inputs(inputs, result),
            Place::Layer { name, activated } => at_layer(name, *activated, inputs, result),
        }
    }
}

/// The nodes of a graph that depend on some of its values.
fn dependents(order: &[Expr], of: &[&Expr]) -> HashSet<u64> {
    let mut reached: HashSet<u64> = of.iter().map(|e| e.node().id).collect();
    for e in order {
        if e.inputs().iter().any(|i| reached.contains(&i.node().id)) {
            reached.insert(e.node().id);
        }
    }
    reached
}

fn at_inputs(inputs: &[(String, Expr)], result: &Expr) -> Result<Vec<Spot>> {
    let order = topological(std::slice::from_ref(result));
    let mut found = vec![];
    for (i, (name, input)) in inputs.iter().enumerate() {
        if input.dtype().is_float() {
            found.push(Spot { name: name.clone(), value: input.clone(), token_of: None });
            continue;
        }
        let reached = dependents(&order, &[input]);
        let reads = |e: &&Expr| {
            matches!(e.op(), Op::Index(Index::Gather { .. }))
                && reached.contains(&e.inputs()[1].node().id)
                && !reached.contains(&e.inputs()[0].node().id)
                && e.dtype().is_float()
        };
        let vectors: Vec<&Expr> = order.iter().filter(reads).collect();
        if vectors.is_empty() {
            return Err(Error::new("an input of whole numbers that no embedding reads has no gradient")
                .place(format!("input '{name}'"))
                .fix("explain a layer after it, or use a method that leaves inputs out: feature_ablation"));
        }
        let spot = |e: &Expr| Spot { name: name.clone(), value: e.clone(), token_of: Some(i) };
        found.extend(vectors.into_iter().map(spot));
    }
    Ok(found)
}

/// Whether a node belongs to the layer: its path ends with the name, or goes on inside it.
pub(crate) fn belongs(path: &str, name: &str) -> bool {
    let ends = |at: usize| path[at + name.len()..].is_empty() || path[at + name.len()..].starts_with('/');
    path.match_indices(name).any(|(at, _)| (at == 0 || path[..at].ends_with('/')) && ends(at))
}

fn at_layer(name: &str, activated: bool, inputs: &[(String, Expr)], result: &Expr) -> Result<Vec<Spot>> {
    let order = topological(std::slice::from_ref(result));
    let given: Vec<&Expr> = inputs.iter().map(|(_, e)| e).collect();
    let varies = dependents(&order, &given);
    let inside = |e: &Expr| varies.contains(&e.node().id) && belongs(&e.node().path, name);
    let mut read: HashSet<(u64, usize)> = HashSet::from([result.key()]);
    for e in order.iter().filter(|e| !inside(e)) {
        read.extend(e.inputs().iter().map(Expr::key));
    }
    let gives =
        |e: &Expr| inside(e) && e.dtype().is_float() && !matches!(e.op(), Op::Control(Control::Param { .. }));
    let outputs = order.iter().filter(|e| gives(e)).flat_map(Expr::siblings);
    let mut outputs: Vec<Expr> =
        outputs.filter(|e| read.contains(&e.key()) && e.dtype().is_float()).collect();
    if !activated {
        outputs.iter_mut().for_each(|e| *e = before_activation(e));
    }
    if outputs.is_empty() {
        let mut layers: Vec<&str> =
            order.iter().filter(|e| varies.contains(&e.node().id)).map(|e| &*e.node().path).collect();
        layers.dedup();
        let mut seen = HashSet::new();
        layers.retain(|l| !l.is_empty() && seen.insert(*l));
        return Err(Error::new(format!(
            "no layer '{name}' lies between the inputs and the explained output"
        ))
        .expected(format!("one of {}", layers.join(", "))));
    }
    Ok(outputs.into_iter().map(|value| Spot { name: name.into(), value, token_of: None }).collect())
}

/// What an activation inside of a layer is applied to.
fn before_activation(e: &Expr) -> Expr {
    match (e.op(), e.inputs()) {
        (Op::Control(Control::Call(_)), [x]) if x.node().path == e.node().path && x.shape() == e.shape() => {
            x.clone()
        }
        _ => e.clone(),
    }
}
