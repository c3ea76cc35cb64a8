//! `summary()`: a model as a table, as Keras prints it.

use super::json::value_types;
use super::{Call, Definition, Entry, Form, Model};
use rhyton_graph::Type;
use std::collections::HashMap;
use std::fmt::Write;

/// Columns: their titles and shares of the width; numbers of weights stand to the right.
const SEQUENTIAL: (usize, &[(&str, f64)]) =
    (88, &[("Layer (type)", 0.45), ("Output Shape", 0.35), ("Param #", 0.2)]);
const FUNCTIONAL: (usize, &[(&str, f64)]) =
    (108, &[("Layer (type)", 0.3), ("Output Shape", 0.26), ("Param #", 0.18), ("Connected to", 0.26)]);
const PARAMS: usize = 2;

impl Model {
    /// The layers with their output shapes and numbers of weights.
    pub fn summary(&self) -> String {
        self.summary_with(None)
    }

    /// The same, with the number of the optimizer's elements and their bytes.
    pub(crate) fn summary_with(&self, optimizer: Option<usize>) -> String {
        let d = self.definition();
        let (width, columns) = if d.form == Form::Sequential { SEQUENTIAL } else { FUNCTIONAL };
        let widths = widths(width, columns);
        let mut text = format!("Model: \"{}\"\n", d.name());
        rule(&mut text, &widths, "┏━┳┓");
        let titles: Vec<String> = columns.iter().map(|(t, _)| t.to_string()).collect();
        row(&mut text, &widths, &titles, '┃');
        rule(&mut text, &widths, "┡━╇┩");
        for (i, cells) in self.rows(d).iter().enumerate() {
            if i > 0 {
                rule(&mut text, &widths, "├─┼┤");
            }
            row(&mut text, &widths, &cells[..widths.len()], '│');
        }
        rule(&mut text, &widths, "└─┴┘");
        let (all, trainable, rest) = self.count_params();
        let mut line = |what: &str, n: usize| {
            writeln!(text, " {what} params: {} ({})", thousands(n), size(n * 4)).ok();
        };
        line("Total", all + optimizer.unwrap_or(0));
        line("Trainable", trainable);
        line("Non-trainable", rest);
        if let Some(n) = optimizer {
            line("Optimizer", n);
        }
        text
    }

    fn rows(&self, d: &Definition) -> Vec<Vec<String>> {
        let types = value_types(d);
        let shown = |e: &&Entry| {
            d.form == Form::Functional || e.layer.get().is_ok_and(|l| l.class_name() != "InputLayer")
        };
        let cells = |e: &Entry| {
            let calls: Vec<usize> = (0..d.calls.len()).filter(|c| same(d, *c, e)).collect();
            let class = e.layer.get().map_or("", |l| l.class_name());
            let shape = calls.first().map_or("?".into(), |c| shapes(&types, *c));
            let from: Vec<String> = calls.iter().flat_map(|c| sources(d, &d.calls[*c])).collect();
            let connected = if from.is_empty() { "-".into() } else { from.join(", ") };
            vec![format!("{} ({class})", e.name), shape, thousands(self.weights_at(&e.location)), connected]
        };
        d.entries.iter().filter(shown).map(cells).collect()
    }

    /// Number of elements of the weights of the object at `location` and of those inside it.
    fn weights_at(&self, location: &str) -> usize {
        let inside = |l: &str| l.strip_prefix(location).is_some_and(|r| r.is_empty() || r.starts_with('/'));
        let own = self.variables().iter().zip(self.weights()).filter(|(v, _)| inside(&v.location));
        own.map(|(_, t)| t.len()).sum()
    }
}

fn same(d: &Definition, call: usize, e: &Entry) -> bool {
    d.entries[d.calls[call].layer].name == e.name
}

/// `dense[0][0]` for every tensor that a call reads: layer, number of its call, number of its result.
fn sources(d: &Definition, call: &Call) -> Vec<String> {
    let name = |(c, o): &(usize, usize)| {
        let number = d.calls[..*c].iter().filter(|other| other.layer == d.calls[*c].layer).count();
        format!("{}[{number}][{o}]", d.entries[d.calls[*c].layer].name)
    };
    call.inputs.iter().chain(call.named.iter().flat_map(|(_, at)| at)).map(name).collect()
}

fn shapes(types: &HashMap<(usize, usize), Type>, call: usize) -> String {
    let all: Vec<String> = (0..).map_while(|o| types.get(&(call, o))).map(|t| t.shape.keras()).collect();
    match all.as_slice() {
        [] => "?".into(),
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

/// Widths between the lines of a table of `total` columns.
fn widths(total: usize, columns: &[(&str, f64)]) -> Vec<usize> {
    let room = total - columns.len() - 1;
    let mut widths: Vec<usize> =
        columns.iter().map(|(_, share)| (share * room as f64).round() as usize).collect();
    // What rounding leaves goes to the first.
    widths[0] = room - widths[1..].iter().sum::<usize>();
    widths
}

/// A horizontal line; `style` is its left end, its line, its crossing and its right end.
fn rule(text: &mut String, widths: &[usize], style: &str) {
    let s: Vec<char> = style.chars().collect();
    let pieces: Vec<String> = widths.iter().map(|w| s[1].to_string().repeat(*w)).collect();
    writeln!(text, "{}{}{}", s[0], pieces.join(&s[2].to_string()), s[3]).ok();
}

/// A row whose cells may take several lines.
fn row(text: &mut String, widths: &[usize], cells: &[String], line: char) {
    let wrapped: Vec<Vec<String>> = cells.iter().zip(widths).map(|(c, w)| wrap(c, w - 2)).collect();
    for i in 0..wrapped.iter().map(Vec::len).max().unwrap_or(0) {
        text.push(line);
        for (column, (lines, width)) in wrapped.iter().zip(widths).enumerate() {
            let cell = lines.get(i).map_or("", String::as_str);
            let w = width - 2;
            let padded = if column == PARAMS { format!(" {cell:>w$} ") } else { format!(" {cell:<w$} ") };
            text.push_str(&padded);
            text.push(line);
        }
        text.push('\n');
    }
}

/// Lines of at most `width` characters, broken at spaces, and within words that are longer.
fn wrap(cell: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![];
    let mut now = String::new();
    let length = |s: &str| s.chars().count();
    for word in cell.split(' ') {
        if !now.is_empty() && length(&now) + 1 + length(word) > width {
            lines.push(std::mem::take(&mut now));
        }
        if !now.is_empty() {
            now.push(' ');
        }
        now.push_str(word);
        while length(&now) > width {
            let rest: String = now.chars().skip(width).collect();
            lines.push(now.chars().take(width).collect());
            now = rest;
        }
    }
    lines.push(now);
    lines
}

/// `1,234,567`
fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
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

#[cfg(test)]
mod tests {
    use crate::layers::{BatchNormalization, Concatenate, Conv2D, Dense, Dropout, Flatten, MaxPooling2D};
    use crate::{Applicable, Input, LayerExt, Model, Sequential};

    /// What Keras 3.15.1 prints, character by character.
    const KERAS: &str = r#"Model: "sequential"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━┓
┃ Layer (type)                         ┃ Output Shape                ┃         Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━┩
│ conv2d (Conv2D)                      │ (None, 26, 26, 32)          │             320 │
├──────────────────────────────────────┼─────────────────────────────┼─────────────────┤
│ batch_normalization                  │ (None, 26, 26, 32)          │             128 │
│ (BatchNormalization)                 │                             │                 │
├──────────────────────────────────────┼─────────────────────────────┼─────────────────┤
│ max_pooling2d (MaxPooling2D)         │ (None, 13, 13, 32)          │               0 │
├──────────────────────────────────────┼─────────────────────────────┼─────────────────┤
│ flatten (Flatten)                    │ (None, 5408)                │               0 │
├──────────────────────────────────────┼─────────────────────────────┼─────────────────┤
│ dropout (Dropout)                    │ (None, 5408)                │               0 │
├──────────────────────────────────────┼─────────────────────────────┼─────────────────┤
│ dense (Dense)                        │ (None, 10)                  │          54,090 │
└──────────────────────────────────────┴─────────────────────────────┴─────────────────┘
 Total params: 54,538 (213.04 KB)
 Trainable params: 54,474 (212.79 KB)
 Non-trainable params: 64 (256.00 B)
"#;

    #[test]
    fn a_sequential_prints_as_in_keras() {
        let model = Sequential::new([28, 28, 1])
            .add(Conv2D::new(32, 3).relu())
            .add(BatchNormalization::new())
            .add(MaxPooling2D::new(2))
            .add(Flatten::new())
            .add(Dropout::new(0.5))
            .add(Dense::new(10).softmax())
            .build()
            .unwrap();
        assert_eq!(model.summary(), KERAS);
    }

    #[test]
    fn a_functional_model_shows_connections_and_nested_weights() {
        let inner =
            Sequential::new([10]).name("inner").add(Dense::new(3)).add(Dense::new(2)).build().unwrap();
        let a = Input::new([4]).name("a").symbolic();
        let b = Input::new([3]).name("b").symbolic();
        let both = Concatenate::new().apply([&Dense::new(5).apply(&a), &Dense::new(5).apply(&b)]);
        let y = (&inner.into_layer()).apply(&both);
        let text = Model::new(&[a, b], &[y]).unwrap().summary();
        for part in ["│ a (InputLayer) ", "│ -  ", "a[0][0]", "dense[0][0],", "inner (Sequential)", " 41 │"]
        {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(text.ends_with(" Total params: 86 (344.00 B)\n Trainable params: 86 (344.00 B)\n Non-trainable params: 0 (0.00 B)\n"));
        assert!(
            text.lines().filter(|l| l.starts_with(['│', '├'])).all(|l| l.chars().count() == 108),
            "{text}"
        );
    }
}
