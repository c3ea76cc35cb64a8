//! How few values attributions point to.

use super::units::Units;
use super::{Measure, Measured};
use crate::{Attribution, Scene};
use rhyton_graph::Expr;
use rhyton_tensor::{Result, Tensor};

rhyton_nn::object! {
    /// Gini's index of the attributions' sizes (Chalasani et al. 2020): 0 when all are equal, near 1 when one has it all.
    /// For sizes a in rising order, `sum_i (2 i - n - 1) a_i / (n sum a)`.
    pub struct Sparseness {}
}

impl Measure for Sparseness {
    fn measure(&self, scene: &mut Scene, method: &dyn Attribution) -> Result<Measured<Expr>> {
        let units = Units::of(scene, method)?;
        let n = units.count;
        let (sizes, _) = (units.row.abs() + 1e-7).sorted(1, false);
        let weights = (1..=n).map(|i| (2.0 * i as f64 - n as f64 - 1.0) as f32).collect::<Vec<f32>>();
        let above = sizes.dot(&Expr::constant(&Tensor::vector(weights)), &[1], &[0]);
        Ok((above / (sizes.sum(&[1]) * n as f32)).into())
    }
}

rhyton_nn::object! {
    /// The entropy of the attributions' shares of their sum, in nats (Bhatt, Weller, Moura 2020):
    /// `- sum p log p` with `p = |a| / sum |a|`.
    pub struct Complexity {}
}

impl Measure for Complexity {
    fn measure(&self, scene: &mut Scene, method: &dyn Attribution) -> Result<Measured<Expr>> {
        let sizes = Units::of(scene, method)?.row.abs();
        let tiny = Expr::scalar(f32::MIN_POSITIVE);
        let share = &sizes / sizes.sum(&[1]).maximum(&tiny).expand_dims(&[1]);
        Ok((-(&share * share.maximum(&tiny).log()).sum(&[1])).into())
    }
}
