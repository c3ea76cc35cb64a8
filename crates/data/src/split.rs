//! Splitting samples and coding labels.

use rhyton_tensor::rng::Stream;
use rhyton_tensor::{Error, Result, Tensor, memory};

/// Shuffles the samples (first axis) of all `tensors` in the same order and splits them: `test_fraction` of the
/// samples, rounded up, become the test part, the others the training part. One `(train, test)` pair per tensor.
/// The same seed gives the same split on every machine.
///
/// # Errors
/// Without tensors, when their numbers of samples differ, or when one part would be empty.
///
/// ```
/// use rhyton_data::train_test_split;
/// use rhyton_tensor::Tensor;
/// let x = Tensor::from_fn([10, 2], |i| i as f32);
/// let y = Tensor::from_fn([10], |i| i as i32);
/// let parts = train_test_split(&[&x, &y], 0.2, 42)?;
/// let (x_train, x_test) = &parts[0];
/// let (_, y_test) = &parts[1];
/// assert_eq!((x_train.shape(), x_test.shape()), (&[8, 2][..], &[2, 2][..]));
/// assert_eq!(x_test.to_vec::<i32>()[0], 2 * y_test.to_vec::<i32>()[0]);
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn train_test_split(tensors: &[&Tensor], test_fraction: f64, seed: u64) -> Result<Vec<(Tensor, Tensor)>> {
    let fail = |what: String| Error::new(what).place("train_test_split");
    let counts: Vec<Option<usize>> = tensors.iter().map(|t| t.shape().first().copied()).collect();
    let Some(Some(n)) = counts.first().copied() else {
        return Err(fail("there is nothing to split".into()).fix("pass tensors with at least one axis"));
    };
    if counts.iter().any(|c| *c != Some(n)) {
        let shapes: Vec<&[usize]> = tensors.iter().map(|t| t.shape()).collect();
        return Err(fail(format!("the tensors have different numbers of samples: {shapes:?}"))
            .expected("the same first size everywhere"));
    }
    // An exact product such as 0.1 * 30 may come out a hair above the integer; that is no further sample.
    let n_test = (test_fraction * n as f64 - 1e-9).ceil();
    if !(n_test >= 1.0 && n_test < n as f64) {
        return Err(fail(format!("a test fraction of {test_fraction} leaves one part of {n} samples empty"))
            .expected("a fraction between 0 and 1 that leaves samples on both sides"));
    }
    let mut order: Vec<usize> = (0..n).collect();
    Stream::new(seed, 0, 0).shuffle(&mut order);
    let (test, train) = order.split_at(n_test as usize);
    tensors.iter().map(|t| Ok((t.rows(train)?, t.rows(test)?))).collect()
}

/// One-hot rows, float32 `[.., classes]`, of labels `[..]` or `[.., 1]`, as Keras' `to_categorical`. Without
/// `classes` there are as many as the largest label plus one.
///
/// # Errors
/// For a label that is negative, not whole, or not below `classes`; the first one is named.
///
/// ```
/// use rhyton_data::to_categorical;
/// use rhyton_tensor::Tensor;
/// let y = to_categorical(&Tensor::vector(vec![2i32, 0]), Some(3))?;
/// assert_eq!(y.shape(), [2, 3]);
/// assert_eq!(y.as_slice::<f32>(), Some(&[0.0, 0.0, 1.0, 1.0, 0.0, 0.0][..]));
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn to_categorical(labels: &Tensor, classes: Option<usize>) -> Result<Tensor> {
    let mut shape = labels.shape().to_vec();
    if shape.len() > 1 && shape.last() == Some(&1) {
        shape.pop();
    }
    let values: Vec<f64> = (0..labels.len()).map(|i| labels.data().get_f64(i)).collect();
    let largest = values.iter().copied().fold(-1.0, f64::max);
    let classes = classes.unwrap_or((largest + 1.0) as usize);
    if let Some((i, bad)) =
        values.iter().enumerate().find(|(_, v)| !(v.fract() == 0.0 && **v >= 0.0 && **v < classes as f64))
    {
        return Err(Error::new(format!("label {bad} of sample {i} is not a class"))
            .place("to_categorical")
            .expected(format!("whole numbers from 0 to {}", classes as i64 - 1))
            .fix("number the classes from 0, or raise the number of classes"));
    }
    let zeros = memory::elements(&[values.len(), classes]).and_then(|n| memory::filled(n, 0.0f32));
    let mut out = zeros.map_err(|e| {
        e.place(format!(
            "to_categorical: {} labels of {classes} classes; a sparse loss takes integers",
            values.len()
        ))
    })?;
    for (row, label) in out.chunks_exact_mut(classes.max(1)).zip(&values) {
        if let Some(hot) = row.get_mut(*label as usize) {
            *hot = 1.0;
        }
    }
    shape.push(classes);
    Tensor::new(shape, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_is_a_partition_kept_in_step_and_fixed_by_its_seed() {
        let x = Tensor::from_fn([100, 3], |i| i as i32);
        let y = Tensor::from_fn([100], |i| i as i32);
        let parts = train_test_split(&[&x, &y], 0.25, 7).unwrap();
        let (train, test) = (parts[1].0.to_vec::<i32>(), parts[1].1.to_vec::<i32>());
        assert_eq!((train.len(), test.len()), (75, 25));
        let mut all = [train.clone(), test].concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        let firsts: Vec<i32> = parts[0].0.to_vec::<i32>().chunks(3).map(|r| r[0] / 3).collect();
        assert_eq!(firsts, train);
        assert_eq!(train_test_split(&[&y], 0.25, 7).unwrap()[0].0.to_vec::<i32>(), train);
        assert_ne!(train_test_split(&[&y], 0.25, 8).unwrap()[0].0.to_vec::<i32>(), train);
    }

    #[test]
    fn the_test_part_is_rounded_up_but_not_by_rounding_noise() {
        let sizes =
            |n: usize, f| train_test_split(&[&Tensor::from_fn([n], |i| i as i32)], f, 0).unwrap()[0].1.len();
        assert_eq!((sizes(1797, 0.2), sizes(30, 0.1), sizes(10, 0.01)), (360, 3, 1));
    }

    #[test]
    fn splits_without_sense_are_errors() {
        let (a, b) = (Tensor::from_fn([4], |i| i as i32), Tensor::from_fn([5], |i| i as i32));
        assert!(train_test_split(&[], 0.5, 0).is_err());
        assert!(train_test_split(&[&Tensor::scalar(1i32)], 0.5, 0).is_err());
        let e = train_test_split(&[&a, &b], 0.5, 0).unwrap_err();
        assert!(e.to_string().contains("[[4], [5]]"), "{e}");
        for f in [0.0, 1.0, -1.0, 2.0, f64::NAN, f64::INFINITY] {
            assert!(train_test_split(&[&a], f, 0).is_err(), "{f}");
        }
    }

    #[test]
    fn categorical_follows_keras_and_refuses_what_is_no_class() {
        let y = to_categorical(&Tensor::new([2, 1], vec![1u8, 0]).unwrap(), None).unwrap();
        assert_eq!((y.shape(), y.to_vec::<f32>()), (&[2, 2][..], vec![0.0, 1.0, 1.0, 0.0]));
        assert_eq!(to_categorical(&Tensor::scalar(1i32), None).unwrap().shape(), [2]);
        assert_eq!(to_categorical(&Tensor::vector(Vec::<i32>::new()), None).unwrap().shape(), [0, 0]);
        assert_eq!(to_categorical(&Tensor::vector(Vec::<i32>::new()), Some(4)).unwrap().shape(), [0, 4]);
        for bad in [-1.0, 1.5, 3.0, f64::NAN] {
            let e = to_categorical(&Tensor::vector(vec![0.0, bad]), Some(3)).unwrap_err();
            assert!(e.to_string().contains("of sample 1 is not a class"), "{e}");
        }
        assert!(to_categorical(&Tensor::vector(vec![1e300, 0.0]), None).is_err());
        assert!(to_categorical(&Tensor::vector(vec![0i32, 1]), Some(usize::MAX)).is_err());
    }
}
