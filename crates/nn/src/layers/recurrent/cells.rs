//! What happens in one step: SimpleRNN, LSTM (Hochreiter and Schmidhuber 1997), GRU (Cho et al. 2014).
//!
//! A step gets the part of its input computed for all steps at once, `x . kernel + bias`, and computes only
//! what depends on the state. The elementwise half is a named function, so that a backend may fuse it; the
//! product with the recurrent kernel stays outside, where the gradient sums it over all steps at once.

use crate::activations::Activation;
use rhyton_graph::{Expr, named};
use serde_json::json;
use std::ops::Range;

/// A kind of cell with its activations.
pub(super) enum Cell<'a> {
    Simple { activation: &'a Activation },
    Lstm { activation: &'a Activation, recurrent: &'a Activation },
    Gru { activation: &'a Activation, recurrent: &'a Activation, reset_after: bool },
}

/// The recurrent kernel in column blocks, one for each product a step needs.
pub(super) struct Recurrent {
    pub units: usize,
    /// Gates of each block.
    pub blocks: Vec<Range<usize>>,
    /// `[units, gates * units]` for each block.
    pub kernels: Vec<Expr>,
    /// Dropout of the state for each block.
    pub masks: Vec<Expr>,
    /// The recurrent bias of all gates.
    pub bias: Option<Expr>,
}

impl Recurrent {
    /// `h . kernel + bias` for these gates.
    fn of(&self, h: &Expr, gates: Range<usize>) -> Expr {
        let product = |i: usize| match self.masks.get(i) {
            Some(mask) => (h * mask).matmul(&self.kernels[i]),
            None => h.matmul(&self.kernels[i]),
        };
        let inside = |b: &Range<usize>| b.start >= gates.start && b.end <= gates.end;
        let parts: Vec<Expr> =
            (0..self.blocks.len()).filter(|i| inside(&self.blocks[*i])).map(product).collect();
        let y = Expr::concat(&parts, 1);
        match &self.bias {
            Some(b) => y + block(b, self.units, gates),
            None => y,
        }
    }
}

/// The columns of these gates.
pub(super) fn block(x: &Expr, units: usize, gates: Range<usize>) -> Expr {
    x.slice(x.rank().max(1) - 1, gates.start * units, gates.len() * units)
}

impl Cell<'_> {
    /// The name of the cell in the paths of its weights.
    pub fn name(&self) -> &'static str {
        match self {
            Cell::Simple { .. } => "simple_rnn_cell",
            Cell::Lstm { .. } => "lstm_cell",
            Cell::Gru { .. } => "gru_cell",
        }
    }

    /// Number of gates: column blocks of the kernels.
    pub fn gates(&self) -> usize {
        match self {
            Cell::Simple { .. } => 1,
            Cell::Lstm { .. } => 4,
            Cell::Gru { .. } => 3,
        }
    }

    /// Number of states.
    pub fn states(&self) -> usize {
        if matches!(self, Cell::Lstm { .. }) { 2 } else { 1 }
    }

    /// The gates whose recurrent products can be taken together.
    pub fn blocks(&self) -> Vec<Range<usize>> {
        match self {
            Cell::Gru { reset_after: false, .. } => vec![0..2, 2..3],
            _ => std::iter::once(0..self.gates()).collect(),
        }
    }

    /// The states after a step. `z`: `x . kernel + bias` of all gates.
    pub fn step(&self, z: &Expr, states: &[Expr], recurrent: &Recurrent) -> Vec<Expr> {
        let (h, units) = (&states[0], recurrent.units);
        match self {
            Cell::Simple { activation } => {
                let (attrs, inputs) =
                    (json!({ "activation": activation }), [z.clone(), recurrent.of(h, 0..1)]);
                vec![named::SIMPLE_RNN_CELL.apply(attrs, &inputs, |p| activation.apply(&(&p[0] + &p[1])))]
            }
            Cell::Lstm { activation, recurrent: gate } => {
                let attrs = json!({ "activation": activation, "recurrent_activation": gate });
                let inputs = [z.clone(), recurrent.of(h, 0..4), states[1].clone()];
                let next = named::LSTM_CELL.apply_all(attrs, &inputs, |p| {
                    let sum = &p[0] + &p[1];
                    let part = |g: usize| block(&sum, units, g..g + 1);
                    let (input, forget, output) =
                        (gate.apply(&part(0)), gate.apply(&part(1)), gate.apply(&part(3)));
                    let c = forget * &p[2] + input * activation.apply(&part(2));
                    [output * activation.apply(&c), c]
                });
                next.to_vec()
            }
            Cell::Gru { activation, recurrent: gate, reset_after: true } => {
                let attrs = json!({ "activation": activation, "recurrent_activation": gate });
                let inputs = [z.clone(), recurrent.of(h, 0..3), h.clone()];
                vec![named::GRU_CELL.apply(attrs, &inputs, |p| {
                    let part = |i: usize, g: usize| block(&p[i], units, g..g + 1);
                    let update = gate.apply(&(part(0, 0) + part(1, 0)));
                    let reset = gate.apply(&(part(0, 1) + part(1, 1)));
                    let new = activation.apply(&(part(0, 2) + reset * part(1, 2)));
                    mix(&update, &p[2], &new)
                })]
            }
            Cell::Gru { activation, recurrent: gate, reset_after: false } => {
                let attrs = json!({ "recurrent_activation": gate });
                let inputs = [block(z, units, 0..2), recurrent.of(h, 0..2)];
                let gates = named::GRU_GATES.apply(attrs, &inputs, |p| gate.apply(&(&p[0] + &p[1])));
                let (update, reset) = (block(&gates, units, 0..1), block(&gates, units, 1..2));
                let inputs = [block(z, units, 2..3), recurrent.of(&(reset * h), 2..3), update, h.clone()];
                vec![named::GRU_MIX.apply(json!({ "activation": activation }), &inputs, |p| {
                    mix(&p[2], &p[3], &activation.apply(&(&p[0] + &p[1])))
                })]
            }
        }
    }
}

/// `update * old + (1 - update) * new`.
fn mix(update: &Expr, old: &Expr, new: &Expr) -> Expr {
    update * old + (1.0 - update) * new
}
