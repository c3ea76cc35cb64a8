//! How far a model can be trusted: attacks, defences, certified bounds, calibration.
//!
//! An [`Attack`] writes adversarial inputs as expressions over a [`Victim`]: the model's logits as a function of an
//! input, labels, bounds, random numbers. An [`Attacker`] compiles that into one program, loops and gradients included,
//! and runs it over any number of samples; a defence writes the same expressions into a training step.
//!
//! ```
//! use rhyton_model::Sequential;
//! use rhyton_nn::layers::Dense;
//! use rhyton_robust::{Attacker, attacks::PgdLinf};
//! use rhyton_tensor::Tensor;
//! # let reference = std::sync::Arc::<rhyton_graph::reference::ReferenceBackend>::default();
//! # rhyton_model::backend::set_backend(reference);
//! let model = Sequential::new([2]).add(Dense::new(4).relu()).add(Dense::new(2)).build()?;
//! let x = Tensor::new([1, 2], vec![0.5f32, 0.4])?;
//! let labels = Tensor::vector(vec![0i32]);
//! let found = Attacker::new(&model).attack(PgdLinf::default().eps(0.1).steps(5), &x, &labels)?;
//! assert!(found.size(rhyton_robust::Norm::Inf)[0] <= 0.1 + 1e-6);
//! # Ok::<(), rhyton_tensor::Error>(())
//! ```

extern crate self as rhyton_robust;

mod attack;
mod attacker;
pub mod attacks;
pub mod bounds;
pub mod calibration;
mod certifier;
mod conformal;
pub mod corruptions;
pub mod defences;
mod norm;
pub mod outside;
mod smoothing;
pub mod uncertainty;
mod verify;
mod victim;
pub mod vnnlib;

pub use attack::{Attack, AttackRef};
pub use attacker::{Adversarial, Armed, Attacker};
pub use certifier::{Certified, Certifier};
pub use conformal::Conformal;
pub use norm::Norm;
pub use smoothing::{Smoothed, Vote, radius};
pub use verify::{Verdict, verify};
pub use victim::Victim;
