//! Many small images in one picture.

use crate::file::{self, Format};
use crate::picture::Picture;
use rhyton_tensor::{DType, Error, Result, Tensor};
use std::path::Path;

/// Pixels between images.
const GAP: usize = 4;
/// Small images are enlarged to at least this many pixels.
const SMALLEST: usize = 96;
/// A picture of more pixels is refused.
const MOST_PIXELS: usize = 1 << 26;

/// Writes images `[n, h, w]`, `[n, h, w, 1]` (grey) or `[n, h, w, 3]` (colour) side by side, `columns` in a row, as a
/// PNG. Integers count from 0 to 255, floats from 0 to 1; values outside are clamped. Small images are enlarged
/// without smoothing.
///
/// # Errors
/// For another shape, no images, a NaN, a picture of more than 64 million pixels, a name that does not end in
/// `.png`, or when the file cannot be written.
///
/// ```
/// use rhyton_plot::image_grid;
/// use rhyton_tensor::Tensor;
/// let images = Tensor::from_fn([6, 8, 8], |i| (i % 8) as f32 / 7.0);
/// image_grid(&images, 3, std::env::temp_dir().join("rhyton-doc-grid.png"))?;
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn image_grid(images: &Tensor, columns: usize, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    if file::format(path)? != Format::Png {
        return Err(Error::new(format!("{} is not a PNG", path.display()))
            .place("image_grid")
            .expected("a name that ends in .png"));
    }
    image_picture(images, columns)?.save(path)
}

/// What [`image_grid`] draws, as a picture.
///
/// # Errors
/// As for [`image_grid`], but for files.
pub fn image_picture(images: &Tensor, columns: usize) -> Result<Picture> {
    let fail = |what: String| Error::new(what).place("image_grid");
    let (n, h, w, channels) = match *images.shape() {
        [n, h, w] => (n, h, w, 1),
        [n, h, w, c @ (1 | 3)] => (n, h, w, c),
        _ => {
            return Err(fail(format!("the images have shape {:?}", images.shape()))
                .expected("[n, h, w], [n, h, w, 1] or [n, h, w, 3]"));
        }
    };
    if n == 0 || h == 0 || w == 0 || columns == 0 {
        return Err(fail(format!("{n} images of {h}x{w} pixels in {columns} columns are nothing to draw")));
    }
    let pixels = bytes(images)?;
    let columns = columns.min(n);
    let zoom = SMALLEST.div_ceil(h.max(w));
    let size = |count: usize, pixels: usize| {
        pixels.checked_mul(zoom)?.checked_add(GAP)?.checked_mul(count)?.checked_add(GAP)
    };
    let (width, height) = match (size(columns, w), size(n.div_ceil(columns), h)) {
        (Some(width), Some(height)) if width.checked_mul(height).is_some_and(|p| p <= MOST_PIXELS) => {
            (width, height)
        }
        _ => return Err(fail(format!("{n} images of {h}x{w} pixels are too many for one picture"))),
    };
    let mut canvas = vec![255u8; width * height * 3];
    for image in 0..n {
        let (top, left) =
            (GAP + image / columns * (h * zoom + GAP), GAP + image % columns * (w * zoom + GAP));
        for y in 0..h * zoom {
            for x in 0..w * zoom {
                let from = ((image * h + y / zoom) * w + x / zoom) * channels;
                let to = ((top + y) * width + left + x) * 3;
                for c in 0..3 {
                    canvas[to + c] = pixels[from + c.min(channels - 1)];
                }
            }
        }
    }
    Ok(Picture::pixels(canvas, width, height))
}

fn bytes(images: &Tensor) -> Result<Vec<u8>> {
    if images.dtype() == DType::U8 {
        return Ok(images.to_vec());
    }
    let scale = if images.dtype().is_float() { 255.0 } else { 1.0 };
    let values: Vec<f64> = images.to_vec();
    if let Some(i) = values.iter().position(|v| v.is_nan()) {
        let per_image = images.len() / images.shape().first().copied().unwrap_or(1).max(1);
        return Err(Error::new(format!("image {} holds NaN", i / per_image.max(1))).place("image_grid"));
    }
    Ok(values.into_iter().map(|v| (v * scale).round().clamp(0.0, 255.0) as u8).collect())
}

pub(crate) fn encode(canvas: &[u8], width: usize, height: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder
        .write_header()
        .and_then(|mut w| w.write_image_data(canvas))
        .map_err(|e| Error::new(format!("cannot write the PNG: {e}")).place("pixels"))?;
    Ok(out)
}
