//! The Square attack.

use crate::{Attack, Norm, Victim};
use rhyton_graph::Expr;
use rhyton_graph::ops::Distribution;
use rhyton_tensor::{DType, Dim, Error, Result, Tensor};

rhyton_nn::object! {
    /// Random search over squares of the largest change, without gradients (Andriushchenko et al. 2020). Of samples that
    /// are no pictures the last axis but one is taken for a row.
    pub struct Square {
        /// The largest change of a value.
        eps: f64 = 8.0 / 255.0,
        /// The number of queries.
        n_queries: usize = 5000,
        /// The share of a picture that the first squares take.
        p_init: f64 = 0.8,
    }
}

impl Square {
    /// The sides of squares: their share of the picture falls on a schedule.
    fn sides(&self, height: usize, width: usize) -> Vec<f32> {
        let halvings = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000];
        let share = |turn: usize| {
            let at = turn * 10000 / self.n_queries.max(1);
            self.p_init / f64::powi(2.0, halvings.iter().filter(|h| at > **h).count() as i32)
        };
        let largest = (height.min(width) as f64 - 1.0).max(1.0);
        let side = |p: f64| if height == 1 { p * width as f64 } else { (p * (height * width) as f64).sqrt() };
        let most = if height == 1 { (width as f64 - 1.0).max(1.0) } else { largest };
        (0..self.n_queries.max(1)).map(|turn| side(share(turn)).round().clamp(1.0, most) as f32).collect()
    }
}

/// Rows, columns and channels of a sample.
fn sizes(x: &Expr) -> Result<[usize; 3]> {
    let sizes: Option<Vec<usize>> = x.shape()[1..].iter().map(Dim::as_fixed).collect();
    match sizes.as_deref() {
        Some([n]) => Ok([1, *n, 1]),
        Some([n, channels]) => Ok([1, *n, *channels]),
        Some([h, w, channels]) => Ok([*h, *w, *channels]),
        _ => Err(Error::new(format!("samples of shape {} are no pictures", x.shape()))
            .expected("one, two or three axes of fixed sizes")),
    }
}

impl Attack for Square {
    fn spares_fooled(&self) -> bool {
        true
    }

    fn perturb(&self, victim: &mut Victim) -> Result<Expr> {
        let (x, once, eps) = (victim.x(), victim.once(), self.eps as f32);
        let [h, w, c] = sizes(&x)?;
        let (batch, shape) = (victim.batch(), x.shape().clone());
        let of = |sizes: [usize; 3]| {
            let [a, b, c] = sizes.map(Dim::fixed);
            [batch.clone(), a, b, c]
        };
        let signs = |v: &mut Victim, turn: &Expr, sizes: [usize; 3]| {
            let u = v.random(Distribution::Uniform, turn, of(sizes));
            u.less(&Expr::scalar(0.5f32)).cast(DType::F32) * 2.0 - 1.0
        };
        let stripes = signs(victim, &once, [1, w, c]).broadcast_to(of([h, w, c])).reshape(shape.clone());
        let start = victim.clip(&(&x + stripes * eps));
        let margin = victim.margin(&victim.logits(&start));
        let sides = Expr::constant(&Tensor::vector(self.sides(h, w)));
        let turns = Expr::iota([self.n_queries.max(1)], 0);
        let end = victim.repeat_over(&[turns, sides], &[start, margin], |v, s, at| {
            let (turn, side) = (&at[0], &at[1]);
            let corner = |v: &mut Victim, n: usize| {
                let span = (n as f32 - side + 1.0).maximum(&Expr::scalar(1.0f32));
                (v.random(Distribution::Uniform, turn, of([1, 1, 1])) * span).floor()
            };
            let within = |corner: &Expr, axis: usize| {
                let sizes = if axis == 1 { [h, 1, 1] } else { [1, w, 1] };
                let place = Expr::iota(of(sizes), axis).float();
                place.greater_equal(corner).and(&place.less(&(corner + side)))
            };
            let (row, column) = (corner(v, h), corner(v, w));
            let inside = within(&row, 1).and(&within(&column, 2)).broadcast_to(of([h, w, c]));
            let change = signs(v, turn, [1, 1, c]) * (2.0 * eps);
            let change = inside.select(&change, &Expr::scalar(0.0f32)).reshape(shape.clone());
            let delta = Norm::Inf.shrink(&(&s[0] + change - &x), &Expr::scalar(eps));
            let next = v.clip(&(&x + delta));
            let margin = v.margin(&v.logits(&next));
            let better = margin.less(&s[1]).and(&s[1].greater(&Expr::scalar(0.0f32)));
            vec![v.choose(&better, &next, &s[0]), better.select(&margin, &s[1])]
        });
        Ok(end[0].clone())
    }
}
