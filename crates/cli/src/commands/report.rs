//! `rhyton report`: how good a model is, why it answers so, and how far it can be trusted, on one page.

mod page;
mod quality;
mod trust;

use crate::commands::attack::bounds;
use crate::data::Data;
use crate::output::say;
use page::Page;
use quality::Judged;
use rhyton::{Error, Result, Tensor, io};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Arguments {
    /// The model, a .keras file
    model: PathBuf,
    /// Inputs x0, x1, .. and targets y0 that the model has not learned from, in an .npz file; - reads standard input
    #[arg(long)]
    data: PathBuf,
    /// The page
    #[arg(long, default_value = "report.html")]
    html: PathBuf,
    /// Names of the classes: a file with one a line
    #[arg(long)]
    classes: Option<PathBuf>,
    /// Least and largest value of an input [default: 0,1 or, where the data goes beyond, its own]
    #[arg(long, value_parser = bounds, allow_hyphen_values = true)]
    bounds: Option<(f32, f32)>,
    /// The most samples that attacks and certificates take on; the first of the data
    #[arg(long, default_value_t = 128)]
    samples: usize,
    /// Seed of what is drawn
    #[arg(long, default_value_t = 0)]
    seed: u32,
}

impl Arguments {
    /// A report of a model on such data, with all else as it is without options.
    pub fn of(model: PathBuf, data: PathBuf, html: PathBuf, samples: usize) -> Arguments {
        Arguments { model, data, html, classes: None, bounds: None, samples, seed: 0 }
    }
}

pub fn run(a: &Arguments) -> Result<()> {
    let model = io::load_keras(&a.model)?.into_model();
    let data = Data::read_with_targets(&a.data)?;
    let names = a.classes.as_deref().map(crate::commands::explain::lines).transpose()?;
    io::files::try_target(&a.html, 0)?;
    let name = a.model.file_stem().map_or_else(|| model.name(), |s| s.to_string_lossy().into_owned());
    let mut page = Page::new(&format!("How far {name} can be trusted"));
    let judged = Judged::new(&model, &data, names.as_deref())?;
    page.section("Quality", judged.quality());
    if let Some(judged) = judged.classes() {
        page.section("Which classes it mixes up", judged.confusion());
        page.section("Its worst mistakes", judged.mistakes(&data.inputs[0]));
        page.section("Why it answers so", trust::explanations(&model, &data.inputs, judged));
        page.section("Under attack", trust::attacked(&model, &data, limits(a, &data), a.samples, a.seed));
        page.section("What is certain", trust::certified(&model, &data, limits(a, &data), a.samples));
        page.section("Whether its confidence is right", judged.calibration());
    } else {
        page.section("Why it answers so", trust::explanations_of_numbers(&model, &data.inputs));
    }
    let html = page.html();
    io::files::write_atomically(&a.html, |out| {
        out.write_all(html.as_bytes()).map_err(|e| Error::new(format!("cannot write: {e}")))
    })?;
    say(&format!("The report is {}; it needs no network.", a.html.display()))
}

/// Least and largest value of an input.
fn limits(a: &Arguments, data: &Data) -> (f32, f32) {
    let values =
        |t: &Tensor| t.to_vec::<f32>().into_iter().fold((0f32, 1f32), |(l, h), v| (l.min(v), h.max(v)));
    a.bounds.unwrap_or_else(|| data.inputs.first().map_or((0.0, 1.0), values))
}
