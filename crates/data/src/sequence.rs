//! Sequences of different lengths, and windows over a series in time.

use rhyton_tensor::{DType, Data, Error, Result, Tensor, memory};

/// Which end of a sequence is padded or cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Side {
    /// The beginning: Keras' `"pre"`, the default.
    #[default]
    Pre,
    /// The end: Keras' `"post"`.
    Post,
}

/// How [`pad_sequences`] pads and cuts; the defaults are Keras'.
///
/// ```
/// use rhyton_data::{PadSequences, Side};
/// let x = PadSequences::new().maxlen(3).padding(Side::Post).value(9).apply(&[vec![1], vec![2, 3, 4, 5]])?;
/// assert_eq!(x.as_slice::<i32>(), Some(&[1, 9, 9, 3, 4, 5][..]));
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct PadSequences {
    maxlen: Option<usize>,
    padding: Side,
    truncating: Side,
    value: i32,
}

impl PadSequences {
    /// Keras' defaults: as long as the longest, padded and cut at the beginning, with zeros.
    pub fn new() -> PadSequences {
        PadSequences::default()
    }

    /// Length of every row; without it the longest sequence's.
    pub fn maxlen(mut self, steps: usize) -> PadSequences {
        self.maxlen = Some(steps);
        self
    }

    /// Where short sequences are filled up.
    pub fn padding(mut self, side: Side) -> PadSequences {
        self.padding = side;
        self
    }

    /// Where long sequences are cut.
    pub fn truncating(mut self, side: Side) -> PadSequences {
        self.truncating = side;
        self
    }

    /// What they are filled up with.
    pub fn value(mut self, value: i32) -> PadSequences {
        self.value = value;
        self
    }

    /// The sequences as int32 `[sequences, steps]`.
    ///
    /// # Errors
    /// When the result does not fit in memory.
    pub fn apply<S: AsRef<[i32]>>(&self, sequences: &[S]) -> Result<Tensor> {
        let longest = sequences.iter().map(|s| s.as_ref().len()).max().unwrap_or(0);
        let steps = self.maxlen.unwrap_or(longest);
        let room = memory::elements(&[sequences.len(), steps]).and_then(memory::room);
        let mut out = room
            .map_err(|e| e.place(format!("pad_sequences: {} sequences of {steps} steps", sequences.len())))?;
        for s in sequences {
            let s = s.as_ref();
            let cut = s.len().saturating_sub(steps);
            let kept = match self.truncating {
                Side::Pre => &s[cut..],
                Side::Post => &s[..s.len() - cut],
            };
            let fill = std::iter::repeat_n(self.value, steps - kept.len());
            match self.padding {
                Side::Pre => out.extend(fill.chain(kept.iter().copied())),
                Side::Post => out.extend(kept.iter().copied().chain(fill)),
            }
        }
        Tensor::new([sequences.len(), steps], out)
    }
}

/// Sequences of different lengths as int32 `[sequences, steps]`, as Keras' `pad_sequences`: filled up with zeros
/// and cut **at the beginning**. Without `maxlen` the longest gives the length. [`PadSequences`] has the options.
///
/// # Errors
/// When the result does not fit in memory.
///
/// ```
/// use rhyton_data::pad_sequences;
/// let x = pad_sequences(&[vec![1], vec![2, 3, 4]], Some(2))?;
/// assert_eq!(x.as_slice::<i32>(), Some(&[0, 1, 3, 4][..]));
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn pad_sequences<S: AsRef<[i32]>>(sequences: &[S], maxlen: Option<usize>) -> Result<Tensor> {
    PadSequences { maxlen, ..PadSequences::new() }.apply(sequences)
}

/// Every stretch of `window` steps of a series and the `horizon` steps after it.
///
/// A series `[time]` gives inputs `[n, window, 1]` and targets `[n, horizon]`; a series `[time, features]` gives
/// `[n, window, features]` and `[n, horizon, features]`; n = time - window - horizon + 1, float32.
/// Split a series in time before cutting windows, or the test windows overlap the training windows.
///
/// # Errors
/// For another rank, a window or horizon of zero, or a series too short for one window.
///
/// ```
/// use rhyton_data::timeseries_windows;
/// use rhyton_tensor::Tensor;
/// let (x, y) = timeseries_windows(&Tensor::vector(vec![1.0f32, 2.0, 3.0, 4.0]), 2, 1)?;
/// assert_eq!((x.shape(), y.shape()), (&[2, 2, 1][..], &[2, 1][..]));
/// assert_eq!(x.as_slice::<f32>(), Some(&[1.0, 2.0, 2.0, 3.0][..]));
/// assert_eq!(y.as_slice::<f32>(), Some(&[3.0, 4.0][..]));
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn timeseries_windows(series: &Tensor, window: usize, horizon: usize) -> Result<(Tensor, Tensor)> {
    let (n, features) = windows_of(series, window, horizon)?;
    let series = series.try_cast(DType::F32)?;
    let values = series.as_slice::<f32>().unwrap_or_default();
    let cut = |offset: usize, steps: usize| -> Result<Data> {
        let mut out = memory::room(memory::elements(&[n, steps, features])?)?;
        for i in offset..offset + n {
            out.extend_from_slice(&values[i * features..(i + steps) * features]);
        }
        Ok(Data::F32(out))
    };
    let x = Tensor::from_data([n, window, features], cut(0, window)?)?;
    let mut y_shape = vec![n, horizon];
    y_shape.extend(series.shape().get(1));
    Ok((x, Tensor::from_data(y_shape, cut(window, horizon)?)?))
}

/// How many windows a series has, and how many numbers a step.
pub(crate) fn windows_of(series: &Tensor, window: usize, horizon: usize) -> Result<(usize, usize)> {
    let fail = |what: String| Error::new(what).place("timeseries_windows");
    let (time, features) = match *series.shape() {
        [time] => (time, 1),
        [time, features] => (time, features),
        _ => {
            return Err(fail(format!("the series has shape {:?}", series.shape()))
                .expected("[time] or [time, features]"));
        }
    };
    if window == 0 || horizon == 0 {
        return Err(fail(format!("a window of {window} and a horizon of {horizon} steps"))
            .expected("at least one step each"));
    }
    let span = window.checked_add(horizon).filter(|span| *span <= time);
    let windows = span.map(|span| (time - span + 1, features));
    windows.ok_or_else(|| {
        fail(format!("a series of {time} steps is too short"))
            .expected(format!("at least {window} + {horizon} steps"))
            .fix("shorten the window or the horizon")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_matches_keras_on_every_side() {
        // keras.utils.pad_sequences([[1], [2, 3], [4, 5, 6]], ...), from its documentation.
        let s = [vec![1], vec![2, 3], vec![4, 5, 6]];
        let v = |p: PadSequences| p.apply(&s).unwrap().to_vec::<i32>();
        assert_eq!(v(PadSequences::new()), [0, 0, 1, 0, 2, 3, 4, 5, 6]);
        assert_eq!(v(PadSequences::new().value(-1)), [-1, -1, 1, -1, 2, 3, 4, 5, 6]);
        assert_eq!(v(PadSequences::new().padding(Side::Post)), [1, 0, 0, 2, 3, 0, 4, 5, 6]);
        assert_eq!(v(PadSequences::new().maxlen(2)), [0, 1, 2, 3, 5, 6]);
        assert_eq!(v(PadSequences::new().maxlen(2).truncating(Side::Post)), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn empty_and_huge_requests() {
        assert_eq!(pad_sequences::<Vec<i32>>(&[], None).unwrap().shape(), [0, 0]);
        assert_eq!(pad_sequences(&[vec![]], None).unwrap().shape(), [1, 0]);
        assert_eq!(pad_sequences(&[vec![1, 2]], Some(0)).unwrap().shape(), [1, 0]);
        assert!(pad_sequences(&[vec![1], vec![2]], Some(usize::MAX)).is_err());
    }

    #[test]
    fn windows_of_several_features_keep_their_order() {
        let series = Tensor::from_fn([5, 2], |i| i as f64);
        let (x, y) = timeseries_windows(&series, 2, 2).unwrap();
        assert_eq!((x.shape(), y.shape()), (&[2, 2, 2][..], &[2, 2, 2][..]));
        assert_eq!(x.to_vec::<i32>(), [0, 1, 2, 3, 2, 3, 4, 5]);
        assert_eq!(y.to_vec::<i32>(), [4, 5, 6, 7, 6, 7, 8, 9]);
    }

    #[test]
    fn windows_that_do_not_fit_are_errors() {
        let s = Tensor::from_fn([5], |i| i as f32);
        assert_eq!(timeseries_windows(&s, 4, 1).unwrap().0.shape(), [1, 4, 1]);
        for (window, horizon) in [(5, 1), (0, 1), (1, 0), (usize::MAX, 2)] {
            assert!(timeseries_windows(&s, window, horizon).is_err(), "{window} {horizon}");
        }
        assert!(timeseries_windows(&Tensor::scalar(1.0f32), 1, 1).is_err());
    }
}
