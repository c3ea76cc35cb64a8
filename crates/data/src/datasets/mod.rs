//! Data sets as Keras returns them: `((x_train, y_train), (x_test, y_test))`.

mod digits;
mod mnist;
mod small;

pub use digits::{digits, digits_28x28};
pub use mnist::{FASHION_MNIST_CLASSES, fashion_mnist, mnist};
pub use small::{DIABETES_FEATURES, airline_passengers, diabetes};

use rhyton_tensor::Tensor;

/// `((x_train, y_train), (x_test, y_test))`.
pub type Split = ((Tensor, Tensor), (Tensor, Tensor));
