//! Alpha-CROWN.

use super::crown::Crown as Walk;
use super::{Ball, Bound};
use rhyton_graph::expr::substitute;
use rhyton_graph::function::{for_each, scan};
use rhyton_graph::{Expr, grad};
use rhyton_tensor::Result;

rhyton_nn::object! {
    /// [`Crown`](super::Crown) with the slopes of the lower lines of ReLUs chosen by Adam for each sum and sample (Xu et
    /// al. 2021). The best bound that is met counts, so that it is never worse than CROWN's.
    pub struct AlphaCrown {
        /// The number of steps.
        steps: usize = 20,
        /// The first learning rate.
        lr: f64 = 0.5,
        /// What the learning rate is multiplied with at each step.
        decay: f64 = 0.98,
    }
}

impl Bound for AlphaCrown {
    fn least(&self, ball: &Ball, output: &Expr, factors: &Expr) -> Result<Expr> {
        let walk = Walk::new(ball, false);
        let z = walk.linear(output)?;
        let least =
            for_each("alpha_crown", std::slice::from_ref(factors), |c| vec![self.best(&walk, &z, &c[0])]);
        Ok(least[0].transpose(&[1, 0]))
    }
}

impl AlphaCrown {
    /// The best bound of one sum, `[batch]`.
    fn best(&self, walk: &Walk<'_>, z: &Expr, factors: &Expr) -> Expr {
        let free = walk.free.borrow();
        let bound = walk.least(z, factors);
        if free.is_empty() {
            return bound;
        }
        let n = free.len();
        let slopes = free.iter().map(|f| f.usual.clone());
        let moments = free.iter().flat_map(|f| [f.usual.zeros_like(), f.usual.zeros_like()]);
        let numbers = [
            bound.full_like(f64::from(f32::MIN)),
            Expr::scalar(1.0f32),
            Expr::scalar(1.0f32),
            Expr::scalar(self.lr as f32),
        ];
        let state: Vec<Expr> = slopes.chain(moments).chain(numbers).collect();
        let turns = Expr::iota([self.steps.max(1)], 0);
        let end = scan("slopes", &state, &[turns], &[], false, |s, _, _| {
            let chosen =
                free.iter().zip(s).map(|(f, a)| (f.slope.key(), f.open.select(a, &f.usual))).collect();
            let bound = substitute(std::slice::from_ref(&bound), &chosen).swap_remove(0);
            let up = grad(&bound.sum_all(), &s[..n]);
            let rest = &s[3 * n..];
            let (b1, b2) = (&rest[1] * 0.9, &rest[2] * 0.999);
            let (mut slopes, mut moments) = (vec![], vec![]);
            for (i, g) in up.iter().enumerate() {
                let (m, v) = (&s[n + 2 * i] * 0.9 + g * 0.1, &s[n + 2 * i + 1] * 0.999 + g * g * 0.001);
                let step = &m / (1.0 - &b1) / ((&v / (1.0 - &b2)).sqrt() + 1e-8) * &rest[3];
                slopes.push((&s[i] + step).maximum(&free[i].least).minimum(&Expr::scalar(1.0f32)));
                moments.extend([m, v]);
            }
            let numbers = [rest[0].maximum(&bound), b1, b2, &rest[3] * self.decay as f32];
            (slopes.into_iter().chain(moments).chain(numbers).collect(), vec![])
        });
        end.0[3 * n].clone()
    }
}
