//! [`WindowBatches`]: windows over a series, cut as they are needed.

use crate::sequence::windows_of;
use rhyton_tensor::batches::{Batch, Batches, ends_early};
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{Error, Result, Tensor};

/// The windows of [`timeseries_windows`](crate::timeseries_windows) as a source for `fit`: the series is held once,
/// where the windows side by side hold each step as many times as a window is long.
///
/// ```
/// use rhyton_data::WindowBatches;
/// use rhyton_tensor::{Tensor, batches::Batches};
/// let series = Tensor::vector((0..100).map(|i| i as f32).collect::<Vec<_>>());
/// let mut windows = WindowBatches::new(&series, 8, 1, 32)?.shuffle(7);
/// windows.start(0)?;
/// let batch = windows.next()?.unwrap();
/// assert_eq!((batch.x()[0].shape(), batch.y()[0].shape()), (&[32, 8, 1][..], &[32, 1][..]));
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct WindowBatches {
    series: Vec<f32>,
    features: usize,
    window: usize,
    horizon: usize,
    batch_size: usize,
    /// The seed of the order; `None` keeps that of the series.
    seed: Option<u64>,
    /// The windows by their first steps, in the order of this pass.
    order: Vec<u32>,
    at: usize,
    /// The tensors of full batches, and those of the rest.
    full: Batch,
    rest: Batch,
}

impl WindowBatches {
    /// Windows of `window` steps over a series `[time]` or `[time, features]`, with the `horizon` steps behind each
    /// as targets, `batch_size` to a batch.
    ///
    /// # Errors
    /// As for [`timeseries_windows`](crate::timeseries_windows), and for a batch size of zero.
    pub fn new(series: &Tensor, window: usize, horizon: usize, batch_size: usize) -> Result<WindowBatches> {
        let (n, features) = windows_of(series, window, horizon)?;
        let last = u32::try_from(n).map_err(|_| Error::new(format!("the series has {n} windows")));
        let order: Vec<u32> = (0..last.map_err(|e| e.expected("at most 4294967295"))?).collect();
        if batch_size == 0 {
            return Err(Error::new("a batch of no windows").place("WindowBatches").expected("at least one"));
        }
        let set = |samples: usize| -> Result<Batch> {
            let mut targets = vec![samples, horizon];
            targets.extend(series.shape().get(1));
            let x = Tensor::try_full([samples, window, features], 0.0f32)?;
            Ok(Batch::new(vec![x], vec![Tensor::try_full(targets, 0.0f32)?], vec![]))
        };
        let (full, rest) = (set(batch_size.min(n))?, set(n % batch_size)?);
        let series = series.to_vec();
        Ok(WindowBatches {
            series,
            features,
            window,
            horizon,
            batch_size,
            seed: None,
            order,
            at: 0,
            full,
            rest,
        })
    }

    /// In another order for every pass, which the seed and the number of the pass decide.
    pub fn shuffle(mut self, seed: u64) -> WindowBatches {
        self.seed = Some(seed);
        self
    }
}

/// Copies `steps` steps from every first step on, one stretch behind the other.
fn copy(series: &[f32], starts: impl Iterator<Item = usize>, steps: usize, features: usize, to: &mut Tensor) {
    let Some(to) = to.as_slice_mut::<f32>() else { return };
    for (start, out) in starts.zip(to.chunks_exact_mut(steps * features)) {
        out.copy_from_slice(&series[start * features..(start + steps) * features]);
    }
}

impl Batches for WindowBatches {
    fn len(&self) -> Option<usize> {
        Some(self.order.len().div_ceil(self.batch_size))
    }

    fn start(&mut self, pass: usize) -> Result<()> {
        self.at = 0;
        if let Some(seed) = self.seed {
            self.order.sort_unstable();
            Stream::new(seed, pass as u32, 0).shuffle(&mut self.order);
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<&Batch>> {
        let starts = &self.order[self.at..self.order.len().min(self.at + self.batch_size)];
        if starts.is_empty() {
            return Ok(None);
        }
        self.at += starts.len();
        let batch = if starts.len() == self.full.samples() { &mut self.full } else { &mut self.rest };
        let (window, features) = (self.window, self.features);
        let first = |behind: usize| starts.iter().map(move |s| *s as usize + behind);
        if let [x, y] = &mut batch.tensors[..] {
            copy(&self.series, first(0), window, features, x);
            copy(&self.series, first(window), self.horizon, features, y);
        }
        Ok(Some(batch))
    }

    fn skip(&mut self, n: usize) -> Result<()> {
        let batches = self.order.len().div_ceil(self.batch_size);
        if n > batches {
            return Err(ends_early(batches, n));
        }
        self.at = n.saturating_mul(self.batch_size).min(self.order.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeseries_windows;

    #[test]
    fn the_windows_are_those_side_by_side() {
        for series in [Tensor::from_fn([11], |i| i as f32), Tensor::from_fn([11, 2], |i| (i as f32).sin())] {
            let (x, y) = timeseries_windows(&series, 3, 2).unwrap();
            let mut windows = WindowBatches::new(&series, 3, 2, 3).unwrap();
            assert_eq!(windows.len(), Some(3));
            windows.start(0).unwrap();
            for rows in [0..3, 3..6, 6..7] {
                let batch = windows.next().unwrap().unwrap();
                assert!(batch.x()[0].same_bits(&x.slice_rows(rows.clone()).unwrap()));
                assert!(batch.y()[0].same_bits(&y.slice_rows(rows).unwrap()));
            }
            assert!(windows.next().unwrap().is_none());
        }
    }

    #[test]
    fn every_pass_has_an_order_of_its_own_and_can_be_entered_anywhere() {
        let series = Tensor::from_fn([20], |i| i as f32);
        let mut windows = WindowBatches::new(&series, 1, 1, 4).unwrap().shuffle(3);
        let mut pass = |pass: usize, skipped: usize| {
            windows.start(pass).unwrap();
            windows.skip(skipped).unwrap();
            let mut seen = vec![];
            while let Some(batch) = windows.next().unwrap() {
                seen.extend(batch.x()[0].to_vec::<i32>());
            }
            seen
        };
        let (first, second) = (pass(0, 0), pass(1, 0));
        assert!(first != second && first == pass(0, 0) && second[8..] == pass(1, 2));
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..19).collect::<Vec<_>>());
        let mut windows = WindowBatches::new(&series, 1, 1, 4).unwrap();
        assert!(windows.skip(6).is_err());
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let series = Tensor::from_fn([5], |i| i as f32);
        assert!(WindowBatches::new(&series, 5, 1, 2).is_err());
        assert!(WindowBatches::new(&series, 2, 1, 0).is_err());
    }
}
