//! [`Sequential`]: layers one after the other.

use crate::symbolic::{Inputs, apply};
use crate::{Definition, Form, Input, Model};
use rhyton_nn::layer::{Base, LayerRef};
use rhyton_tensor::{Error, Result, Shape, Source};

/// A model of layers one after the other.
///
/// ```no_run
/// use rhyton_nn::layers::Dense;
/// use rhyton_model::Sequential;
/// let model = Sequential::new([100]).add(Dense::new(64)).add(Dense::new(10)).build()?;
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sequential {
    base: Base,
    input: Input,
    layers: Vec<LayerRef>,
    seed: u64,
}

impl Sequential {
    /// An empty model for samples of `shape`, without the batch axis.
    #[track_caller]
    pub fn new(shape: impl Into<Shape>) -> Sequential {
        Sequential::of(Input::new(shape))
    }

    /// An empty model that starts with this input, for inputs with a name or of integers.
    #[track_caller]
    pub fn of(input: Input) -> Sequential {
        Sequential { base: Base::here(), input, layers: vec![], seed: 0 }
    }

    /// Appends a layer.
    #[track_caller]
    #[allow(clippy::should_implement_trait)] // Keras's word
    pub fn add(mut self, layer: impl Into<LayerRef>) -> Sequential {
        self.layers.push(layer.into());
        self
    }

    /// Names the model.
    pub fn name(mut self, name: impl Into<String>) -> Sequential {
        self.base.name = Some(name.into());
        self
    }

    /// In which type layers without a policy of their own compute: `mixed_bfloat16` or `float32`, see
    /// [`DTypePolicy`](rhyton_nn::policy::DTypePolicy).
    pub fn dtype_policy(mut self, name: &str) -> Sequential {
        self.base.dtype = Some(rhyton_nn::policy::DTypePolicy::from_name(name));
        self
    }

    /// The seed of the initial weights.
    pub fn seed(mut self, seed: u64) -> Sequential {
        self.seed = seed;
        self
    }

    /// The layers connected, without weights.
    ///
    /// # Errors
    /// When two layers have one name, or there are none.
    pub fn definition(self) -> Result<Definition> {
        if self.layers.is_empty() {
            return Err(Error::new("a Sequential without layers computes nothing")
                .source(&self.base.source)
                .fix("add at least one layer"));
        }
        if let Some(Err(e)) = &self.base.dtype {
            return Err(e.clone().source(&self.base.source));
        }
        let input = self.input.symbolic();
        let mut x = input.clone();
        for layer in self.layers {
            let source = layer.get().map_or(&self.base.source, |l| &l.base().source).clone();
            x = apply(layer, Inputs::from(&x), &source).swap_remove(0);
        }
        Definition::of(self.base, Form::Sequential, &[input], &[x])
    }

    /// The model with initial weights.
    ///
    /// # Errors
    /// Every layer whose input does not fit, with its name, the shapes and the line that made it.
    #[track_caller]
    pub fn build(self) -> Result<Model> {
        let (seed, here) = (self.seed, Source::here());
        Model::from_definition(self.definition()?, seed).map_err(|e| e.source(&here))
    }
}
