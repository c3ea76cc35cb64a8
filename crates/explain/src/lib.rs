//! Why a model answers so: attributions of its scores to inputs, tokens and layers.
//!
//! A method ([`Attribution`]) writes what it computes for a batch as expressions over a [`Scene`]: the values that are
//! explained, the score, references. An [`Explainer`] compiles that into one program and runs it over any number of
//! samples. Every occurrence of a layer is a node of its own in the graph, so that a ReLU used twice, a loop over time
//! and a shared or nested layer need nothing special.
//!
//! ```
//! use rhyton_explain::{Explainer, methods::IntegratedGradients};
//! use rhyton_model::Sequential;
//! use rhyton_nn::layers::Dense;
//! use rhyton_tensor::Tensor;
//! # let reference = std::sync::Arc::<rhyton_graph::reference::ReferenceBackend>::default();
//! # rhyton_model::backend::set_backend(reference);
//! let model = Sequential::new([3]).add(Dense::new(4).relu()).add(Dense::new(2)).build()?;
//! let x = Tensor::new([1, 3], vec![0.2f32, -0.4, 0.9])?;
//! let why = Explainer::new(&model).explain(IntegratedGradients::default().steps(200), &x, None)?;
//! assert_eq!(why.attributions[0].shape(), [1, 3]);
//! assert!(why.checks.iter().all(|check| check.is_met()), "{}", why.checks[0]);
//! # Ok::<(), rhyton_tensor::Error>(())
//! ```

extern crate self as rhyton_explain;

mod attribution;
mod baseline;
mod coalitions;
mod concepts;
mod dependence;
mod explainer;
mod explanation;
mod features;
mod importance;
mod influence;
mod maximise;
pub mod measures;
pub mod methods;
mod place;
mod resize;
mod rules;
mod runner;
mod sanity;
mod scene;

pub use attribution::{Attribution, Method};
pub use baseline::Baseline;
pub use concepts::Concept;
pub use dependence::{Dependence, quantiles};
pub use explainer::{CompiledMethod, Explainer, Of, Target};
pub use explanation::{Check, Explanation};
pub use features::{Groups, Sizes};
pub use importance::{Importance, Merit};
pub use influence::Influence;
pub use maximise::Maximise;
pub use measures::{Measure, Measured};
pub use place::Place;
pub use rules::relevance::{Composite, Rule};
pub use sanity::{Likeness, Randomised, similarity};
pub use scene::Scene;
