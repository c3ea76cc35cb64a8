//! Attributions from elsewhere.

use crate::{Attribution, Method, Scene};
use rhyton_graph::Expr;
use rhyton_tensor::Result;
use std::sync::Arc;

rhyton_nn::object! {
    /// The attributions that an array holds: of another program, drawn by hand. So measures judge them. It is no row of the
    /// registry, since it says nothing of a model.
    ///
    /// ```
    /// use rhyton_explain::{Explainer, measures::Complexity, methods::Given};
    /// # use rhyton_model::Sequential;
    /// # use rhyton_nn::layers::Dense;
    /// # use rhyton_tensor::Tensor;
    /// # let reference = std::sync::Arc::<rhyton_graph::reference::ReferenceBackend>::default();
    /// # rhyton_model::backend::set_backend(reference);
    /// let model = Sequential::new([2]).add(Dense::new(2)).build()?;
    /// let (x, map) = (Tensor::new([1, 2], vec![0.5f32, 0.5])?, Tensor::new([1, 2], vec![3.0f32, 3.0])?);
    /// let explainer = Explainer::new(&model).array("attributions", &map);
    /// let spread = explainer.measure(Complexity::default(), Given::default(), &x, None)?;
    /// assert!((spread.value.to_vec::<f32>()[0] - 2f32.ln()).abs() < 1e-6);
    /// # Ok::<(), rhyton_tensor::Error>(())
    /// ```
    pub struct Given {
        /// The array: one sample for all, or one for each. A last axis of 1 counts for all channels.
        array: String = "attributions".into(),
    }
}

impl From<Given> for Method {
    fn from(given: Given) -> Method {
        Method::new(Arc::new(given))
    }
}

impl Attribution for Given {
    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
        let values = scene.values();
        scene.arrays_over(&self.array, &values)
    }
}
