//! Penalties of weights and activities.

use crate::Handle;
use crate::object::{Object, Setting};
use rhyton_graph::Expr;
use rhyton_tensor::{Dim, Error};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A penalty.
pub trait Regularize: Object {
    /// The scalar added to the loss.
    fn penalty(&self, x: &Expr) -> Expr;
}

/// A shared regularizer.
pub type Regularizer = Handle<dyn Regularize>;

impl<R: Regularize> From<R> for Regularizer {
    fn from(r: R) -> Regularizer {
        Regularizer::new(Arc::new(r))
    }
}

// The regularizers.
crate::registry! {
    dyn Regularize, "regularizer" in "keras.regularizers";
    L1 "l1 * sum(|x|)": L1::new(0.1);
    L2 "l2 * sum(x^2)": L2::new(0.1);
    L1L2 ["l1_l2", "l1l2"] "l1 * sum(|x|) + l2 * sum(x^2)": L1L2::new(0.3, 0.2);
    OrthogonalRegularizer "rows or columns of a matrix that are not orthogonal";
}

/// A term of a sum that is not there when its factor is 0.
fn term(factor: f64, sum: impl FnOnce() -> Expr) -> Option<Expr> {
    (factor != 0.0).then(|| sum() * factor as f32)
}

fn absolute(x: &Expr) -> Expr {
    x.abs().sum_all()
}

fn squares(x: &Expr) -> Expr {
    (x * x).sum_all()
}

crate::object! {
    /// `l1 * sum(|x|)`: many elements become exactly 0.
    pub struct L1 {
        /// The factor.
        l1: f64 = 0.01,
    }
}
impl L1 {
    /// With a factor.
    pub fn new(l1: f64) -> L1 {
        L1 { l1 }
    }
}
impl Regularize for L1 {
    fn penalty(&self, x: &Expr) -> Expr {
        absolute(x) * self.l1 as f32
    }
}

crate::object! {
    /// `l2 * sum(x^2)`; without a factor of one half.
    pub struct L2 {
        /// The factor.
        l2: f64 = 0.01,
    }
}
impl L2 {
    /// With a factor.
    pub fn new(l2: f64) -> L2 {
        L2 { l2 }
    }
}
impl Regularize for L2 {
    fn penalty(&self, x: &Expr) -> Expr {
        squares(x) * self.l2 as f32
    }
}

crate::object! {
    /// `l1 * sum(|x|) + l2 * sum(x^2)`.
    pub struct L1L2 {
        /// The factor of absolute values.
        l1: f64 = 0.0,
        /// The factor of squares.
        l2: f64 = 0.0,
    }
}
impl L1L2 {
    /// With both factors.
    pub fn new(l1: f64, l2: f64) -> L1L2 {
        L1L2 { l1, l2 }
    }
}
impl Regularize for L1L2 {
    fn penalty(&self, x: &Expr) -> Expr {
        let terms = [term(self.l1, || absolute(x)), term(self.l2, || squares(x))];
        terms.into_iter().flatten().reduce(|a, b| a + b).unwrap_or_else(|| Expr::scalar(0.0f32))
    }
}

/// Rows or columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lines {
    /// Rows.
    Rows,
    /// Columns.
    Columns,
}

impl Setting<Lines> for Lines {
    fn setting(self) -> Lines {
        self
    }
}

crate::object! {
    /// `factor` times the mean, over pairs of rows (or columns) of a matrix, of the absolute value of their
    /// cosine.
    pub struct OrthogonalRegularizer {
        /// The factor.
        factor: f64 = 0.01,
        /// Which lines should be orthogonal.
        mode: Lines = Lines::Rows,
    }
}

impl Regularize for OrthogonalRegularizer {
    fn penalty(&self, x: &Expr) -> Expr {
        if x.is_poisoned() {
            return x.clone();
        }
        if x.rank() != 2 {
            let what = format!("OrthogonalRegularizer got a value of shape {}", x.shape());
            return Expr::poison(Error::new(what).expected("a matrix"));
        }
        let lines = if self.mode == Lines::Rows { x.clone() } else { x.transpose(&[1, 0]) };
        let inverse = (&lines * &lines).sum(&[1]).rsqrt().minimum(&Expr::scalar(1e7f32));
        let unit = &lines * inverse.expand_dims(&[1]);
        let cosines = unit.matmul(&unit.transpose(&[1, 0]));
        let shape = cosines.shape().clone();
        let diagonal = Expr::iota(shape.clone(), 0).equal(&Expr::iota(shape.clone(), 1));
        let others = diagonal.select(&Expr::scalar(0.0f32), &cosines).abs().sum_all();
        let n = Expr::size(&shape.first().cloned().unwrap_or(Dim::fixed(1)));
        let pairs = &n * (&n - 1.0) * 0.5;
        others * (0.5 * self.factor) as f32 / pairs
    }
}
