//! Whether data fits the inputs of a model.

use crate::{Model, Tensors};
use rhyton_graph::Type;
use rhyton_nn::indices::shown;
use rhyton_tensor::{DType, Data, Error, Result, Tensor};

impl Model {
    /// The inputs in the types of the model, checked against its shapes.
    ///
    /// # Errors
    /// When the number, a shape or a number of samples does not fit, a value is NaN, or an index chooses no row of
    /// its table.
    pub fn check_inputs(&self, x: Tensors<'_>) -> Result<Vec<Tensor>> {
        let checked = self.conform_inputs(x)?;
        let types = &self.definition().input_types;
        checked.iter().zip(types).map(|(t, ty)| t.try_cast(ty.dtype)).collect()
    }

    /// The inputs checked as in [`Model::check_inputs`], in the types they came in.
    pub fn conform_inputs(&self, x: Tensors<'_>) -> Result<Vec<Tensor>> {
        let types = &self.definition().input_types;
        let names = || self.definition().input_names();
        if x.0.len() != types.len() {
            return Err(Error::new(format!("the model takes {} inputs, got {}", types.len(), x.0.len()))
                .place(self.name())
                .expected(names().join(", ")));
        }
        let samples = x.0[0].shape().first().copied().unwrap_or(0);
        if samples == 0 {
            return Err(Error::new("there are no samples").place(format!("input '{}'", names()[0])));
        }
        let each = x.0.iter().zip(types).enumerate();
        let checked = each.map(|(i, (t, ty))| {
            check_input(t, ty, samples).map_err(|e| e.place(format!("input '{}'", names()[i])))
        });
        let checked = checked.collect::<Result<Vec<Tensor>>>()?;
        self.check_indices(&checked)?;
        Ok(checked)
    }
}

fn check_input(t: &Tensor, ty: &Type, samples: usize) -> Result<Tensor> {
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
        .expected("at least 1 along every axis"));
    }
    if t.shape()[0] != samples {
        return Err(Error::new(format!("{} samples, but the first input has {samples}", t.shape()[0])));
    }
    reject_nan(&t)?;
    converts(&t, ty.dtype)?;
    Ok(t)
}

/// An error when converting `t` to int32 would change a number.
pub fn converts(t: &Tensor, to: DType) -> Result<()> {
    let narrow =
        matches!(t.dtype(), DType::I32 | DType::I16 | DType::U16 | DType::I8 | DType::U8 | DType::Bool);
    if to != DType::I32 || narrow {
        return Ok(());
    }
    let (data, width) = (t.data(), t.shape().iter().skip(1).product::<usize>().max(1));
    let lost = |i: &usize| f64::from(data.get_f64(*i) as i32) != data.get_f64(*i);
    let Some(at) = (0..t.len()).find(lost) else { return Ok(()) };
    let (number, sample) = (shown(t, at), at / width);
    let error = if data.get_f64(at).fract() == 0.0 {
        Error::new(format!("the number {number} of sample {sample} does not fit int32"))
    } else {
        Error::new(format!("the number {number} of sample {sample} is no whole number"))
    };
    Err(error.expected(format!("whole numbers from {} to {}", i32::MIN, i32::MAX)))
}

/// An error when a number of `t` is NaN.
pub fn reject_nan(t: &Tensor) -> Result<()> {
    let nan = match t.data() {
        Data::F32(v) => first(v, |x| x.is_nan()),
        Data::F64(v) => first(v, |x| x.is_nan()),
        Data::F16(v) => first(v, |x| x.is_nan()),
        Data::BF16(v) => first(v, |x| x.is_nan()),
        _ => None,
    };
    let Some(at) = nan else { return Ok(()) };
    let width: usize = t.shape().iter().skip(1).product();
    Err(Error::new("the data holds NaN")
        .expected(format!("numbers; the first NaN is in sample {}", at / width.max(1)))
        .fix("drop or fill missing values first"))
}

/// Where the first of `v` is that has the property. Blocks are looked at whole, which the compiler turns into vector
/// instructions: nearly always there is none.
fn first<T: Copy>(v: &[T], has: impl Fn(T) -> bool) -> Option<usize> {
    const BLOCK: usize = 256;
    let block = v.chunks(BLOCK).position(|block| block.iter().fold(false, |any, x| any | has(*x)))?;
    let start = block * BLOCK;
    v[start..].iter().position(|x| has(*x)).map(|at| start + at)
}
