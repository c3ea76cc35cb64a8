//! How weights start.

mod constant;
mod orthogonal;
mod random;
mod scaling;
mod seed;

pub use constant::{Constant, Identity, Ones, Zeros};
pub use orthogonal::Orthogonal;
pub use random::{RandomNormal, RandomUniform, TruncatedNormal};
pub use scaling::{
    Fan, GlorotNormal, GlorotUniform, HeNormal, HeUniform, LecunNormal, LecunUniform, Spread,
    VarianceScaling, fans,
};
pub use seed::Seed;

use crate::Handle;
use crate::object::Object;
use rhyton_tensor::Result;
use rhyton_tensor::rng::Stream;
use std::sync::Arc;

/// Values of new weights.
pub trait Initialize: Object {
    /// The elements of a weight of `shape`, in row-major order. `random` belongs to the weight; an initializer
    /// with a seed of its own uses that instead.
    fn values(&self, shape: &[usize], random: &mut Stream) -> Vec<f32>;

    /// Most bytes that [`Initialize::values`] takes for each element while it works.
    fn bytes_per_element(&self) -> usize {
        size_of::<f32>()
    }

    /// Whether weights of this shape can start so.
    ///
    /// # Errors
    /// When they cannot, or a setting makes no sense.
    fn check(&self, _shape: &[usize]) -> Result<()> {
        Ok(())
    }
}

/// A shared initializer.
pub type Initializer = Handle<dyn Initialize>;

impl<I: Initialize> From<I> for Initializer {
    fn from(i: I) -> Initializer {
        Initializer::new(Arc::new(i))
    }
}

// The initializers. Strings name them by class, by these names or by the class in snake case.
crate::registry! {
    dyn Initialize, "initializer" in "keras.initializers";
    Zeros ["zero"] "all 0";
    Ones ["one"] "all 1";
    Constant "all one number": Constant::new(0.5);
    Identity ["IdentityInitializer"] "the identity matrix": Identity::default().gain(2.0);
    RandomNormal ["normal"] "normal numbers": RandomNormal::default().stddev(0.1).seed(7u64);
    RandomUniform ["uniform"] "evenly between two numbers";
    TruncatedNormal "normal numbers within two standard deviations";
    VarianceScaling "random numbers whose variance fits the number of inputs or outputs": VarianceScaling::default().scale(2.0);
    GlorotUniform "evenly, for the mean of inputs and outputs";
    GlorotNormal "truncated normal, for the mean of inputs and outputs";
    HeUniform "evenly, for inputs of a relu";
    HeNormal "truncated normal, for inputs of a relu";
    LecunUniform "evenly, for inputs";
    LecunNormal "truncated normal, for inputs";
    Orthogonal ["OrthogonalInitializer"] "a random orthogonal matrix": Orthogonal::default().gain(0.5);
}
