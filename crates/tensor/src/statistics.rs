//! Distributions and linear equations of statistics, in double precision.

/// The standard normal distribution function.
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * erfc(-x / std::f64::consts::SQRT_2)
}

fn erfc(x: f64) -> f64 {
    let z = x.abs();
    let tail = if z < 2.5 { 1.0 - erf_series(z) } else { erfc_fraction(z) };
    if x < 0.0 { 2.0 - tail } else { tail }
}

/// `2 / sqrt(pi) sum of (-1)^n x^(2n+1) / (n! (2n+1))`.
fn erf_series(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        let add = term / f64::from(2 * n + 1);
        sum += add;
        if add.abs() < 1e-17 * sum.abs() {
            break;
        }
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

/// Laplace's continued fraction.
fn erfc_fraction(x: f64) -> f64 {
    let mut below = x;
    for n in (1..100).rev() {
        below = x + f64::from(n) / 2.0 / below;
    }
    (-x * x).exp() * std::f64::consts::FRAC_2_SQRT_PI / 2.0 / below
}

/// The `x` whose [`normal_cdf`] is `p`; infinite at 0 and 1.
pub fn normal_quantile(p: f64) -> f64 {
    if p <= 0.0 || p >= 1.0 || p.is_nan() {
        return if p <= 0.0 {
            f64::NEG_INFINITY
        } else if p >= 1.0 {
            f64::INFINITY
        } else {
            f64::NAN
        };
    }
    bisect(-40.0, 40.0, |x| normal_cdf(x) < p)
}

/// The regularized incomplete beta function, the distribution function of a beta distribution.
pub fn beta_cdf(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(x, a, b) / a
    } else {
        1.0 - front * beta_fraction(1.0 - x, b, a) / b
    }
}

/// Lentz's continued fraction of the incomplete beta function.
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    let keep = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let (mut c, mut d) = (1.0, 1.0 / keep(1.0 - (a + b) * x / (a + 1.0)));
    let mut h = d;
    for m in 1..500 {
        let m = f64::from(m);
        for t in [
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        ] {
            d = 1.0 / keep(1.0 + t * d);
            c = keep(1.0 + t / c);
            h *= c * d;
        }
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    h
}

/// The logarithm of the gamma function (Lanczos, g = 7).
fn ln_gamma(x: f64) -> f64 {
    const C: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let sum = C.iter().enumerate().fold(0.999_999_999_999_809_9, |s, (i, c)| s + c / (x + i as f64 + 1.0));
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

/// The least share that `k` hits of `n` allow with probability `1 - alpha` (Clopper, Pearson 1934).
pub fn least_share(k: usize, n: usize, alpha: f64) -> f64 {
    if k == 0 {
        return 0.0;
    }
    bisect(0.0, 1.0, |p| beta_cdf(p, k as f64, (n - k) as f64 + 1.0) < alpha)
}

/// Where a condition that holds on the left ceases to hold.
fn bisect(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if holds(middle) { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// The lower triangle `l` of a symmetric positive matrix `a = l l^T` (Cholesky), with which equations are solved.
#[derive(Clone, Debug)]
pub struct Cholesky {
    n: usize,
    /// Row-major, `n` by `n`.
    l: Vec<f64>,
}

impl Cholesky {
    /// Of `a`, row-major, `n` by `n`, of which only the lower triangle is read. None where it is not positive, or so
    /// nearly not that the equations say nothing.
    pub fn new(n: usize, a: &[f64]) -> Option<Cholesky> {
        let mut l = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let sum: f64 = (0..j).map(|k| l[i * n + k] * l[j * n + k]).sum();
                let rest = a[i * n + j] - sum;
                if i == j && rest <= 1e-12 * a[i * n + i].abs() {
                    return None;
                }
                l[i * n + j] = if i == j { rest.sqrt() } else { rest / l[j * n + j] };
            }
        }
        Some(Cholesky { n, l })
    }

    /// The number of equations.
    pub fn size(&self) -> usize {
        self.n
    }

    /// The x of `l x = b`; its squared length is `b^T a^-1 b`.
    pub fn half_solve(&self, b: &[f64]) -> Vec<f64> {
        let (n, mut x) = (self.n, b.to_vec());
        for i in 0..n {
            let sum: f64 = (0..i).map(|k| self.l[i * n + k] * x[k]).sum();
            x[i] = (x[i] - sum) / self.l[i * n + i];
        }
        x
    }

    /// The x of `a x = b`.
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        let (n, mut x) = (self.n, self.half_solve(b));
        for i in (0..n).rev() {
            let sum: f64 = (i + 1..n).map(|k| self.l[k * n + i] * x[k]).sum();
            x[i] = (x[i] - sum) / self.l[i * n + i];
        }
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_solved() {
        let a = [4.0, 2.0, 2.0, 3.0];
        let known = Cholesky::new(2, &a).unwrap();
        let x = known.solve(&[8.0, 7.0]);
        assert!((x[0] - 1.25).abs() < 1e-12 && (x[1] - 1.5).abs() < 1e-12, "{x:?}");
        let half = known.half_solve(&[8.0, 7.0]);
        assert!((half.iter().map(|u| u * u).sum::<f64>() - (8.0 * 1.25 + 7.0 * 1.5)).abs() < 1e-12);
        assert!(Cholesky::new(2, &[1.0, 1.0, 1.0, 1.0]).is_none());
    }

    #[test]
    fn students_distribution_is_that_of_tables() {
        // 2.228 at 0.05 with 10 degrees of freedom, 2.776 with 4.
        for (freedom, t) in [(10.0, 2.228_139), (4.0, 2.776_445)] {
            let p = beta_cdf(freedom / (freedom + t * t), freedom / 2.0, 0.5);
            assert!((p - 0.05).abs() < 1e-6, "{p}");
        }
        assert!((ln_gamma(5.0) - 24f64.ln()).abs() < 1e-10);
    }

    #[test]
    fn distributions_have_their_known_values() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-10 * (1.0 + b.abs()), "{a} {b}");
        close(normal_cdf(1.0), 0.841_344_746_068_542_9);
        close(normal_cdf(-3.0), 0.001_349_898_031_630_094_5);
        close(normal_quantile(0.975), 1.959_963_984_540_054);
        close(normal_quantile(0.999), 3.090_232_306_167_813_7);
        // I_x(2, 3) = x^2 (6 - 8 x + 3 x^2).
        close(beta_cdf(0.3, 2.0, 3.0), 0.09 * (6.0 - 2.4 + 0.27));
        // All of n: alpha^(1/n).
        close(least_share(100, 100, 0.001), 0.001f64.powf(0.01));
        // Of 2 hits in 3: 1 - P(at most 1) = 3 p^2 - 2 p^3.
        let p = least_share(2, 3, 0.05);
        close(3.0 * p * p - 2.0 * p * p * p, 0.05);
    }
}
