//! Small regression sets, part of the program.

use super::Split;
use crate::{Csv, Frame, Standardize, split};
use rhyton_tensor::{Error, Result, Tensor};

static DIABETES_DATA: &[u8] = include_bytes!("../../assets/diabetes_data_raw.csv.gz");
static DIABETES_TARGET: &[u8] = include_bytes!("../../assets/diabetes_target.csv.gz");
static AIRLINE: &[u8] = include_bytes!("../../assets/airline-passengers.csv");

/// The features of [`diabetes`]: age in years, sex, body mass index, mean blood pressure, and six blood serum
/// measurements.
pub const DIABETES_FEATURES: [&str; 10] = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"];

/// The progression of diabetes of 442 patients: features float32 `[n, 10]`, standardised with the statistics of the
/// training part; target float32 `[n, 1]` of 25 to 346, larger is worse; 353 to train, 89 to test, always the same.
///
/// Efron, Hastie, Johnstone, Tibshirani: "Least Angle Regression", Annals of Statistics, 2004.
///
/// # Errors
/// None in practice: the data is part of the program.
///
/// ```
/// let ((x_train, y_train), (x_test, y_test)) = rhyton_data::datasets::diabetes()?;
/// assert_eq!((x_train.shape(), y_train.shape()), (&[353, 10][..], &[353, 1][..]));
/// assert_eq!((x_test.shape(), y_test.shape()), (&[89, 10][..], &[89, 1][..]));
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn diabetes() -> Result<Split> {
    let spaced = Csv::new().header(false).delimiter(b' ');
    let x = spaced.parse("the built-in diabetes data", DIABETES_DATA)?.to_tensor()?;
    let y = spaced.parse("the built-in diabetes target", DIABETES_TARGET)?.to_tensor()?;
    let parts = split::train_test_split(&[&x, &y], 0.2, 42)?;
    let [(x_train, x_test), (y_train, y_test)] =
        <[_; 2]>::try_from(parts).map_err(|_| Error::new("a split has lost a part"))?;
    let scale = Standardize::fit(&x_train)?;
    Ok(((scale.apply(&x_train)?, y_train), (scale.apply(&x_test)?, y_test)))
}

/// Monthly totals of international airline passengers in thousands, January 1949 to December 1960: float32 `[144]`.
///
/// Box and Jenkins: "Time Series Analysis", 1976, series G.
///
/// # Errors
/// None in practice: the data is part of the program.
///
/// ```
/// use rhyton_data::{Standardize, datasets, timeseries_windows};
/// let series = datasets::airline_passengers()?;
/// // Split in time first, learn the scale from the past only, then cut windows of a year.
/// let (past, future) = (series.slice_rows(0..108)?, series.slice_rows(96..144)?);
/// let scale = Standardize::fit(&past)?;
/// let (x_train, y_train) = timeseries_windows(&scale.apply(&past)?, 12, 1)?;
/// let (x_test, y_test) = timeseries_windows(&scale.apply(&future)?, 12, 1)?;
/// assert_eq!((x_train.shape(), y_train.shape()), (&[96, 12, 1][..], &[96, 1][..]));
/// assert_eq!((x_test.shape(), y_test.shape()), (&[36, 12, 1][..], &[36, 1][..]));
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn airline_passengers() -> Result<Tensor> {
    let passengers =
        Frame::from_csv_bytes("the built-in airline passengers", AIRLINE)?.select(&["Passengers"])?;
    passengers.to_tensor()?.reshape([passengers.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diabetes_is_standardised_by_its_training_part() {
        let ((x_train, y_train), (x_test, y_test)) = diabetes().unwrap();
        let stats = Standardize::fit(&x_train).unwrap();
        assert!(stats.mean().iter().all(|m| m.abs() < 1e-5), "{:?}", stats.mean());
        assert!(stats.std().iter().all(|s| (s - 1.0).abs() < 1e-5));
        assert!(Standardize::fit(&x_test).unwrap().mean().iter().any(|m| m.abs() > 0.01));
        // sklearn.datasets.load_diabetes().target: sum 67243, from 25 to 346.
        let y = [y_train.to_vec::<f64>(), y_test.to_vec::<f64>()].concat();
        assert_eq!((y.len(), y.iter().sum::<f64>()), (442, 67_243.0));
        let range = y.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
        assert_eq!(range, (25.0, 346.0));
    }

    #[test]
    fn the_airline_series_starts_and_ends_as_published() {
        let v = airline_passengers().unwrap().to_vec::<f32>();
        assert_eq!((v.len(), &v[..3], v[143]), (144, &[112.0, 118.0, 132.0][..], 432.0));
    }
}
