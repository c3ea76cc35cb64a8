//! `rhyton explain`.

use crate::data::Data;
use crate::output::{Target as Out, complain};
use crate::pictures;
use rhyton::explain::{Explainer, Explanation, Method, Of, Target};
use rhyton::{Error, Result, Tensor, io};
use serde_json::{Map, Value as Json};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Arguments {
    /// The model, a .keras file
    model: PathBuf,
    /// How: `rhyton list attribution` shows the methods
    #[arg(long, default_value = "integrated_gradients")]
    method: String,
    /// Settings of the method, like {"steps": 64}; a baseline may name an array of the data
    #[arg(long, default_value = "{}", value_parser = settings)]
    args: Map<String, Json>,
    /// Inputs: an .npz file with x0, x1, ..; - reads it from standard input
    #[arg(long)]
    data: PathBuf,
    /// The class whose score is explained: an array of the data like y0, the number of a class, positions in an output
    /// of more axes like 3,0, or `predicted`
    #[arg(long, default_value = "predicted")]
    target: String,
    /// Which of the model's outputs
    #[arg(long, default_value_t = 0)]
    output: usize,
    /// Explain probabilities after the last softmax or sigmoid, not what it is applied to
    #[arg(long)]
    probabilities: bool,
    /// Where attributions go: an .npz file, by the name of the method; - writes it to standard output
    #[arg(long)]
    out: Out,
    /// A picture too: heat maps over images, coloured text of tokens, signed bars of other numbers (.png or .svg)
    #[arg(long)]
    picture: Option<PathBuf>,
    /// Words for the picture: a file with a line for each token or column
    #[arg(long)]
    words: Option<PathBuf>,
    /// Samples computed at a time
    #[arg(long, default_value_t = 32)]
    batch_size: usize,
    /// Seed of methods that draw random numbers
    #[arg(long, default_value_t = 0)]
    seed: u32,
}

/// A JSON object.
pub fn settings(text: &str) -> std::result::Result<Map<String, Json>, String> {
    match serde_json::from_str(text) {
        Ok(Json::Object(map)) => Ok(map),
        Ok(_) => Err("not a JSON object, like {\"steps\": 64}".into()),
        Err(e) => Err(format!("no JSON: {e}")),
    }
}

pub fn run(a: &Arguments) -> Result<()> {
    let method = Method::with_settings(&a.method, &a.args)?;
    let model = io::load_keras(&a.model)?.into_model();
    let data = Data::read(&a.data)?;
    a.out.try_now("--out", 0)?;
    let (target, labels) = target(&a.target, &data).map_err(|e| e.place("--target"))?;
    let of = if a.probabilities { Of::Output } else { Of::Logits };
    let explainer = Explainer::new(&model).output(a.output).target(target).of(of);
    let explainer = explainer.batch_size(a.batch_size).seed(a.seed);
    let explainer = data.arrays.iter().fold(explainer, |e, (name, array)| e.array(name, array));
    let why = explainer.explain(method, &data.inputs, labels)?;
    for check in &why.checks {
        complain(&format!("{}{check}", if check.is_met() { "" } else { "warning: " }));
    }
    if let Some(path) = &a.picture {
        let words = a.words.as_deref().map(lines).transpose()?;
        pictures::explained(&data.inputs[0], &why, words.as_deref())?.save(path)?;
    }
    let arrays = named(&a.method, &why);
    let arrays: Vec<(&str, &Tensor)> = arrays.iter().map(|(n, t)| (n.as_str(), *t)).collect();
    a.out.write(|out| io::write_npz_to(out, &arrays))
}

/// The lines of a text.
pub fn lines(path: &std::path::Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read the words", path, &e))?;
    Ok(text.lines().map(String::from).collect())
}

/// What `--target` says.
pub fn target<'d>(text: &str, data: &'d Data) -> Result<(Target, Option<&'d Tensor>)> {
    if text == "predicted" {
        return Ok((Target::Predicted, None));
    }
    let positions: std::result::Result<Vec<usize>, _> = text.split(',').map(|n| n.trim().parse()).collect();
    match positions {
        Ok(at) => Ok((Target::Index(at), None)),
        Err(_) => {
            let fix = |e: Error| e.fix("or the number of a class, or `predicted`");
            Ok((Target::Label, Some(data.array(text).map_err(fix)?)))
        }
    }
}

/// Arrays by names: the method's for one explained value, with a number for several.
fn named<'w>(method: &str, why: &'w Explanation) -> Vec<(String, &'w Tensor)> {
    let several = why.attributions.len() > 1;
    let name = |what: &str, i: usize| if several { format!("{what}{i}") } else { what.into() };
    let found = why.attributions.iter().enumerate().map(|(i, t)| (name(method, i), t));
    let errors = why.standard_error.iter().flatten().enumerate();
    let errors = errors.map(|(i, t)| (name(&format!("{method}_standard_error"), i), t));
    found.chain(errors).collect()
}
