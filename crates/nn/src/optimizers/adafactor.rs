//! Adafactor.

use super::{LearningRate, Moment, Optimizer, Slot};
use crate::layer::Variable;
use rhyton_graph::Expr;
use rhyton_tensor::{DType, Shape};

crate::optimizer! {
    /// Second moments of matrices kept as one number a row and one a column (Shazeer and Stern 2018).
    pub struct Adafactor("adafactor", 0.001) {
        /// The decay of the second moments is `1 - t^beta_2_decay`.
        beta_2_decay: f64 = -0.8,
        /// Added to squared gradients.
        epsilon_1: f64 = 1e-30,
        /// The smallest size a weight counts with.
        epsilon_2: f64 = 0.001,
        /// The largest root mean square of a change.
        clip_threshold: f64 = 1.0,
        /// The rate falls with `1 / sqrt(t)`.
        relative_step: bool = true,
    }
}

fn root_mean_square(x: &Expr) -> Expr {
    (x * x).mean_all().sqrt()
}

/// The shape without axis `skip` counted from the end.
fn without(shape: &Shape, skip: usize) -> Option<Vec<usize>> {
    let mut sizes = shape.as_fixed()?;
    sizes.len().checked_sub(skip).map(|at| sizes.remove(at))?;
    Some(sizes)
}

impl Adafactor {
    /// Second moments from their row and column means, and the new means.
    fn factored(&self, beta: &Expr, square: &Expr, r: &Expr, c: &Expr) -> (Expr, Expr, Expr) {
        let rank = square.rank();
        let mixed = |old: &Expr, new: Expr| beta * old + (1.0 - beta) * new;
        let (r, c) = (mixed(r, square.mean(&[rank - 1])), mixed(c, square.mean(&[rank - 2])));
        let share = &r / r.mean(&[rank - 2]).expand_dims(&[rank - 2]);
        let v = share.expand_dims(&[rank - 1]) * c.expand_dims(&[rank - 2]);
        (r, c, v)
    }
}

impl Optimizer for Adafactor {
    fn slots(&self, of: &Variable) -> Vec<Slot> {
        let shape = &of.weight.shape;
        // Keras gives vectors two integers that nothing uses.
        let unused = || Slot { shape: Some(vec![]), dtype: DType::I32, ..Slot::new("unused") };
        let mean = |name, skip| Slot { shape: without(shape, skip), ..Slot::new(name) };
        let [r, c] =
            if shape.rank() < 2 { [unused(), unused()] } else { [mean("row", 1), mean("column", 2)] };
        vec![r, c, Slot::new("velocity")]
    }

    fn update(&self, at: &Moment, g: &Expr, w: &Expr, slots: &[Expr]) -> (Expr, Vec<Expr>) {
        let [r, c, v] = slots else { return (w.clone(), slots.to_vec()) };
        let falling = 1.0 / at.step.sqrt();
        let rate = match &self.common.learning_rate {
            LearningRate::Number(_) if self.relative_step => at.learning_rate.minimum(&falling),
            _ => at.learning_rate.clone(),
        };
        let size = root_mean_square(w).maximum(&Expr::scalar(self.epsilon_2 as f32));
        let alpha = size * rate.minimum(&falling);
        let square = g * g + self.epsilon_1 as f32;
        let beta = 1.0 - at.step.pow(&Expr::scalar(self.beta_2_decay as f32));
        let (r, c, v) = if w.rank() < 2 {
            (r.clone(), c.clone(), &beta * v + (1.0 - &beta) * square)
        } else {
            self.factored(&beta, &square, r, c)
        };
        let u = g / v.sqrt();
        let excess =
            (root_mean_square(&u) / Expr::scalar(self.clip_threshold as f32)).maximum(&Expr::scalar(1.0f32));
        (w - u / excess * alpha, vec![r, c, v])
    }
}
