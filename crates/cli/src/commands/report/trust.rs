//! Why a model answers so, and how far that holds.

use super::page::{note, paragraph, picture, table};
use super::quality::{Classes, percent};
use crate::data::Data;
use crate::pictures::{MOST_IMAGES, explained};
use rhyton::explain::methods::{DeepLift, IntegratedGradients, Saliency};
use rhyton::explain::{Explainer, Explanation, Method, Target};
use rhyton::model::Model;
use rhyton::plot::Chart;
use rhyton::robust::attacks::{Fgsm, PgdLinf};
use rhyton::robust::bounds::{Crown, Ibp};
use rhyton::robust::{AttackRef, Attacker, Certifier};
use rhyton::{Result, Tensor};

fn methods() -> [Method; 3] {
    [IntegratedGradients::default().steps(64).into(), DeepLift::default().into(), Saliency::default().into()]
}

/// Explanations of the worst mistakes or, where there are none, of the first samples.
pub fn explanations(model: &Model, inputs: &[Tensor], judged: &Classes) -> Result<String> {
    let mut rows: Vec<usize> = judged.worst().into_iter().take(MOST_IMAGES).collect();
    let what = match rows.is_empty() {
        true => "the first samples",
        false => "the mistakes it was surest of, and what spoke for the wrong class",
    };
    if rows.is_empty() {
        rows = (0..MOST_IMAGES.min(judged.labels.len())).collect();
    }
    let text = format!("Of {what}: vermilion spoke for the answer, blue against it. Baselines are zeros.");
    Ok(paragraph(&text) + &all_methods(model, inputs, &rows, Target::Predicted)?)
}

/// Explanations of the first samples' numbers.
pub fn explanations_of_numbers(model: &Model, inputs: &[Tensor]) -> Result<String> {
    let rows: Vec<usize> = (0..MOST_IMAGES.min(inputs.first().map_or(0, |x| x.shape()[0]))).collect();
    let text = "Of the first samples: vermilion made the number larger, blue smaller. Baselines are zeros.";
    Ok(paragraph(text) + &all_methods(model, inputs, &rows, Target::Predicted)?)
}

fn all_methods(model: &Model, inputs: &[Tensor], rows: &[usize], target: Target) -> Result<String> {
    let chosen = inputs.iter().map(|x| x.rows(rows)).collect::<Result<Vec<Tensor>>>()?;
    let explainer = Explainer::new(model).target(target);
    let (mut drawn, mut checks) = (String::new(), vec![]);
    for method in methods() {
        let name = method.get()?.class_name();
        match explainer.explain(method, &chosen, None) {
            Ok(why) => {
                drawn.push_str(&format!("<h3>{name}</h3>\n"));
                drawn.push_str(&picture(
                    &explained(&chosen[0], &why, None)?,
                    &format!("attributions by {name}"),
                )?);
                checks.extend(checked(&why));
            }
            Err(e) => drawn.push_str(&note(&format!("{name}: {e}"))),
        }
    }
    Ok(drawn + &table(&["method", "property", "off by", "allowed", "holds"], &checks))
}

/// The checks of an explanation, as rows.
fn checked(why: &Explanation) -> Vec<Vec<String>> {
    let row = |c: &rhyton::explain::Check| {
        let holds = if c.is_met() { "yes" } else { "no" };
        vec![
            why.method.clone(),
            c.name.into(),
            format!("{:.1e}", c.residual()),
            format!("{:.0e}", c.tolerance),
            holds.into(),
        ]
    };
    match why.checks.is_empty() {
        true => vec![vec![why.method.clone(), "none".into(), "-".into(), "-".into(), "-".into()]],
        false => why.checks.iter().map(row).collect(),
    }
}

/// The first samples and their labels.
fn first(data: &Data, samples: usize) -> Result<(Vec<Tensor>, Tensor)> {
    let n = samples.max(1).min(data.inputs[0].shape()[0]);
    let cut = |t: &Tensor| t.slice_rows(0..n);
    Ok((data.inputs.iter().map(cut).collect::<Result<_>>()?, cut(&data.targets[0])?))
}

/// Accuracy against the strength of attacks.
pub fn attacked(
    model: &Model,
    data: &Data,
    (low, high): (f32, f32),
    samples: usize,
    seed: u32,
) -> Result<String> {
    let (x, labels) = first(data, samples)?;
    let width = f64::from(high - low);
    let sizes: Vec<f64> = [0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3].iter().map(|s| s * width).collect();
    let attacker = Attacker::new(model).bounds(low, high).seed(seed);
    let curve = |attack: &dyn Fn(f64) -> AttackRef| -> Result<Vec<f64>> {
        let each = |eps: &f64| Ok(attacker.attack(attack(*eps), &x, &labels)?.robust_accuracy());
        sizes.iter().map(each).collect()
    };
    let one_step = curve(&|eps| Fgsm::default().eps(eps).into())?;
    let many = curve(&|eps| PgdLinf::default().eps(eps).step_size((eps / 8.0).max(1e-9)).steps(20).into())?;
    let chart = Chart::new("Accuracy under attack")
        .x_label("largest change of a value")
        .y_label("share that stays right");
    let chart =
        chart.line("one step (FGSM)", &sizes, &one_step).line("20 steps (PGD)", &sizes, &many).picture()?;
    let row = |i: usize| vec![format!("{:.3}", sizes[i]), percent(one_step[i]), percent(many[i])];
    let rows: Vec<Vec<String>> = (0..sizes.len()).map(row).collect();
    let mut found = paragraph(&format!(
        "Of the first {} samples, with values between {low} and {high}. A stronger attack could find more.",
        x[0].shape()[0]
    ));
    if one_step.iter().zip(&many).any(|(one, many)| one + 0.02 < *many) {
        found += &note(
            "One step finds more than twenty: the gradients of this model mislead attacks, and its accuracy under attack is not to be believed.",
        );
    }
    Ok(found
        + &picture(&chart, "accuracy against strength of attack")?
        + &table(&["change", "FGSM", "PGD"], &rows))
}

/// Certified accuracy against the size of changes.
pub fn certified(model: &Model, data: &Data, (low, high): (f32, f32), samples: usize) -> Result<String> {
    let (x, labels) = first(data, samples.min(64))?;
    let width = f64::from(high - low);
    let sizes: Vec<f64> =
        [0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1].iter().map(|s| s * width).collect();
    let certifier = Certifier::new(model).bounds(low, high);
    let share = |method: &str, eps: f64| -> Result<f64> {
        let found = match method {
            "IBP" => certifier.certify(Ibp::default(), &x, Some(&labels), eps)?,
            _ => certifier.certify(Crown::default(), &x, Some(&labels), eps)?,
        };
        Ok(found.accuracy().unwrap_or(0.0))
    };
    // Every hidden value is bounded by a walk of its own: of convolutions there are too many for a report.
    let small = x[0].len() / x[0].shape()[0].max(1) <= 256;
    let (mut chart, mut columns, mut notes) = (Chart::new("Certified accuracy"), vec![], String::new());
    for method in if small { &["IBP", "CROWN"][..] } else { &["IBP"] } {
        match sizes.iter().map(|eps| share(method, *eps)).collect::<Result<Vec<f64>>>() {
            Ok(shares) => {
                chart = chart.line(*method, &sizes, &shares);
                columns.push((*method, shares));
            }
            Err(e) => notes += &note(&format!("{method}: {e}")),
        }
    }
    if columns.is_empty() {
        return Ok(notes);
    }
    let text = format!(
        "The share of the first {} samples for which it is proven that no change up to this size makes the answer wrong.",
        x[0].shape()[0]
    );
    let chart = chart.x_label("largest change of a value").y_label("share that is certain").picture()?;
    let head: Vec<&str> = std::iter::once("change").chain(columns.iter().map(|(m, _)| *m)).collect();
    let row = |i: usize| {
        std::iter::once(format!("{:.4}", sizes[i]))
            .chain(columns.iter().map(|(_, s)| percent(s[i])))
            .collect()
    };
    let rows: Vec<Vec<String>> = (0..sizes.len()).map(row).collect();
    Ok(paragraph(&text)
        + &notes
        + &picture(&chart, "certified accuracy against size of change")?
        + &table(&head, &rows))
}
