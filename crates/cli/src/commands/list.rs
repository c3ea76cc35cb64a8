//! `rhyton list`.

use crate::output::say;
use clap::ValueEnum;
use rhyton::Result;
use rhyton::nn::activations;
use rhyton::nn::constraints::Constrain;
use rhyton::nn::initializers::Initialize;
use rhyton::nn::layer::Layer;
use rhyton::nn::layers::Operation;
use rhyton::nn::losses::Loss;
use rhyton::nn::metrics::Metric;
use rhyton::nn::object::{Kind, snake_case};
use rhyton::nn::optimizers::Optimizer;
use rhyton::nn::optimizers::schedules::Schedule;
use rhyton::nn::regularizers::Regularize;

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Of {
    #[value(alias = "layers")]
    Layer,
    #[value(alias = "activations")]
    Activation,
    #[value(alias = "losses")]
    Loss,
    #[value(alias = "metrics")]
    Metric,
    #[value(alias = "optimizers")]
    Optimizer,
    #[value(alias = "initializers")]
    Initializer,
    #[value(alias = "regularizers")]
    Regularizer,
    #[value(alias = "constraints")]
    Constraint,
    #[value(alias = "schedules")]
    Schedule,
    #[value(alias = "operations")]
    Operation,
}

#[derive(clap::Args)]
pub struct Arguments {
    /// What to list; everything when left out
    kind: Option<Of>,
}

pub fn run(a: &Arguments) -> Result<()> {
    let tables: [(Of, fn() -> String); 10] = [
        (Of::Layer, table::<dyn Layer>),
        (Of::Activation, activations),
        (Of::Loss, table::<dyn Loss>),
        (Of::Metric, table::<dyn Metric>),
        (Of::Optimizer, table::<dyn Optimizer>),
        (Of::Initializer, table::<dyn Initialize>),
        (Of::Regularizer, table::<dyn Regularize>),
        (Of::Constraint, table::<dyn Constrain>),
        (Of::Schedule, table::<dyn Schedule>),
        (Of::Operation, operations),
    ];
    let chosen = tables.iter().filter(|(of, _)| a.kind.is_none_or(|k| k == *of));
    say(&chosen.map(|(_, table)| table()).collect::<Vec<_>>().join("\n\n"))
}

fn activations() -> String {
    let line = |r: &activations::Row| format!("  {:<28} {}", r.names.join(", "), r.doc);
    let lines = activations::ROWS.iter().map(line);
    ["activation (keras.activations)".to_string()].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}

/// Operations between layers, as files of Keras name them.
fn operations() -> String {
    let names: Vec<&str> = Operation::names().collect();
    let lines = names.chunks(6).map(|row| format!("  {}", row.join(", ")));
    let title = "operation on tensors (keras.ops)".to_string();
    std::iter::once(title).chain(lines).collect::<Vec<_>>().join("\n")
}

/// A line for each row: class, the names it also goes by, what it is.
fn table<T: ?Sized + Kind>() -> String {
    let mut lines = vec![format!("{} ({})", T::WHAT, T::MODULE)];
    for row in T::rows() {
        let snake = snake_case(row.class_name);
        let mut names: Vec<&str> = row.names.to_vec();
        if !names.contains(&snake.as_str()) {
            names.push(&snake);
        }
        lines.push(format!("  {:<28} {}  [{}]", row.class_name, row.doc, names.join(", ")));
    }
    lines.join("\n")
}
