//! What attacks that see predicted classes only have in common.

use crate::Victim;
use rhyton_graph::Expr;
use rhyton_graph::ops::Distribution;

/// Where a walk begins, and how it finds the border.
pub(super) struct Walk {
    halvings: usize,
}

/// Random inputs tried to find one to begin with.
const TRIES: usize = 50;

impl Walk {
    /// The border is found by so many halvings.
    pub fn new(halvings: usize) -> Walk {
        Walk { halvings }
    }

    /// A random input that fools, moved to the border; the clean one where none was found.
    pub fn start(&self, victim: &mut Victim) -> Expr {
        let (x, (low, high)) = (victim.x(), victim.bounds());
        let found = victim.repeat(TRIES, &[x.clone()], |v, s, turn| {
            let u = v.random(Distribution::Uniform, turn, x.shape().clone()) * (high - low) + low;
            let known = v.fooled(&v.logits(&s[0]));
            let fools = v.fooled(&v.logits(&u)).and(&known.not());
            vec![v.choose(&fools, &u, &s[0])]
        });
        self.to_border(victim, &found[0])
    }

    /// The point on the straight line to the clean input that fools still.
    pub fn to_border(&self, victim: &mut Victim, from: &Expr) -> Expr {
        let x = victim.x();
        let end = victim.repeat(self.halvings, &[from.clone(), x], |v, s, _| {
            let middle = (&s[0] + &s[1]) * 0.5;
            let fools = v.fooled(&v.logits(&middle));
            vec![v.choose(&fools, &middle, &s[0]), v.choose(&fools, &s[1], &middle)]
        });
        end[0].clone()
    }
}
