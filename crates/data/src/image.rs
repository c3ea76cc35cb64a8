//! The two image operations that data sets need on the host: resizing and rescaling.

use rhyton_tensor::{DType, Error, Result, Tensor, memory};

/// Resizes float32 images `[h, w]` or `[n, h, w, channels]` to `height` x `width` by bilinear interpolation with
/// half-pixel centres, as Keras' `Resizing` layer does: output pixel `i` samples the input at
/// `(i + 0.5) * in / out - 0.5`, clamped to the image. No smoothing before a reduction.
///
/// # Errors
/// For another type or rank, an empty image or a size of zero.
///
/// ```
/// use rhyton_data::resize_bilinear;
/// use rhyton_tensor::Tensor;
/// let x = Tensor::new([1, 2], vec![0.0f32, 4.0])?;
/// assert_eq!(resize_bilinear(&x, 1, 4)?.as_slice::<f32>(), Some(&[0.0, 1.0, 3.0, 4.0][..]));
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn resize_bilinear(images: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    let fail = |what: String| {
        Error::new(what)
            .place("resize_bilinear")
            .expected("float32 images of shape [h, w] or [n, h, w, channels]")
    };
    let Some(pixels) = images.as_slice::<f32>() else {
        let e = fail(format!("the images are {}", images.dtype()));
        return Err(e.fix("convert them first, for example with rescale(&images, 1.0 / 255.0, 0.0)?"));
    };
    let (n, h, w, channels, out_shape) = match *images.shape() {
        [h, w] => (1, h, w, 1, vec![height, width]),
        [n, h, w, c] => (n, h, w, c, vec![n, height, width, c]),
        _ => return Err(fail(format!("the images have shape {:?}", images.shape()))),
    };
    if h == 0 || w == 0 || height == 0 || width == 0 {
        return Err(fail(format!("cannot resize {h}x{w} pixels to {height}x{width}")));
    }
    let (ys, xs) = (taps(h, height), taps(w, width));
    let mut out = memory::room(memory::elements(&[n, height, width, channels])?)?;
    for image in 0..n {
        for y in &ys {
            let row = |r: usize| (image * h + r) * w * channels;
            for x in &xs {
                for c in 0..channels {
                    let at = |r: usize, column: usize| pixels[row(r) + column * channels + c];
                    let top = mix(at(y.low, x.low), at(y.low, x.high), x.weight);
                    let bottom = mix(at(y.high, x.low), at(y.high, x.high), x.weight);
                    out.push(mix(top, bottom, y.weight));
                }
            }
        }
    }
    Tensor::new(out_shape, out)
}

/// The two input pixels that an output pixel lies between, and how near it is to the second.
struct Tap {
    low: usize,
    high: usize,
    weight: f32,
}

fn taps(input: usize, output: usize) -> Vec<Tap> {
    let ratio = input as f64 / output as f64;
    let last = (input - 1) as f64;
    (0..output)
        .map(|i| {
            let at = ((i as f64 + 0.5) * ratio - 0.5).clamp(0.0, last);
            let low = at.floor();
            let high = (low as usize + 1).min(input - 1);
            Tap { low: low as usize, high, weight: (at - low) as f32 }
        })
        .collect()
}

fn mix(a: f32, b: f32, weight: f32) -> f32 {
    a + (b - a) * weight
}

/// `x * scale + offset` in float32, as Keras' `Rescaling` layer: turns bytes of 0..255 into numbers of 0..1.
///
/// ```
/// use rhyton_tensor::Tensor;
/// let x = rhyton_data::rescale(&Tensor::vector(vec![0u8, 255]), 1.0 / 255.0, 0.0)?;
/// assert_eq!(x.as_slice::<f32>(), Some(&[0.0, 1.0][..]));
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
///
/// # Errors
/// When there is no memory for the result.
pub fn rescale(x: &Tensor, scale: f32, offset: f32) -> Result<Tensor> {
    let mut out = x.try_cast(DType::F32)?;
    out.unshare()?;
    if let Some(values) = out.as_slice_mut::<f32>() {
        values.iter_mut().for_each(|v| *v = *v * scale + offset);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubling_two_by_two_has_the_known_answer() {
        // tf.image.resize([[1, 2], [3, 4]], [4, 4], "bilinear")
        let x = Tensor::new([2, 2], vec![1.0f32, 2.0, 3.0, 4.0]).unwrap();
        let y = resize_bilinear(&x, 4, 4).unwrap();
        #[rustfmt::skip]
        let expected = vec![
            1.0, 1.25, 1.75, 2.0,
            1.5, 1.75, 2.25, 2.5,
            2.5, 2.75, 3.25, 3.5,
            3.0, 3.25, 3.75, 4.0f32,
        ];
        assert_eq!(y.to_vec::<f32>(), expected);
    }

    #[test]
    fn a_ramp_keeps_its_slope_away_from_the_borders() {
        let x = Tensor::from_fn([1, 8, 1, 2], |i| (i / 2) as f32 * if i % 2 == 0 { 1.0 } else { -2.0 });
        let y = resize_bilinear(&x, 28, 3).unwrap();
        assert_eq!(y.shape(), [1, 28, 3, 2]);
        let v = y.to_vec::<f32>();
        for i in 4..24 {
            let want = (i as f32 + 0.5) * 8.0 / 28.0 - 0.5;
            assert!((v[i * 6] - want).abs() < 1e-5 && (v[i * 6 + 1] + 2.0 * want).abs() < 1e-5, "{i}");
        }
    }

    #[test]
    fn the_same_size_changes_nothing_and_bad_input_is_told() {
        let x = Tensor::from_fn([2, 3, 5, 2], |i| (i as f32).sin());
        assert!(resize_bilinear(&x, 3, 5).unwrap().same_bits(&x));
        assert!(resize_bilinear(&x, 0, 5).is_err());
        assert!(resize_bilinear(&Tensor::zeros(DType::F32, [0, 4]), 3, 3).is_err());
        assert!(resize_bilinear(&Tensor::zeros(DType::U8, [4, 4]), 3, 3).is_err());
        assert!(resize_bilinear(&Tensor::zeros(DType::F32, [4, 4, 1]), 3, 3).is_err());
    }
}
