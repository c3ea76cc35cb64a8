//! [`KINDS`]: everything that has a registry.

use rhyton_nn::Layer;
use rhyton_nn::activations::Activate;
use rhyton_nn::constraints::Constrain;
use rhyton_nn::initializers::Initialize;
use rhyton_nn::layers::Operation;
use rhyton_nn::losses::Loss;
use rhyton_nn::metrics::Metric;
use rhyton_nn::optimizers::Optimizer;
use rhyton_nn::optimizers::schedules::Schedule;
use rhyton_nn::registry::Listing;
use rhyton_nn::regularizers::Regularize;

/// All kinds of objects that a name or a file can stand for. `rhyton list` shows them.
///
/// ```
/// let losses = rhyton::KINDS.iter().find(|kind| kind.what == "loss").unwrap();
/// assert!((losses.rows)().iter().any(|row| row.name == "Huber"));
/// ```
pub static KINDS: &[Listing] = &[
    Listing::of::<dyn Layer>(),
    Listing::of::<dyn Activate>(),
    Listing::of::<dyn Loss>(),
    Listing::of::<dyn Metric>(),
    Listing::of::<dyn Optimizer>(),
    Listing::of::<dyn Initialize>(),
    Listing::of::<dyn Regularize>(),
    Listing::of::<dyn Constrain>(),
    Listing::of::<dyn Schedule>(),
    Operation::LISTING,
];
