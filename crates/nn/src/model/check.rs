//! Whether data fits the inputs of a model.

use crate::model::{Model, Tensors};
use rhyton_graph::Type;
use rhyton_tensor::{DType, Data, Error, Result, Tensor};

impl Model {
    /// The inputs in the types of the model, checked against its shapes.
    ///
    /// # Errors
    /// When the number, a shape or a number of samples does not fit, or a value is NaN.
    pub fn check_inputs(&self, x: Tensors<'_>) -> Result<Vec<Tensor>> {
        let checked = self.fit_inputs(x)?;
        let types = &self.definition().input_types;
        checked.iter().zip(types).map(|(t, ty)| t.try_cast(ty.dtype)).collect()
    }

    /// The inputs checked as in [`Model::check_inputs`], in the types they came in.
    pub(crate) fn fit_inputs(&self, x: Tensors<'_>) -> Result<Vec<Tensor>> {
        let (types, names) = (&self.definition().input_types, self.definition().input_names());
        if x.0.len() != types.len() {
            return Err(Error::new(format!("the model takes {} inputs, got {}", types.len(), x.0.len()))
                .place(self.name())
                .expected(names.join(", ")));
        }
        let samples = x.0[0].shape().first().copied().unwrap_or(0);
        if samples == 0 {
            return Err(Error::new("there are no samples").place(format!("input '{}'", names[0])));
        }
        let each = x.0.iter().zip(types.iter().zip(&names));
        each.map(|(t, (ty, name))| check_input(t, ty, name, samples)).collect()
    }
}

fn check_input(t: &Tensor, ty: &Type, name: &str, samples: usize) -> Result<Tensor> {
    let place = format!("input '{name}'");
    let mut t = t.clone();
    // A flat list of numbers is a list of samples of one number, as in Keras.
    if t.rank() + 1 == ty.shape.rank() && ty.shape.last().is_some_and(|d| d.is(1)) {
        let mut shape = t.shape().to_vec();
        shape.push(1);
        t = t.reshape(shape)?;
    }
    let fits = t.rank() == ty.shape.rank()
        && t.shape().iter().zip(ty.shape.iter()).skip(1).all(|(n, d)| d.as_fixed().is_none_or(|d| d == *n));
    if !fits {
        let mut e = Error::new(format!("the data has the shape {:?}", t.shape()))
            .place(place)
            .expected(format!("{} (any number of samples first)", ty.shape.keras()));
        if t.rank() + 1 == ty.shape.rank() {
            e = e.fix("add the missing axis with reshape");
        }
        return Err(e);
    }
    if t.is_empty() {
        // Without values, a file of a few bytes could hold any number of samples.
        return Err(Error::new(format!(
            "the samples hold no values: the data has the shape {:?}",
            t.shape()
        ))
        .place(place)
        .expected("at least 1 along every axis"));
    }
    if t.shape()[0] != samples {
        return Err(
            Error::new(format!("{} samples, but the first input has {samples}", t.shape()[0])).place(place)
        );
    }
    if ty.dtype == DType::I32 && t.dtype().is_float() {
        let whole = t.to_vec::<f32>().iter().all(|x| x.fract() == 0.0 && x.abs() < 2e9);
        if !whole {
            return Err(Error::new("indices must be whole numbers").place(place).expected("int32"));
        }
    }
    reject_nan(&t).map_err(|e| e.place(place))?;
    Ok(t)
}

/// An error when a number of `t` is NaN.
pub(crate) fn reject_nan(t: &Tensor) -> Result<()> {
    let nan = match t.data() {
        Data::F32(v) => v.iter().position(|x| x.is_nan()),
        Data::F64(v) => v.iter().position(|x| x.is_nan()),
        Data::F16(v) => v.iter().position(|x| x.is_nan()),
        Data::BF16(v) => v.iter().position(|x| x.is_nan()),
        _ => None,
    };
    let Some(at) = nan else { return Ok(()) };
    let width: usize = t.shape().iter().skip(1).product();
    Err(Error::new("the data holds NaN")
        .expected(format!("numbers; the first NaN is in sample {}", at / width.max(1)))
        .fix("drop or fill missing values first"))
}
