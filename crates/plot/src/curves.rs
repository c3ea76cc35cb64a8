//! The curves of a training run.

use crate::chart::{Chart, save_panels};
use rhyton_tensor::{Error, Result};
use std::path::Path;

/// Draws what `fit` recorded, one panel per quantity with its training and its validation curve, the loss first.
///
/// `history` pairs names with one value per epoch, as Keras' `History`: `loss`, `val_loss`, `accuracy`,
/// `val_accuracy`. A name with `val_` joins the panel of the name without. NaN values are gaps; quantities without
/// any number are left out.
///
/// # Errors
/// When there is no number at all, for a file name that does not end in `.png` or `.svg`, or when the file cannot be
/// written.
///
/// ```
/// use rhyton_plot::learning_curves;
/// let history = [
///     ("loss".to_string(), vec![0.9, 0.5, 0.3]),
///     ("val_loss".to_string(), vec![1.0, 0.7, 0.6]),
///     ("accuracy".to_string(), vec![0.6, 0.8, 0.9]),
/// ];
/// learning_curves(&history, std::env::temp_dir().join("rhyton-doc-curves.png"))?;
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn learning_curves(history: &[(String, Vec<f64>)], path: impl AsRef<Path>) -> Result<()> {
    let quantity = |name: &str| name.strip_prefix("val_").unwrap_or(name).to_string();
    let drawable: Vec<&(String, Vec<f64>)> =
        history.iter().filter(|(_, values)| values.iter().any(|v| v.is_finite())).collect();
    if drawable.is_empty() {
        return Err(Error::new("the history holds no numbers to draw")
            .place("learning_curves")
            .expected("at least one quantity with a finite value")
            .fix("draw after fit; if every value is NaN, lower the learning rate and check the data"));
    }
    let mut quantities: Vec<String> = Vec::new();
    for (name, _) in &drawable {
        if !quantities.contains(&quantity(name)) {
            quantities.push(quantity(name));
        }
    }
    quantities.sort_by_key(|q| (q != "loss", !q.ends_with("loss"), q == "learning_rate" || q == "lr"));
    let panels: Vec<Chart> = quantities
        .iter()
        .map(|q| {
            let words = q.replace('_', " ");
            let mut chart = Chart::new(&words).x_label("epoch").y_label(&words).whole_x();
            // Both are added even where one is absent, so that each keeps its colour.
            for (label, wanted) in [("training", q.clone()), ("validation", format!("val_{q}"))] {
                let found = drawable.iter().find(|(name, _)| *name == wanted);
                let values = found.map_or(&[][..], |(_, values)| values.as_slice());
                let epochs: Vec<f64> = (1..=values.len()).map(|e| e as f64).collect();
                chart = chart.line(label, &epochs, values);
            }
            chart
        })
        .collect();
    save_panels(&panels, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_without_numbers_says_so() {
        for history in
            [vec![], vec![("loss".to_string(), vec![])], vec![("loss".to_string(), vec![f64::NAN; 3])]]
        {
            let e = learning_curves(&history, "never.png").unwrap_err();
            assert!(e.to_string().contains("no numbers to draw"), "{e}");
        }
    }
}
