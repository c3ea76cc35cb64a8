//! [`Batches`]: where batches come from. It stands here so that data sets need not know what trains on them.

use crate::{Error, Result, Tensor};

/// One batch: inputs, targets and sample weights.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// All tensors: inputs, then targets, then sample weights.
    pub tensors: Vec<Tensor>,
    /// How many of them are inputs.
    pub inputs: usize,
    /// How many are targets.
    pub targets: usize,
}

impl Batch {
    /// Inputs in the order of the model's inputs, targets in the order of its outputs, and sample weights: none,
    /// one for all outputs, or one for each.
    pub fn new(x: Vec<Tensor>, y: Vec<Tensor>, weights: Vec<Tensor>) -> Batch {
        let (inputs, targets) = (x.len(), y.len());
        Batch { tensors: [x, y, weights].concat(), inputs, targets }
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.tensors.first().and_then(|t| t.shape().first()).copied().unwrap_or(0)
    }

    /// The inputs.
    pub fn x(&self) -> &[Tensor] {
        self.tensors.get(..self.inputs).unwrap_or_default()
    }

    /// The targets.
    pub fn y(&self) -> &[Tensor] {
        self.tensors.get(self.inputs..self.inputs + self.targets).unwrap_or_default()
    }

    /// The sample weights.
    pub fn weights(&self) -> &[Tensor] {
        self.tensors.get(self.inputs + self.targets..).unwrap_or_default()
    }
}

/// A source of batches: data that is larger than memory, made on the fly, or comes from elsewhere.
///
/// ```
/// use rhyton_tensor::batches::{Batch, Batches};
/// use rhyton_tensor::{Result, Tensor};
/// /// Points of a line, made on the fly.
/// #[derive(Default)]
/// struct Line { at: usize, batch: Batch }
/// impl Batches for Line {
///     fn len(&self) -> Option<usize> { Some(10) }
///     fn start(&mut self, _pass: usize) -> Result<()> { self.at = 0; Ok(()) }
///     fn next(&mut self) -> Result<Option<&Batch>> {
///         if self.at == 10 { return Ok(None); }
///         let x = Tensor::from_fn([4, 1], |i| (self.at * 4 + i) as f32);
///         self.at += 1;
///         self.batch = Batch::new(vec![x.clone()], vec![x], vec![]);
///         Ok(Some(&self.batch))
///     }
/// }
/// let mut line = Line::default();
/// line.start(0)?;
/// assert_eq!(line.next()?.map(|b| b.samples()), Some(4));
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub trait Batches {
    /// Number of batches of a pass over the data, where known.
    fn len(&self) -> Option<usize>;

    /// Begins pass `pass` over the data. Equal numbers must give equal batches where training is to be resumed.
    ///
    /// # Errors
    /// When the data cannot be read.
    fn start(&mut self, pass: usize) -> Result<()>;

    /// The next batch; `None` when the pass is over.
    ///
    /// # Errors
    /// When the data cannot be read.
    fn next(&mut self) -> Result<Option<&Batch>>;

    /// Passes over `n` batches: how training resumes within a pass.
    ///
    /// # Errors
    /// When the data cannot be read or has fewer batches.
    fn skip(&mut self, n: usize) -> Result<()> {
        for i in 0..n {
            if self.next()?.is_none() {
                return Err(ends_early(i, n));
            }
        }
        Ok(())
    }

    /// True without batches.
    fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }
}

/// The error of a pass that is shorter than when training was interrupted after `n` batches of it.
pub fn ends_early(batches: usize, n: usize) -> Error {
    Error::new(format!("the data ends after {batches} batches"))
        .expected(format!("at least {n}, as when training was interrupted"))
        .fix("resume with the same data")
}

impl<B: Batches + ?Sized> Batches for &mut B {
    fn len(&self) -> Option<usize> {
        (**self).len()
    }
    fn start(&mut self, pass: usize) -> Result<()> {
        (**self).start(pass)
    }
    fn next(&mut self) -> Result<Option<&Batch>> {
        (**self).next()
    }
    fn skip(&mut self, n: usize) -> Result<()> {
        (**self).skip(n)
    }
}
