//! Whether attributions lie where they should: in a mask, an array of 0 and 1 for each sample.

use super::units::{Units, joined};
use super::{Measure, Measured};
use crate::{Attribution, Scene};
use rhyton_graph::Expr;
use rhyton_tensor::{DType, Result};

/// The method's attributions and, of the mask of this name, 1 for each of them inside: `[batch, units]`.
fn inside(scene: &mut Scene, method: &dyn Attribution, mask: &str) -> Result<(Units, Expr)> {
    let units = Units::of(scene, method)?;
    let given = scene.arrays_over(mask, &units.spread(&units.row))?;
    let flag = |mask: &Expr| mask.greater(&Expr::scalar(0.0f32)).cast(DType::F32);
    let parts: Vec<Expr> = given.iter().map(flag).collect();
    let mask = joined(scene, &parts);
    Ok((units, mask))
}

/// `a / b`, and 0 where b is 0.
fn share(a: Expr, b: Expr) -> Expr {
    let none = b.less_equal(&Expr::scalar(0.0f32));
    none.select(&a.zeros_like(), &(&a / none.select(&b.ones_like(), &b)))
}

/// Defines measures: settings, and what is made of units and their mask.
macro_rules! masked {
    ($($(#[$doc:meta])* $name:ident |$units:ident, $mask:ident| $value:expr;)*) => { $(
        rhyton_nn::object! {
            $(#[$doc])*
            pub struct $name {
                /// The array of masks: above 0 inside, one for each sample or for all.
                mask: String = "mask".into(),
            }
        }

        impl Measure for $name {
            fn measure(&self, scene: &mut Scene, method: &dyn Attribution) -> Result<Measured<Expr>> {
                let ($units, $mask) = inside(scene, method, &self.mask)?;
                Ok($value.into())
            }
        }
    )* };
}

masked! {
    /// 1 where the largest attribution lies in the mask, else 0 (Zhang et al. 2018).
    PointingGame |units, mask| {
        let top = units.row.argmax(1).one_hot(units.count);
        (top.float() * mask).sum(&[1])
    };
    /// The share of all positive attributions that lies in the mask (Kohlbrenner et al. 2020; Arras et al. 2022).
    RelevanceMass |units, mask| {
        let positive = units.row.maximum(&Expr::scalar(0.0f32));
        share((&positive * mask).sum(&[1]), positive.sum(&[1]))
    };
    /// Of the k largest attributions, k being the size of the mask, the share that lies in it (Arras et al. 2022).
    RelevanceRank |units, mask| {
        let size = mask.sum(&[1]);
        let top = units.order(true).float().less(&size.expand_dims(&[1])).float();
        share((top * mask).sum(&[1]), size)
    };
}
