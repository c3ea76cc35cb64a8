//! The Jacobian saliency map attack.

use crate::{Attack, Victim};
use rhyton_graph::Expr;
use rhyton_tensor::{Dim, Error, Result};

rhyton_nn::object! {
    /// Pairs of values that raise a class's logit and lower the others most are changed until a share of all is (Papernot
    /// et al. 2016). Without `targeted`, that class is the one after the label.
    pub struct Jsma {
        /// By how much a value changes.
        theta: f64 = 1.0,
        /// The largest share of values that change.
        gamma: f64 = 0.1,
        /// Labels are the classes that samples are to be taken for.
        targeted: bool = false,
    }
}

impl Attack for Jsma {
    fn is_targeted(&self) -> bool {
        self.targeted
    }

    fn perturb(&self, victim: &mut Victim) -> Result<Expr> {
        let x = victim.x();
        let sizes: Option<Vec<usize>> = x.shape()[1..].iter().map(Dim::as_fixed).collect();
        let n: usize = sizes.ok_or_else(|| Error::new("the input has no fixed size"))?.iter().product();
        let (classes, batch, shape) = (victim.classes(), victim.batch(), x.shape().clone());
        let wanted = match self.targeted {
            true => victim.one_hot(),
            // One place further: the last class is followed by the first.
            false => {
                let own = victim.one_hot();
                Expr::concat(&[own.slice(1, classes - 1, 1), own.slice(1, 0, classes - 1)], 1)
            }
        };
        let flat = |e: &Expr| e.reshape([batch.clone(), Dim::fixed(n)]);
        let (low, high) = victim.bounds();
        let up = self.theta > 0.0;
        let edge = if up { high - 0.01 * (high - low) } else { low + 0.01 * (high - low) };
        let open = if up { x.less(&Expr::scalar(edge)) } else { x.greater(&Expr::scalar(edge)) };
        let open = flat(&open.select(&x.ones_like(), &x.zeros_like()));
        let steps = ((n as f64 * self.gamma / 2.0).ceil() as usize).max(1);
        let end = victim.repeat(steps, &[x.clone(), open], |v, s, _| {
            let logits = v.logits(&s[0]);
            let reached = logits.argmax(1).equal(&wanted.argmax(1));
            let sign = if up { 1.0 } else { -1.0 };
            let gain = flat(&v.slope(&s[0], |z| (z * &wanted).sum(&[1]))) * sign;
            let loss = flat(&v.slope(&s[0], |z| (z * (1.0 - &wanted)).sum(&[1]))) * sign;
            let pair = |e: &Expr| e.expand_dims(&[1]) + e.expand_dims(&[2]);
            let (a, b) = (pair(&gain), pair(&loss));
            let zero = Expr::scalar(0.0f32);
            let both = s[1].expand_dims(&[1]) * s[1].expand_dims(&[2]);
            let apart = Expr::iota([1, n, n], 1).equal(&Expr::iota([1, n, n], 2)).not();
            let may = a.greater(&zero).and(&b.less(&zero)).and(&both.greater(&zero)).and(&apart);
            let score = may
                .select(&(&a * b.abs()), &Expr::scalar(-1.0f32))
                .reshape([batch.clone(), Dim::fixed(n * n)]);
            let best = score.argmax(1).float();
            let first = ((&best + 0.5) / n as f32).floor();
            let second = &best - &first * n as f32;
            let chosen = first.one_hot(n).maximum(&second.one_hot(n));
            let going = score.max(&[1]).greater(&zero).and(&reached.not());
            let chosen = going.expand_dims(&[1]).select(&chosen, &zero);
            let next = v.clip(&(&s[0] + chosen.reshape(shape.clone()) * self.theta as f32));
            vec![next, &s[1] * (1.0 - chosen)]
        });
        Ok(end[0].clone())
    }
}
