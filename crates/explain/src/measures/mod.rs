//! How good attributions are, in numbers: a file for each family of measures.
//!
//! A [`Measure`] writes what it computes as expressions over the same [`Scene`] as the method that it judges, so that
//! both are one program. Formulas are those of Quantus (Hedström et al. 2023) unless a line says otherwise.

mod complexity;
mod faithfulness;
mod localisation;
mod ranks;
mod sensitivity;
mod units;

pub use complexity::{Complexity, Sparseness};
pub use faithfulness::{
    Deletion, FaithfulnessCorrelation, Infidelity, Insertion, MonotonicityArya, MonotonicityNguyen,
    PixelFlipping,
};
pub use localisation::{PointingGame, RelevanceMass, RelevanceRank};
pub use sensitivity::{AvgSensitivity, MaxSensitivity};

pub(crate) use ranks::spearman;
pub(crate) use units::joined;

use crate::scene::sound;
use crate::{Attribution, Explainer, Method, Scene};
use rhyton_graph::Expr;
use rhyton_model::Tensors;
use rhyton_nn::{Handle, Object};
use rhyton_tensor::{Error, Result, Tensor};

/// What a measure found: of expressions while a program is made, of tensors afterwards.
#[derive(Clone, Debug)]
pub struct Measured<T> {
    /// A number for each sample, `[samples]`.
    pub value: T,
    /// What the number was made of, where that is a curve or a list: `[samples, points]`.
    pub curve: Option<T>,
}

impl From<Expr> for Measured<Expr> {
    fn from(value: Expr) -> Measured<Expr> {
        Measured { value, curve: None }
    }
}

/// A measure of attributions. A new one is a row of the registry below.
pub trait Measure: Object {
    /// What it says of the attributions that `method` gives in this scene.
    ///
    /// # Errors
    /// When a setting makes no sense for this model, or the method fails.
    fn measure(&self, scene: &mut Scene, method: &dyn Attribution) -> Result<Measured<Expr>>;
}

// The measures.
rhyton_nn::registry! {
    local dyn Measure, "measure" in "rhyton.explain";
    Deletion "the area under the score while the most important values are taken away";
    Insertion "the area under the score while the most important values are put in";
    PixelFlipping "the area under the score while values are taken away, so many a step";
    Infidelity "how far attributions are from saying what a change of the values does";
    FaithfulnessCorrelation "how attributions of drawn subsets correlate with what taking them away does";
    MonotonicityArya "whether the score only rises while values are put in, the least important first";
    MonotonicityNguyen "how attributions rank with what noise in their place does";
    MaxSensitivity "how far attributions change at most near the sample";
    AvgSensitivity "how far attributions change on average near the sample";
    PointingGame "whether the largest attribution lies in the mask";
    RelevanceMass "the share of positive attributions that lies in the mask";
    RelevanceRank "the share of the mask among as many largest attributions";
    Sparseness "how unequal attributions are: Gini's index";
    Complexity "how spread out attributions are: their entropy";
}

impl Explainer<'_> {
    /// What a measure says of a method's attributions, sample by sample.
    ///
    /// ```
    /// use rhyton_explain::{Explainer, measures::Deletion, methods::Saliency};
    /// # use rhyton_model::Sequential;
    /// # use rhyton_nn::layers::Dense;
    /// # let reference = std::sync::Arc::<rhyton_graph::reference::ReferenceBackend>::default();
    /// # rhyton_model::backend::set_backend(reference);
    /// let model = Sequential::new([3]).add(Dense::new(2)).build()?;
    /// let x = rhyton_tensor::Tensor::new([2, 3], vec![0.5f32, -0.2, 0.1, 0.9, 0.3, -0.7])?;
    /// let fell = Explainer::new(&model).measure(Deletion::default().steps(3), Saliency::default(), &x, None)?;
    /// assert_eq!(fell.value.shape(), [2]);
    /// assert_eq!(fell.curve.unwrap().shape(), [2, 4]);
    /// # Ok::<(), rhyton_tensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the inputs do not fit the model, a label is none of its classes, or the method or the measure does not fit it.
    pub fn measure<'a>(
        &self,
        measure: impl Into<Handle<dyn Measure>>,
        method: impl Into<Method>,
        x: impl Into<Tensors<'a>>,
        labels: Option<&Tensor>,
    ) -> Result<Measured<Tensor>> {
        let (measure, method) = (measure.into().into_object()?, method.into().into_object()?);
        let mut with_curve = false;
        let runner = self.aimed(labels).program("measure", &method.place(), |scene| {
            let found = measure.measure(scene, &*method).and_then(|found| {
                with_curve = found.curve.is_some();
                sound([Some(found.value), found.curve].into_iter().flatten().collect())
            });
            found.map_err(|e| e.place(measure.class_name()))
        })?;
        let mut results = runner.run(x.into(), labels)?.into_iter();
        let value = results.next().ok_or_else(|| Error::new("the program lost a result"))?;
        Ok(Measured { value, curve: results.next().filter(|_| with_curve) })
    }
}
