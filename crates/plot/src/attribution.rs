//! Signed numbers over what they are about: pixels, columns of a table, words.

use crate::file;
use crate::picture::Picture;
use kuva::render::color::Color;
use kuva::render::render::{Primitive, Scene, TextAnchor};
use rhyton_tensor::{Error, Result, Tensor};

/// What speaks for, and what against (Okabe and Ito's vermilion and blue).
const FOR: [f64; 3] = [213.0, 94.0, 0.0];
const AGAINST: [f64; 3] = [0.0, 114.0, 178.0];
/// Pixels between images.
const GAP: usize = 4;
/// Pairs of pictures in a row.
const ACROSS: usize = 4;
/// Small images are enlarged to at least this many pixels.
const SMALLEST: usize = 112;
/// A picture of more pixels is refused.
const MOST_PIXELS: usize = 1 << 26;
/// More bars or words than this are not drawn.
const MOST: usize = 4096;

/// A colour for a share between -1 and 1: white for none.
fn color(share: f64) -> [f64; 3] {
    let full = if share < 0.0 { AGAINST } else { FOR };
    full.map(|c| 255.0 + (c - 255.0) * share.abs().min(1.0))
}

fn rgb(share: f64) -> Color {
    let [r, g, b] = color(share).map(|c| c.round() as u8);
    Color::Rgb(r, g, b)
}

/// Finite numbers, over the largest of them.
fn shares(what: &str, values: &[f64]) -> Result<Vec<f64>> {
    if let Some(i) = values.iter().position(|v| !v.is_finite()) {
        return Err(Error::new(format!("number {i} is not finite")).place(what));
    }
    let most = values.iter().fold(0f64, |m, v| m.max(v.abs())).max(f64::MIN_POSITIVE);
    Ok(values.iter().map(|v| v / most).collect())
}

/// Attributions over images: each image in grey, and beside it what spoke for (vermilion) and against (blue) over its
/// outlines. `images` and `attributions` are `[n, h, w, channels]` or `[n, h, w]`; channels of attributions are
/// summed. Floats count from 0 to 1. Each image has a scale of its own.
///
/// # Errors
/// When shapes do not fit each other, a number is not finite, or the picture would be too large.
///
/// ```
/// use rhyton_plot::heat_maps;
/// use rhyton_tensor::Tensor;
/// let images = Tensor::from_fn([2, 8, 8, 1], |i| (i % 8) as f32 / 7.0);
/// let why = Tensor::from_fn([2, 8, 8, 1], |i| (i % 3) as f32 - 1.0);
/// heat_maps(&images, &why)?.save(std::env::temp_dir().join("rhyton-doc-heat.png"))?;
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn heat_maps(images: &Tensor, attributions: &Tensor) -> Result<Picture> {
    let (n, h, w) = match (images.shape(), attributions.shape()) {
        ([n, h, w, ..], [m, k, l, ..])
            if (n, h, w) == (m, k, l) && images.rank() <= 4 && attributions.rank() <= 4 =>
        {
            (*n, *h, *w)
        }
        (a, b) => {
            return Err(Error::new(format!("images of shape {a:?} and attributions of shape {b:?}"))
                .place("heat_maps")
                .expected("[n, h, w] or [n, h, w, channels], with the same n, h and w"));
        }
    };
    if n * h * w == 0 {
        return Err(Error::new("there is nothing to draw").place("heat_maps"));
    }
    let zoom = SMALLEST.div_ceil(h.max(w));
    let across = n.min(ACROSS);
    let pair = 2 * (w * zoom + GAP) + GAP;
    let (height, width) = (n.div_ceil(across) * (h * zoom + GAP) + GAP, across * pair);
    if width.saturating_mul(height) > MOST_PIXELS {
        return Err(Error::new(format!("{n} images of {h}x{w} pixels are too many for one picture"))
            .place("heat_maps"));
    }
    let per_pixel = |t: &Tensor, mean: bool| {
        let channels = t.len() / (n * h * w);
        let all: Vec<f64> = t.to_vec();
        let sum = move |c: &[f64]| c.iter().sum::<f64>() / if mean { channels as f64 } else { 1.0 };
        all.chunks(channels).map(sum).collect::<Vec<f64>>()
    };
    let scale = if images.dtype().is_float() { 1.0 } else { 255.0 };
    let grey: Vec<f64> = per_pixel(images, true).into_iter().map(|v| (v / scale).clamp(0.0, 1.0)).collect();
    let signed = per_pixel(attributions, false);
    let mut canvas = vec![255u8; width * height * 3];
    for image in 0..n {
        let of = image * h * w..(image + 1) * h * w;
        let shares = shares("heat_maps", &signed[of.clone()])?;
        let grey = &grey[of];
        for (y, x) in (0..h * zoom).flat_map(|y| (0..w * zoom).map(move |x| (y, x))) {
            let from = y / zoom * w + x / zoom;
            let row = GAP + image / across * (h * zoom + GAP) + y;
            let left = GAP + image % across * pair + x;
            let at = |side: usize| (row * width + left + side * (w * zoom + GAP)) * 3;
            let plain = (grey[from] * 255.0).round() as u8;
            canvas[at(0)..at(0) + 3].fill(plain);
            let over = color(shares[from]).map(|c| (c * (0.72 + 0.28 * (1.0 - grey[from]))).round() as u8);
            canvas[at(1)..at(1) + 3].copy_from_slice(&over);
        }
    }
    Ok(Picture::pixels(canvas, width, height))
}

/// Bars to both sides of a line, one for each name.
///
/// # Errors
/// When there are more names than numbers or the reverse, none or too many, or a number is not finite.
///
/// ```
/// let bars = rhyton_plot::signed_bars("Why", &["age", "height"], &[0.8, -0.3])?;
/// assert!(bars.svg()?.contains("height"));
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn signed_bars(title: &str, names: &[impl AsRef<str>], values: &[f64]) -> Result<Picture> {
    let shares = listed("signed_bars", names.len(), values)?;
    const ROW: f64 = 24.0;
    const HALF: f64 = 200.0;
    let longest = names.iter().map(|n| n.as_ref().chars().count().min(40)).max().unwrap_or(0);
    let left = 24.0 + 7.5 * longest as f64;
    let (width, height) = (left + 2.0 * HALF + 150.0, 56.0 + ROW * names.len() as f64);
    let mut scene = Scene::new(width, height);
    scene.elements.push(text(width / 2.0, 26.0, title, 16, TextAnchor::Middle));
    let zero = left + HALF + 64.0;
    for (i, (name, share)) in names.iter().zip(&shares).enumerate() {
        let y = 44.0 + ROW * i as f64;
        let short: String = name.as_ref().chars().take(40).collect();
        scene.elements.push(text(left, y + 15.0, &short, 13, TextAnchor::End));
        let long = share.abs() * HALF;
        scene.elements.push(block(
            if *share < 0.0 { zero - long } else { zero },
            y + 2.0,
            long,
            ROW - 6.0,
            rgb(share.signum()),
        ));
        let (at, anchor) = if *share < 0.0 {
            (zero - long - 4.0, TextAnchor::End)
        } else {
            (zero + long + 4.0, TextAnchor::Start)
        };
        scene.elements.push(text(at, y + 15.0, &format!("{:.3}", values[i]), 12, anchor));
    }
    scene.elements.push(block(zero - 0.5, 40.0, 1.0, ROW * names.len() as f64 + 4.0, Color::Rgb(90, 90, 90)));
    Ok(Picture::drawn(scene))
}

/// Words over the colour of what they had to do with it.
///
/// # Errors
/// As for [`signed_bars`].
///
/// ```
/// let words = rhyton_plot::coloured_text("Why", &["not", "bad"], &[-0.4, 0.9])?;
/// assert!(words.svg()?.contains("bad"));
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn coloured_text(title: &str, words: &[impl AsRef<str>], values: &[f64]) -> Result<Picture> {
    let shares = listed("coloured_text", words.len(), values)?;
    const LINE: f64 = 28.0;
    const WIDTH: f64 = 760.0;
    let (mut x, mut y, mut placed) = (20.0, 48.0, vec![]);
    for (word, share) in words.iter().zip(&shares) {
        let word: String = word.as_ref().chars().take(60).collect();
        let wide = 10.0 + 8.4 * word.chars().count() as f64;
        if x + wide > WIDTH - 20.0 && x > 20.0 {
            (x, y) = (20.0, y + LINE);
        }
        placed.push(block(x, y, wide, LINE - 5.0, rgb(*share * 0.8)));
        placed.push(text(x + wide / 2.0, y + 16.0, &word, 14, TextAnchor::Middle));
        x += wide + 3.0;
    }
    let mut scene = Scene::new(WIDTH, y + LINE + 16.0);
    scene.elements.push(text(WIDTH / 2.0, 26.0, title, 16, TextAnchor::Middle));
    scene.elements.extend(placed);
    Ok(Picture::drawn(scene))
}

fn listed(what: &str, names: usize, values: &[f64]) -> Result<Vec<f64>> {
    if names != values.len() || names == 0 || names > MOST {
        return Err(Error::new(format!("{names} names and {} numbers", values.len()))
            .place(what)
            .expected(format!("as many of one as of the other, from 1 to {MOST}")));
    }
    shares(what, values)
}

fn text(x: f64, y: f64, content: &str, size: u32, anchor: TextAnchor) -> Primitive {
    Primitive::Text {
        x,
        y,
        content: file::plain(content),
        size,
        anchor,
        rotate: None,
        bold: false,
        color: None,
    }
}

fn block(x: f64, y: f64, width: f64, height: f64, fill: Color) -> Primitive {
    Primitive::Rect { x, y, width, height, fill, stroke: None, stroke_width: None, opacity: None }
}
