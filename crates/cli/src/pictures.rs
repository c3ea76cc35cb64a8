//! Attributions as pictures, by what they are about.

use rhyton::explain::Explanation;
use rhyton::plot::{Picture, coloured_text, heat_maps, signed_bars};
use rhyton::{Error, Result, Tensor};

/// Samples in one picture of images.
pub const MOST_IMAGES: usize = 8;
/// Bars in one picture: of the numbers that matter most.
const MOST_BARS: usize = 24;

/// Whether samples of these sizes are images.
pub fn are_images(sample: &[usize]) -> bool {
    matches!(sample, [h, w] | [h, w, 1 | 3] if *h > 4 && *w > 4)
}

/// What speaks for and against the score of the first sample or, of images, of the first few.
pub fn explained(x: &Tensor, why: &Explanation, words: Option<&[String]>) -> Result<Picture> {
    let Some(first) = why.attributions.first() else { return Err(Error::new("there is nothing to draw")) };
    let sample = &x.shape()[1..];
    if are_images(sample) && first.rank() >= 3 {
        let n = MOST_IMAGES.min(first.shape()[0]);
        let shown = enlarged(&first.slice_rows(0..n)?, sample)?;
        return heat_maps(&x.slice_rows(0..n)?, &shown);
    }
    let values = first.slice_rows(0..1)?.to_vec::<f64>();
    let title =
        format!("{}: what the first score of {:.3} is made of", why.method, why.scores.to_vec::<f32>()[0]);
    if !x.dtype().is_float() || words.is_some() && values.len() == x.len() / x.shape()[0].max(1) {
        let tokens = x.slice_rows(0..1)?.to_vec::<i64>();
        let word = |t: &i64| {
            let known = usize::try_from(*t).ok().and_then(|t| words?.get(t));
            known.cloned().unwrap_or_else(|| t.to_string())
        };
        return coloured_text(&title, &tokens.iter().map(word).collect::<Vec<_>>(), &values);
    }
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].abs().total_cmp(&values[*a].abs()));
    order.truncate(MOST_BARS);
    order.sort_unstable();
    let name = |i: &usize| match words.and_then(|w| w.get(*i)) {
        Some(word) => word.clone(),
        None => position(*i, &first.shape()[1..]),
    };
    signed_bars(
        &title,
        &order.iter().map(name).collect::<Vec<_>>(),
        &order.iter().map(|i| values[*i]).collect::<Vec<_>>(),
    )
}

/// `3` or `3, 0`.
fn position(mut flat: usize, sizes: &[usize]) -> String {
    let mut at = vec![];
    for n in sizes.iter().rev() {
        at.push((flat % n).to_string());
        flat /= n;
    }
    at.reverse();
    at.join(", ")
}

/// A map of a layer in the sizes of its image, without smoothing.
fn enlarged(map: &Tensor, sample: &[usize]) -> Result<Tensor> {
    let (n, h, w) = (map.shape()[0], map.shape()[1], map.shape()[2]);
    if (h, w) == (sample[0], sample[1]) {
        return Ok(map.clone());
    }
    let (values, channels) = (map.to_vec::<f32>(), map.len() / (n * h * w).max(1));
    let at = |i: usize| {
        let (x, y, image) = (i % sample[1], i / sample[1] % sample[0], i / (sample[0] * sample[1]));
        let from = (image * h + y * h / sample[0]) * w + x * w / sample[1];
        values[from * channels..(from + 1) * channels].iter().sum::<f32>()
    };
    Tensor::try_from_fn([n, sample[0], sample[1], 1], at)
}
