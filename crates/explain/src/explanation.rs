//! [`Explanation`]: what a method found, with its own check.

use rhyton_tensor::Tensor;
use std::fmt;

/// What a method found.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The method, by its class name.
    pub method: String,
    /// What is explained: inputs, or values inside the model.
    pub names: Vec<String>,
    /// Of each of these, what it had to do with the score: `[samples, ..]`. An input of whole numbers that an
    /// embedding reads has the sum over its vector.
    pub attributions: Vec<Tensor>,
    /// The score that was explained, `[samples]`.
    pub scores: Tensor,
    /// How uncertain the attributions are, where the method samples: their standard error.
    pub standard_error: Option<Vec<Tensor>>,
    /// What should hold of such attributions, and how nearly it does.
    pub checks: Vec<Check>,
}

/// A property that the attributions should have.
#[derive(Clone, Debug)]
pub struct Check {
    /// `completeness`, `conservation`, ..
    pub name: &'static str,
    /// What came out, `[samples]`.
    pub have: Vec<f32>,
    /// What should come out.
    pub want: Vec<f32>,
    /// How large the numbers are that add up.
    pub scale: Vec<f32>,
    /// The largest difference that passes, as a share of the scale.
    pub tolerance: f32,
}

impl Check {
    /// The largest difference of a sample, as a share of its scale.
    pub fn residual(&self) -> f32 {
        let each = self.have.iter().zip(&self.want).zip(&self.scale);
        let of = |((have, want), scale): ((&f32, &f32), &f32)| match have == want {
            true => 0.0,
            false => (have - want).abs() / scale.max(f32::MIN_POSITIVE),
        };
        // NaN must not pass for nothing.
        each.map(of).fold(0.0, |worst, r| if r > worst || r.is_nan() { r } else { worst })
    }

    /// Whether it holds of all samples.
    pub fn is_met(&self) -> bool {
        self.residual() <= self.tolerance
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = if self.is_met() { "holds" } else { "does not hold" };
        write!(f, "{} {said}: off by {:.2e}, {:.0e} allowed", self.name, self.residual(), self.tolerance)
    }
}
