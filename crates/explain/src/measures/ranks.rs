//! Correlations along the last axis.

use rhyton_graph::Expr;
use rhyton_graph::ops::Running;
use rhyton_tensor::{Dim, Shape};

/// Where each number of `[rows, n]` stands among its row, from 0; equal ones share the mean of their places.
pub(crate) fn ranks(x: &Expr) -> Expr {
    let n = x.shape()[1].as_fixed().unwrap_or(1);
    if n < 2 {
        return x.zeros_like();
    }
    let (sorted, places) = x.sorted(1, false);
    let at = Expr::iota(sorted.shape().clone(), 1).float();
    let differs = sorted.slice(1, 1, n - 1).equal(&sorted.slice(1, 0, n - 1)).not();
    let border = Expr::full(Shape(vec![x.shape()[0].clone(), Dim::fixed(1)]), 1.0);
    let joined = |a: Expr, b: Expr| Expr::concat(&[a, b], 1).greater(&Expr::scalar(0.5f32));
    let (starts, ends) = (joined(border.clone(), differs.float()), joined(differs.float(), border));
    let first = starts.select(&at, &Expr::scalar(0.0f32)).cumulative(Running::Max, 1, false, false);
    let last = ends.select(&at, &Expr::scalar(n as f32)).cumulative(Running::Min, 1, false, true);
    ((first + last) * 0.5).take_along_axis(1, &places.argsort(1, false))
}

/// Pearson's correlation of rows, `[rows]`; 0 where one of them does not vary.
pub(crate) fn pearson(a: &Expr, b: &Expr) -> Expr {
    let [a, b] = [a, b].map(|e| e - e.mean(&[1]).expand_dims(&[1]));
    let below = ((&a * &a).sum(&[1]) * (&b * &b).sum(&[1])).sqrt();
    let none = below.less(&Expr::scalar(1e-30f32));
    let above = (a * b).sum(&[1]);
    none.select(&above.zeros_like(), &(above / none.select(&below.ones_like(), &below)))
}

/// Spearman's rank correlation of rows, `[rows]`.
pub(crate) fn spearman(a: &Expr, b: &Expr) -> Expr {
    pearson(&ranks(a), &ranks(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhyton_graph::eval;
    use rhyton_tensor::Tensor;

    #[test]
    fn equal_numbers_share_their_places() {
        let x = Tensor::new([2, 5], vec![3.0f32, 1.0, 3.0, 0.0, 1.0, 7.0, 7.0, 7.0, 7.0, 7.0]).unwrap();
        let found = eval(|p| vec![ranks(&p[0])], &[x]).unwrap();
        assert_eq!(found[0].to_vec::<f32>(), [3.5, 1.5, 3.5, 0.0, 1.5, 2.0, 2.0, 2.0, 2.0, 2.0]);
    }

    #[test]
    fn correlations_are_of_rows() {
        let a =
            Tensor::new([3, 4], vec![1.0f32, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 5.0, 5.0]).unwrap();
        let b = Tensor::new([3, 4], vec![1.0f32, 4.0, 9.0, 99.0, 4.0, 3.0, 2.0, 1.0, 1.0, 2.0, 3.0, 4.0])
            .unwrap();
        let found = eval(|p| vec![spearman(&p[0], &p[1]), pearson(&p[0], &p[1])], &[a, b]).unwrap();
        let (ranked, plain) = (found[0].to_vec::<f32>(), found[1].to_vec::<f32>());
        // One that does not vary has no correlation.
        assert!(ranked.iter().zip([1.0, -1.0, 0.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{ranked:?}");
        assert!(plain[0] < 0.9 && (plain[1] + 1.0).abs() < 1e-6, "{plain:?}");
    }
}
