//! Training data as users give it: tensors in tuples, or a source of batches.

use super::{Batch, Batches};
use rhyton_model::Tensors;
use rhyton_tensor::batches::ends_early;
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{DType, Data, Result, Tensor};
use std::ops::Range;

/// Inputs, targets and sample weights in memory.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// In the order of the model's inputs.
    pub x: Vec<Tensor>,
    /// In the order of the model's outputs.
    pub y: Vec<Tensor>,
    /// None, one for all outputs, or one for each.
    pub weights: Vec<Tensor>,
}

impl Samples {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.x.first().and_then(|t| t.shape().first()).copied().unwrap_or(0)
    }

    /// True without samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What `fit` and `evaluate` take: `(&x, &y)`, `(&x, &y, &sample_weight)`, `&x` where nothing needs targets, with slices of tensors where a model has
/// several inputs or outputs, or [`Batches`].
pub enum Source<'d> {
    /// Tensors in memory.
    Samples(Samples),
    /// Anything that makes batches.
    Batches(Box<dyn Batches + 'd>),
}

impl<'d> Source<'d> {
    /// A source of batches.
    pub fn batches(batches: impl Batches + 'd) -> Source<'d> {
        Source::Batches(Box::new(batches))
    }
}

fn owned<'a>(t: impl Into<Tensors<'a>>) -> Vec<Tensor> {
    t.into().0.into_iter().cloned().collect()
}

impl<'a, 'b, 'd, X: Into<Tensors<'a>>, Y: Into<Tensors<'b>>> From<(X, Y)> for Source<'d> {
    fn from((x, y): (X, Y)) -> Source<'d> {
        Source::Samples(Samples { x: owned(x), y: owned(y), weights: vec![] })
    }
}
impl<'a, 'b, 'c, 'd, X, Y, W> From<(X, Y, W)> for Source<'d>
where
    X: Into<Tensors<'a>>,
    Y: Into<Tensors<'b>>,
    W: Into<Tensors<'c>>,
{
    fn from((x, y, w): (X, Y, W)) -> Source<'d> {
        Source::Samples(Samples { x: owned(x), y: owned(y), weights: owned(w) })
    }
}
impl From<&Tensor> for Source<'_> {
    fn from(x: &Tensor) -> Self {
        Source::Samples(Samples { x: vec![x.clone()], y: vec![], weights: vec![] })
    }
}
impl From<&Samples> for Source<'_> {
    fn from(s: &Samples) -> Self {
        Source::Samples(s.clone())
    }
}
impl From<Samples> for Source<'_> {
    fn from(s: Samples) -> Self {
        Source::Samples(s)
    }
}
impl<'d, B: Batches> From<&'d mut B> for Source<'d> {
    fn from(b: &'d mut B) -> Self {
        Source::Batches(Box::new(b))
    }
}

/// The type in which numbers of `dtype` enter a program as targets: floats and booleans as float32, integers as
/// int32.
pub(crate) fn target_type(dtype: DType) -> DType {
    if dtype.is_float() || dtype == DType::Bool { DType::F32 } else { DType::I32 }
}

/// Batches of samples in memory. Its tensors are reused from batch to batch: one set for full batches and one for
/// the rest.
pub(crate) struct SampleBatches {
    tensors: Vec<Tensor>,
    rows: Range<usize>,
    batch_size: usize,
    /// Seed of the permutations; `None` keeps the order.
    shuffle: Option<u64>,
    order: Vec<u32>,
    at: usize,
    full: Batch,
    rest: Batch,
}

/// The stream of shuffles: apart from those of initializers and layers, which count from 1.
const SHUFFLE: u32 = 0;

impl SampleBatches {
    /// Over `rows` of checked samples. `inputs` are the types of the model's inputs.
    pub(crate) fn new(
        samples: &Samples,
        inputs: &[DType],
        rows: Range<usize>,
        batch_size: usize,
        shuffle: Option<u64>,
    ) -> Result<SampleBatches> {
        let targets = samples.y.iter().map(|t| target_type(t.dtype()));
        let weights = samples.weights.iter().map(|_| DType::F32);
        let types: Vec<DType> = inputs.iter().copied().chain(targets).chain(weights).collect();
        let tensors: Vec<Tensor> = [&samples.x[..], &samples.y, &samples.weights].concat();
        let set = |n: usize| -> Result<Batch> {
            let made = tensors.iter().zip(&types).map(|(t, d)| like(t, *d, n)).collect::<Result<_>>();
            Ok(Batch {
                tensors: made.map_err(|e| e.place(format!("a batch of {n} samples")))?,
                inputs: samples.x.len(),
                targets: samples.y.len(),
            })
        };
        let whole = if rows.len() < batch_size { 0 } else { batch_size };
        let (full, rest) = (set(whole)?, set(rows.len() % batch_size.max(1))?);
        Ok(SampleBatches { tensors, rows, batch_size, shuffle, order: vec![], at: 0, full, rest })
    }
}

fn like(t: &Tensor, dtype: DType, samples: usize) -> Result<Tensor> {
    let mut shape = t.shape().to_vec();
    if let Some(n) = shape.first_mut() {
        *n = samples;
    }
    Tensor::try_zeros(dtype, shape)
}

impl Batches for SampleBatches {
    fn len(&self) -> Option<usize> {
        Some(self.rows.len().div_ceil(self.batch_size.max(1)))
    }

    fn start(&mut self, pass: usize) -> Result<()> {
        self.at = 0;
        if let Some(seed) = self.shuffle {
            self.order.clear();
            self.order.extend(self.rows.clone().map(|r| r as u32));
            Stream::new(seed, pass as u32, SHUFFLE).shuffle(&mut self.order);
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<&Batch>> {
        let n = self.batch_size.min(self.rows.len() - self.at);
        if n == 0 {
            return Ok(None);
        }
        let batch = if n == self.batch_size { &mut self.full } else { &mut self.rest };
        for (from, to) in self.tensors.iter().zip(&mut batch.tensors) {
            let width: usize = from.shape().iter().skip(1).product();
            match self.order.get(self.at..self.at + n) {
                Some(order) => {
                    copy_rows(from.data(), to.data_mut(), width, order.iter().map(|r| *r as usize))
                }
                None => {
                    let start = self.rows.start + self.at;
                    copy_rows(from.data(), to.data_mut(), width, start..start + n);
                }
            }
        }
        self.at += n;
        Ok(Some(batch))
    }

    fn skip(&mut self, n: usize) -> Result<()> {
        let batches = self.len().unwrap_or(0);
        if n > batches {
            return Err(ends_early(batches, n));
        }
        self.at = n.saturating_mul(self.batch_size).min(self.rows.len());
        Ok(())
    }
}

/// Copies rows of `width` elements, converted where the types differ.
fn copy_rows(from: &Data, to: &mut Data, width: usize, rows: impl Iterator<Item = usize>) {
    macro_rules! convert {
        ($to:expr, $as:ty, $($variant:ident)*) => { match from {
            $(Data::$variant(v) => {
                for (row, out) in rows.zip($to.chunks_exact_mut(width.max(1))) {
                    let source = &v[row * width..(row + 1) * width];
                    out.iter_mut().zip(source).for_each(|(o, x)| *o = *x as $as);
                }
            })*
            other => {
                for (row, out) in rows.zip($to.chunks_exact_mut(width.max(1))) {
                    let at = row * width;
                    out.iter_mut().enumerate().for_each(|(i, o)| *o = other.get_f64(at + i) as $as);
                }
            }
        } };
    }
    match to {
        Data::F32(to) => convert!(to, f32, F32 F64 U8 I8 U16 I16 U32 I32 U64 I64),
        Data::I32(to) => convert!(to, i32, I32 F32 F64 U8 I8 U16 I16 U32 U64 I64),
        Data::Bool(to) => {
            for (row, out) in rows.zip(to.chunks_exact_mut(width.max(1))) {
                out.iter_mut().enumerate().for_each(|(i, o)| *o = from.get_f64(row * width + i) != 0.0);
            }
        }
        _ => {}
    }
}
