//! Attention rollout.

use crate::{Attribution, Scene};
use rhyton_graph::Expr;
use rhyton_graph::expr::{substitute, topological};
use rhyton_graph::named::{ATTENTION, SOFTMAX};
use rhyton_graph::ops::{Control, Op};
use rhyton_tensor::{DType, Error, Result, Shape};

rhyton_nn::object! {
    /// Which tokens a model attends to, through all its layers (Abnar, Zuidema 2020): the matrices of attention, averaged
    /// over heads, half of each the residual connection, multiplied from the first layer to the last. It does not depend
    /// on the score. Each token, `[batch, tokens, 1]`, has what a query attends to, or all queries on average.
    pub struct AttentionRollout {
        /// The place of the query, like that of a class token; the mean over all when left out.
        query: Option<usize> = None,
    }
}

/// The matrices of self-attention, `[batch, heads, queries, keys]`, from the first to the last.
fn matrices(result: &Expr) -> Vec<Expr> {
    let inside = |e: &Expr| {
        let Op::Control(Control::Call(f)) = e.op() else { return None };
        if f.named != Some(&ATTENTION) {
            return None;
        }
        let is_softmax =
            |e: &&Expr| matches!(e.op(), Op::Control(Control::Call(f)) if f.named == Some(&SOFTMAX));
        let nodes = f.nodes();
        let scores = nodes.iter().find(is_softmax)?;
        let given = f.params.iter().map(Expr::key).zip(e.inputs().iter().cloned()).collect();
        substitute(std::slice::from_ref(scores), &given).pop()
    };
    let found = topological(std::slice::from_ref(result)).into_iter().filter_map(|e| inside(&e));
    found.filter(|a| a.rank() == 4 && a.shape()[2] == a.shape()[3]).collect()
}

impl Attribution for AttentionRollout {
    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
        let values = scene.values();
        let matrices = matrices(&scene.result(&values));
        let Some(first) = matrices.first() else {
            return Err(Error::new("the model has no attention of a sequence to itself")
                .fix("choose a method for other layers: integrated_gradients"));
        };
        let tokens = first.shape()[3].clone();
        if matrices.iter().any(|a| a.shape()[3] != tokens) {
            return Err(Error::new("layers of attention see sequences of different lengths"));
        }
        let grid = Shape(vec![tokens.clone(), tokens.clone()]);
        let same = Expr::iota(grid.clone(), 0).equal(&Expr::iota(grid, 1)).cast(DType::F32);
        let layer = |a: &Expr| (a.float().mean(&[1]) + &same) * 0.5;
        let through = |below: Expr, a: &Expr| layer(a).dot_general(&below, &[0], &[0], &[2], &[1]);
        let whole = matrices[1..].iter().fold(layer(first), through);
        let seen = match (self.query, tokens.as_fixed()) {
            (Some(q), Some(n)) if q >= n => {
                return Err(
                    Error::new(format!("there is no query {q}")).expected(format!("a number below {n}"))
                );
            }
            (Some(q), _) => whole.entry(1, q),
            (None, _) => whole.mean(&[1]),
        };
        let fits = |v: &Expr| v.rank() > 1 && v.shape()[1] == tokens;
        // Several vectors of one token, each of an embedding, share it.
        let share = values.iter().filter(|v| fits(v)).count().max(1);
        if !values.iter().any(fits) {
            return Err(Error::new(format!("attention is over {tokens} places, which no input has"))
                .fix("explain with a method that follows the score to the inputs: integrated_gradients"));
        }
        let each = |v: &Expr| match fits(v) {
            true => (&seen * (1.0 / share as f32)).expand_dims(&(2..v.rank()).collect::<Vec<usize>>()),
            false => v.zeros_like(),
        };
        Ok(values.iter().map(each).collect())
    }
}
