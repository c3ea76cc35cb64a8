//! Mean and variance in one pass over memory.

use rhyton_graph::Expr;

/// Mean and variance along axes, which disappear.
///
/// Both come from sums over `shifted`, the distance from the first element. Mathematically they do not depend on
/// what is taken away first, so that it counts as a constant; an element of the data itself is as near to the mean
/// as the data are spread, where sums over the plain data cancel when their mean is far from zero. Unlike sums of
/// distances from the mean, these two wait for nothing, and neither do their gradients.
pub(super) struct Moments {
    /// The input without its first element.
    pub shifted: Expr,
    /// The mean of `shifted`.
    pub offset: Expr,
    pub mean: Expr,
    pub variance: Expr,
}

/// The moments of `x`; `weights` of the shape of `x` say how much each element counts, as Keras does it: divided by
/// their sum and a little more.
pub(super) fn moments(x: &Expr, axes: &[usize], weights: Option<&Expr>) -> Moments {
    let first = axes.iter().fold(x.stop_gradient(), |m, a| m.slice(*a, 0, 1));
    let shifted = x - &first;
    let square = &shifted * &shifted;
    let (offset, variance) = match weights {
        None => {
            let offset = shifted.mean(axes);
            let variance = square.mean(axes) - &offset * &offset;
            (offset, variance)
        }
        Some(w) => {
            let more = 1e-7;
            let (count, sum) = (w.sum(axes), (&shifted * w).sum(axes));
            let all = &count + more;
            // What the division by more than `count` takes from the mean, it takes from `first` too.
            let offset = (&sum - first.reshape(sum.shape().clone()) * more) / &all;
            let variance = ((square * w).sum(axes) + &offset * (&offset * count - sum * 2.0)) / all;
            (offset, variance)
        }
    };
    // Rounding may leave less than nothing.
    let variance = variance.maximum(&Expr::scalar(0.0f32));
    Moments { mean: first.reshape(offset.shape().clone()) + &offset, shifted, offset, variance }
}

#[cfg(test)]
mod tests {
    use super::moments;
    use rhyton_graph::testing::check_gradients;
    use rhyton_graph::{Expr, eval, grad};
    use rhyton_tensor::Tensor;
    use rhyton_tensor::rng::Stream;

    fn normal(shape: [usize; 2]) -> Tensor {
        let mut random = Stream::new(7, 0, 0);
        Tensor::from_fn(shape, |_| random.normal())
    }

    fn standard(x: &Expr, weights: Option<&Expr>) -> Expr {
        let m = moments(x, &[0], weights);
        let scale = (m.variance + 1e-3).rsqrt();
        m.shifted * &scale - m.offset * &scale + m.mean * scale
    }

    #[test]
    fn second_derivatives_know_that_the_first_element_cancels() {
        let (x, w) = (normal([5, 3]), Tensor::from_fn([5, 3], |i| [1.0f32, 0.0, 0.5][(i / 3 + i) % 3]));
        let first = |y: Expr, p: &[Expr]| grad(&(&y * &y * y.sin()).sum_all(), &p[..1]);
        check_gradients(|p| first(standard(&p[0], None), p), std::slice::from_ref(&x), 1e-5).unwrap();
        check_gradients(|p| first(standard(&p[0], Some(&p[1])), &p[..1]), &[x, w], 1e-5).unwrap();
    }

    #[test]
    fn where_nothing_counts_mean_and_variance_are_zero() {
        let f = |p: &[Expr]| {
            let m = moments(&p[0], &[0], Some(&p[0].zeros_like()));
            vec![m.mean, m.variance]
        };
        let out = eval(f, &[normal([4, 2])]).unwrap();
        assert!(out.iter().all(|t| t.to_vec::<f32>().iter().all(|x| x.abs() < 1e-6)), "{out:?}");
    }
}
