//! [`Summary`]: a model as a table, as Keras prints it.

use super::json::value_types;
use super::table::{Align, Column, Table};
use super::{Call, Definition, Entry, Form, Model, nested};
use rhyton_graph::Type;
use std::collections::HashMap;
use std::fmt;

/// A model as a table: its layers, their output shapes and numbers of weights.
///
/// ```
/// use rhyton_nn::layers::Dense;
/// use rhyton_model::Sequential;
/// let model = Sequential::new([4]).add(Dense::new(2)).build()?;
/// assert!(model.summarize().show_trainable(true).to_string().contains("│    Y"));
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Summary<'m> {
    model: &'m Model,
    optimizer: Option<usize>,
    line_length: Option<usize>,
    expand_nested: bool,
    show_trainable: bool,
}

impl Model {
    /// The layers with their output shapes and numbers of weights, as text.
    pub fn summary(&self) -> String {
        self.summarize().to_string()
    }

    /// The summary, to be set up and printed.
    pub fn summarize(&self) -> Summary<'_> {
        Summary {
            model: self,
            optimizer: None,
            line_length: None,
            expand_nested: false,
            show_trainable: false,
        }
    }
}

impl Summary<'_> {
    /// Characters of a line.
    pub fn line_length(mut self, characters: usize) -> Self {
        self.line_length = Some(characters);
        self
    }

    /// Shows the layers of nested models, too.
    pub fn expand_nested(mut self, yes: bool) -> Self {
        self.expand_nested = yes;
        self
    }

    /// Says which layers are trained.
    pub fn show_trainable(mut self, yes: bool) -> Self {
        self.show_trainable = yes;
        self
    }

    /// Counts the numbers that an optimizer keeps.
    pub fn optimizer(mut self, elements: usize) -> Self {
        self.optimizer = Some(elements);
        self
    }

    fn table(&self) -> Table {
        let d = self.model.definition();
        let chain = is_chain(d);
        let (mut width, mut columns) = if chain {
            let columns = [("Layer (type)", Align::Left, 0.45), ("Output Shape", Align::Left, 0.8)];
            (88, columns.into_iter().chain([("Param #", Align::Right, 1.0)]).collect::<Vec<_>>())
        } else {
            let columns = [("Layer (type)", Align::Left, 0.3), ("Output Shape", Align::Left, 0.56)];
            let more = [("Param #", Align::Right, 0.74), ("Connected to", Align::Left, 1.0)];
            (108, columns.into_iter().chain(more).collect())
        };
        if self.show_trainable {
            width += 12;
            columns.iter_mut().for_each(|(_, _, end)| *end *= 0.9);
            columns.push(("Trainable", Align::Center, 1.0));
        }
        let columns = columns.into_iter().map(|(title, align, end)| Column { title, align, end }).collect();
        let mut table = Table::new(self.line_length.unwrap_or(width), columns);
        for row in self.rows(d, &self.weights_by_location(), "", 0, true) {
            let cells = [Some(row.name), Some(row.shape), Some(row.params)].into_iter();
            let connected = (!chain).then_some(row.connected);
            let trained = self.show_trainable.then_some(row.trained);
            table.rows.push(cells.chain([connected, trained]).flatten().collect());
        }
        table
    }

    /// The rows of a definition whose weights lie at `place`; `level` is how deeply it is nested.
    fn rows(
        &self,
        d: &Definition,
        weights: &Weights,
        place: &str,
        level: usize,
        trainable: bool,
    ) -> Vec<Row> {
        let (types, numbers) = (value_types(d), d.call_numbers());
        let is_input = |e: &Entry| e.layer.get().is_ok_and(|l| l.class_name() == "InputLayer");
        let mut rows = vec![];
        for (e, calls) in d.entries.iter().zip(d.calls_by_entry()) {
            let Some(layer) = e.layer.known().filter(|_| d.form == Form::Functional || !is_input(e)) else {
                continue;
            };
            let location =
                if place.is_empty() { e.location.clone() } else { format!("{place}/{}", e.location) };
            let from: Vec<String> = calls.iter().flat_map(|c| sources(d, &numbers, &d.calls[*c])).collect();
            let (params, int8) = weights.get(&location).copied().unwrap_or_default();
            let trained = trainable && layer.base().trainable;
            let branch = if level > 0 { format!("{}└ ", "   ".repeat(level)) } else { String::new() };
            rows.push(Row {
                name: format!(
                    "{branch}{} ({}{})",
                    e.name,
                    layer.class_name(),
                    if int8 { ", int8" } else { "" }
                ),
                shape: calls.last().map_or("?".into(), |c| shapes(&types, *c)),
                params: thousands(params),
                connected: if from.is_empty() || level > 0 { "-".into() } else { from.join(", ") },
                trained: if params == 0 {
                    "-"
                } else if trained {
                    "Y"
                } else {
                    "N"
                }
                .into(),
            });
            if let Some(inner) = nested(&**layer).filter(|_| self.expand_nested) {
                rows.extend(self.rows(inner, weights, &location, level + 1, trained));
            }
        }
        rows
    }

    /// Elements and bytes of the weights that are trained, or of those that are not.
    fn count(&self, trainable: bool) -> (usize, usize) {
        let of = self.model.variables().iter().zip(self.model.weights());
        let of = of.filter(|(v, _)| v.trainable == trainable).map(|(_, t)| t);
        of.fold((0, 0), |n, t| (n.0 + t.len(), n.1 + t.len() * t.dtype().size_bytes()))
    }

    fn weights_by_location(&self) -> Weights {
        let mut all = Weights::new();
        for (v, t) in self.model.variables().iter().zip(self.model.weights()) {
            let steps = v.location.match_indices('/').map(|(i, _)| i).chain([v.location.len()]);
            for end in steps {
                all.entry(v.location[..end].into()).or_default().0 += t.len();
            }
            all.entry(v.location.clone()).or_default().1 |= v.weight.scales.is_some();
        }
        all
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Model: \"{}\"", self.model.name())?;
        self.table().fmt(f)?;
        let (trainable, rest) = (self.count(true), self.count(false));
        let optimizer = self.optimizer.map(|n| (n, n * 4));
        let parts = [trainable, rest].into_iter().chain(optimizer);
        let total = parts.fold((0, 0), |sum, n| (sum.0 + n.0, sum.1 + n.1));
        let counts = [("Total", total), ("Trainable", trainable), ("Non-trainable", rest)];
        for (what, (n, bytes)) in counts.into_iter().chain(optimizer.map(|n| ("Optimizer", n))) {
            writeln!(f, " {what} params: {} ({})", thousands(n), size(bytes))?;
        }
        Ok(())
    }
}

/// For the location of every object: elements of its weights and of those inside it, and whether a weight of its
/// own is quantized.
type Weights = HashMap<String, (usize, bool)>;

/// The cells of a layer.
struct Row {
    name: String,
    shape: String,
    params: String,
    connected: String,
    trained: String,
}

/// Whether layers follow each other without branches, so that connections need no column.
fn is_chain(d: &Definition) -> bool {
    let reads = |c: &Call| c.inputs.iter().chain(c.named.iter().flat_map(|(_, at)| at)).count();
    let follows =
        |i: usize| i == 0 || reads(&d.calls[i]) == 1 && d.calls[i].inputs.iter().any(|(c, _)| c + 1 == i);
    let once = d.call_numbers().iter().all(|n| *n == 0);
    d.form == Form::Sequential || once && (0..d.calls.len()).all(follows)
}

/// `dense[0][0]` for every tensor that a call reads: layer, number of its call, number of its result.
fn sources(d: &Definition, numbers: &[usize], call: &Call) -> Vec<String> {
    let name =
        |(c, o): &(usize, usize)| format!("{}[{}][{o}]", d.entries[d.calls[*c].layer].name, numbers[*c]);
    call.inputs.iter().chain(call.named.iter().flat_map(|(_, at)| at)).map(name).collect()
}

fn shapes(types: &HashMap<(usize, usize), Type>, call: usize) -> String {
    let all: Vec<String> = (0..).map_while(|o| types.get(&(call, o))).map(|t| t.shape.keras()).collect();
    match all.as_slice() {
        [] => "?".into(),
        // Keras's table writes (None), not (None,).
        [one] => one.replace(",)", ")"),
        many => format!("[{}]", many.join(", ")),
    }
}

/// `1,234,567`
fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Bytes in steps of 1024: `213.04 KB`.
fn size(bytes: usize) -> String {
    let (mut n, mut unit) = (bytes as f64, 0);
    let units = ["B", "KB", "MB", "GB", "TB"];
    while n >= 1024.0 && unit + 1 < units.len() {
        n /= 1024.0;
        unit += 1;
    }
    format!("{n:.2} {}", units[unit])
}
