//! Handwritten digits of 8x8 pixels, part of the program.

use super::Split;
use crate::{Csv, image, split};
use rhyton_tensor::{DType, Error, Result, Tensor};

static FILE: &[u8] = include_bytes!("../../assets/digits.csv.gz");

/// The split must never change: published scores are for it.
const SPLIT_SEED: u64 = 42;

/// 1,797 handwritten digits: images float32 `[n, 8, 8, 1]` in 0..1, labels int32 `[n]` of 0..9; 1,437 to train and
/// 360 to test, always the same ones. Part of the program, no file is read.
///
/// The images count the ink in 4x4 blocks of 32x32 bitmaps. Source: UCI, "Optical Recognition of Handwritten
/// Digits", as packaged by scikit-learn; see `assets/README.md`.
///
/// # Errors
/// None in practice: the data is part of the program.
///
/// ```
/// let ((x_train, y_train), (x_test, _)) = rhyton_data::datasets::digits()?;
/// assert_eq!(x_train.shape(), [1437, 8, 8, 1]);
/// assert_eq!(x_test.shape(), [360, 8, 8, 1]);
/// assert_eq!(y_train.dtype(), rhyton_tensor::DType::I32);
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn digits() -> Result<Split> {
    let (images, labels) = load()?;
    shuffled(&images, &labels)
}

/// [`digits`] enlarged to 28x28 by bilinear interpolation ([`crate::resize_bilinear`]), so that models for MNIST take
/// them: images float32 `[n, 28, 28, 1]` in 0..1, labels int32 `[n]`.
///
/// # Errors
/// None in practice: the data is part of the program.
///
/// ```
/// let ((x_train, _), (x_test, y_test)) = rhyton_data::datasets::digits_28x28()?;
/// assert_eq!(x_train.shape(), [1437, 28, 28, 1]);
/// assert_eq!((x_test.shape(), y_test.shape()), (&[360, 28, 28, 1][..], &[360][..]));
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn digits_28x28() -> Result<Split> {
    let (images, labels) = load()?;
    shuffled(&image::resize_bilinear(&images, 28, 28)?, &labels)
}

fn load() -> Result<(Tensor, Tensor)> {
    let table = Csv::new().header(false).parse("the built-in digits", FILE)?;
    let pixels = table.drop_columns(&["64"])?.to_tensor()?;
    let n = pixels.shape().first().copied().unwrap_or(0);
    let images = image::rescale(&pixels, 1.0 / 16.0, 0.0)?.reshape([n, 8, 8, 1])?;
    let labels = table.select(&["64"])?.to_tensor()?.cast(DType::I32).reshape([n])?;
    Ok((images, labels))
}

fn shuffled(x: &Tensor, y: &Tensor) -> Result<Split> {
    let parts = split::train_test_split(&[x, y], 0.2, SPLIT_SEED)?;
    let [(x_train, x_test), (y_train, y_test)] =
        <[_; 2]>::try_from(parts).map_err(|_| Error::new("a split has lost a part"))?;
    Ok(((x_train, y_train), (x_test, y_test)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_are_those_of_scikit_learn() {
        let (x, y) = load().unwrap();
        assert_eq!(x.shape(), [1797, 8, 8, 1]);
        let v = x.to_vec::<f32>();
        // sklearn.datasets.load_digits(): images[0][0], data.sum(), bincount(target).
        assert_eq!(
            v[..8].iter().map(|p| p * 16.0).collect::<Vec<_>>(),
            [0.0, 0.0, 5.0, 13.0, 9.0, 1.0, 0.0, 0.0]
        );
        assert_eq!(v.iter().map(|p| f64::from(*p) * 16.0).sum::<f64>(), 561_718.0);
        let labels = y.to_vec::<i32>();
        let count = |c| labels.iter().filter(|l| **l == c).count();
        assert_eq!(
            (0..10).map(count).collect::<Vec<_>>(),
            [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
        );
    }

    #[test]
    fn the_split_is_fixed_and_has_every_class() {
        let ((_, y_train), (x_test, y_test)) = digits_28x28().unwrap();
        let test = y_test.to_vec::<i32>();
        assert!((0..10).all(|c| test.iter().filter(|l| **l == c).count() >= 20), "{test:?}");
        assert_eq!(y_train.len() + test.len(), 1797);
        let pixels = x_test.to_vec::<f32>();
        assert!(pixels.iter().all(|p| (0.0..=1.0).contains(p)));
        let again = digits().unwrap();
        assert!(again.1.1.same_bits(&y_test));
        assert_eq!(test[..12], FIRST_TEST_LABELS);
    }

    /// Recorded once: a change of the shuffle would silently make scores incomparable.
    const FIRST_TEST_LABELS: [i32; 12] = [7, 9, 9, 9, 6, 2, 7, 9, 2, 4, 5, 2];
}
