//! Random orthogonal matrices.

use super::{Initialize, Seed};
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{Error, Result};

crate::object! {
    /// A random matrix whose rows or columns, whichever are fewer, are orthonormal, times `gain` (Saxe et al.
    /// 2013). Axes before the last count as rows.
    pub struct Orthogonal {
        /// A seed of its own.
        seed: Seed = Seed::default(),
        /// Every singular value.
        gain: f64 = 1.0,
    }
}

impl Initialize for Orthogonal {
    fn values(&self, shape: &[usize], random: &mut Stream) -> Vec<f32> {
        let columns = shape.last().copied().unwrap_or(1);
        let rows: usize = shape.iter().rev().skip(1).product();
        let (long, short) = (rows.max(columns), rows.min(columns));
        let draw = |r: &mut Stream| (0..long * short).map(|_| f64::from(r.normal())).collect::<Vec<f64>>();
        let q = orthonormal(self.seed.with(random, draw), long, short);
        // Column j of q lies at j * long.
        let at = |i: usize, j: usize| if rows < columns { q[i * long + j] } else { q[j * long + i] };
        let all = (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j)));
        all.map(|(i, j)| (self.gain * at(i, j)) as f32).collect()
    }

    /// The numbers, the matrix, its mirrors and the factor, which are doubles.
    fn bytes_per_element(&self) -> usize {
        size_of::<f32>() + 3 * size_of::<f64>()
    }

    fn check(&self, shape: &[usize]) -> Result<()> {
        if shape.len() >= 2 {
            return Ok(());
        }
        Err(Error::new(format!("Orthogonal cannot start a weight of shape {shape:?}"))
            .expected("a matrix, or more axes"))
    }
}

/// The factor Q of `a` (column after column, `n` rows, `m <= n` columns) with positive diagonal of R, by
/// Householder's reflections: the signs make Q evenly distributed (Mezzadri 2006).
fn orthonormal(mut a: Vec<f64>, n: usize, m: usize) -> Vec<f64> {
    let mut mirrors: Vec<Vec<f64>> = Vec::with_capacity(m);
    let mut signs = Vec::with_capacity(m);
    for k in 0..m {
        let mut v = a[k * n + k..(k + 1) * n].to_vec();
        let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        // Away from the first element, so that nothing cancels; R's diagonal gets the other sign.
        let first = if v[0] < 0.0 { -norm } else { norm };
        signs.push(-first.signum());
        v[0] += first;
        let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        if length > 0.0 {
            v.iter_mut().for_each(|x| *x /= length);
        }
        for column in a.chunks_exact_mut(n).skip(k) {
            reflect(&v, &mut column[k..]);
        }
        mirrors.push(v);
    }
    let mut q = vec![0.0; n * m];
    for (j, column) in q.chunks_exact_mut(n).enumerate() {
        column[j] = signs[j];
        for (k, v) in mirrors.iter().enumerate().rev() {
            reflect(v, &mut column[k..]);
        }
    }
    q
}

/// `x - 2 v (v . x)`.
fn reflect(v: &[f64], x: &mut [f64]) {
    let twice = 2.0 * v.iter().zip(x.iter()).map(|(a, b)| a * b).sum::<f64>();
    x.iter_mut().zip(v).for_each(|(x, v)| *x -= twice * v);
}
