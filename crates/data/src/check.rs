//! Finding values that no training survives.

use rhyton_tensor::{Error, Result, Tensor};

/// Checks that no element is NaN or infinite; integer and boolean tensors always pass.
///
/// # Errors
/// Names the first bad element by row (index along the first axis) and column, and counts them all.
///
/// ```
/// use rhyton_data::check_finite;
/// use rhyton_tensor::Tensor;
/// let x = Tensor::new([2, 2], vec![1.0f32, 2.0, 3.0, f32::NAN])?;
/// let e = check_finite("x_train", &x).unwrap_err();
/// assert!(e.to_string().starts_with("x_train holds NaN at row 1, column 1"));
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn check_finite(name: &str, x: &Tensor) -> Result<()> {
    if !x.dtype().is_float() {
        return Ok(());
    }
    let bad = |i: &usize| !x.data().get_f64(*i).is_finite();
    let Some(first) = (0..x.len()).find(bad) else { return Ok(()) };
    let value = x.data().get_f64(first);
    let value = if value.is_nan() { "NaN".to_string() } else { format!("{value}") };
    let count = (first..x.len()).filter(bad).count();
    Err(Error::new(format!(
        "{name} holds {value} at {} ({count} of {} values are not finite)",
        position(first, x.shape()),
        x.len()
    ))
    .expected("finite numbers only: one NaN turns every weight into NaN within a step")
    .fix("fill or drop these rows, for example with Frame::drop_missing"))
}

/// `flat` as indices of `shape`, in words for the usual ranks.
fn position(flat: usize, shape: &[usize]) -> String {
    let mut rest = flat;
    let mut index = vec![0; shape.len()];
    for (slot, size) in index.iter_mut().zip(shape).rev() {
        *slot = rest % (*size).max(1);
        rest /= (*size).max(1);
    }
    match index.as_slice() {
        [] => "its only element".into(),
        [row] => format!("row {row}"),
        [row, column] => format!("row {row}, column {column}"),
        [row, others @ ..] => format!("row {row}, index {others:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bad_element_is_named_at_every_rank() {
        let place = |shape: &[usize], at: usize| {
            let mut v = vec![0.0f64; shape.iter().product()];
            v[at] = f64::INFINITY;
            check_finite("x", &Tensor::new(shape, v).unwrap()).unwrap_err().to_string()
        };
        assert!(place(&[], 0).starts_with("x holds inf at its only element (1 of 1"));
        assert!(place(&[4], 3).starts_with("x holds inf at row 3 "));
        assert!(place(&[2, 3], 4).starts_with("x holds inf at row 1, column 1 "));
        assert!(place(&[2, 3, 4], 23).starts_with("x holds inf at row 1, index [2, 3] "));
    }

    #[test]
    fn integers_and_clean_floats_pass() {
        check_finite("x", &Tensor::vector(vec![i32::MAX])).unwrap();
        check_finite("x", &Tensor::vector(vec![f32::MAX])).unwrap();
        check_finite("x", &Tensor::vector(Vec::<f32>::new())).unwrap();
    }
}
