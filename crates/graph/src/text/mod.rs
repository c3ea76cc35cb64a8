//! Functions as text, one line a node. [`print()`] and [`parse`] are inverse: the same text, the same meaning.
//!
//! ```text
//! fn @0 "double" null
//!   %0 = param "x" : float32[batch, 3]
//!   %1 = control {"scalar":"2f32"} () : float32[]
//!   %2 = movement {"reshape":{"shape":["1","1"]}} (%1) : float32[1, 1]
//!   %3 = movement {"broadcast":{"shape":["batch","3"]}} (%2) : float32[batch, 3]
//!   %4 = elementwise {"binary":"mul"} (%0, %3) : float32[batch, 3]
//!   return %4
//! ```
//!
//! The bodies of calls and loops come first and are referred to by number. A gradient rule of a function's own is
//! code and has no text: a parsed function is differentiated through its body.

mod parse;
mod plan;

pub use parse::parse;
pub use plan::print_plan;

use crate::expr::{Expr, Type};
use crate::function::Function;
use crate::ops::{Control, Op};
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

/// The text of a function.
pub fn print(f: &Function) -> String {
    Printer::default().all(f)
}

/// The text of a function with layer paths and source lines as comments.
pub fn print_with_sources(f: &Function) -> String {
    Printer { sources: true, ..Printer::default() }.all(f)
}

/// Family and settings.
fn family(op: &Op) -> (String, serde_json::Value) {
    match serde_json::to_value(op) {
        Ok(serde_json::Value::Object(map)) => map.into_iter().next().unwrap_or_default(),
        _ => ("poison".into(), serde_json::Value::Null),
    }
}

#[derive(Default)]
struct Printer {
    text: String,
    sources: bool,
    numbers: HashMap<*const Function, usize>,
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

impl Printer {
    fn all(mut self, f: &Function) -> String {
        self.function(f);
        self.text
    }

    /// Prints what `f` calls, then `f`; returns its number.
    fn function(&mut self, f: &Function) -> usize {
        let key = std::ptr::from_ref(f);
        if let Some(known) = self.numbers.get(&key) {
            return *known;
        }
        let nodes = f.nodes();
        for e in &nodes {
            if let Op::Control(Control::Call(body) | Control::Scan { body, .. }) = e.op() {
                self.function(&Arc::clone(body));
            }
        }
        let number = self.numbers.len();
        self.numbers.insert(key, number);
        let name = serde_json::Value::from(f.name.as_str());
        let mut lines = format!("fn @{number} {name} {}\n", f.attrs);
        let mut at: HashMap<u64, usize> = HashMap::new();
        for e in f.params.iter().chain(&nodes) {
            let next = at.len();
            if at.contains_key(&e.node().id) {
                continue;
            }
            self.line(&mut lines, e, next, &at);
            at.insert(e.node().id, next);
        }
        let _ = writeln!(lines, "  return {}", list(f.results.iter().map(|r| value(r, &at))));
        self.text.push_str(&lines);
        number
    }

    fn line(&self, out: &mut String, e: &Expr, number: usize, at: &HashMap<u64, usize>) {
        let what = match e.op() {
            Op::Control(Control::Param { name, .. }) => {
                format!("param {}", serde_json::Value::from(name.as_str()))
            }
            Op::Control(Control::Call(f)) => format!("call @{}", self.numbers[&Arc::as_ptr(f)]),
            Op::Control(Control::Scan { body, carries, xs, length, reverse }) => {
                let attrs = serde_json::json!({
                    "carries": carries, "xs": xs, "length": length, "reverse": reverse,
                });
                format!("scan @{} {attrs}", self.numbers[&Arc::as_ptr(body)])
            }
            Op::Control(Control::Poison(error)) => {
                format!("poison {}", serde_json::Value::from(error.to_string()))
            }
            op => {
                let (family, attrs) = family(op);
                format!("{family} {attrs}")
            }
        };
        let inputs = match e.op() {
            Op::Control(Control::Param { .. }) => String::new(),
            _ => format!(" ({})", list(e.inputs().iter().map(|i| value(i, at)))),
        };
        let types = list(e.node().outs.iter().map(Type::to_string));
        let _ = write!(out, "  %{number} = {what}{inputs} : {types}");
        if self.sources {
            let _ = write!(out, "  // {} {}", e.node().path, e.node().source);
        }
        out.push('\n');
    }
}

fn value(e: &Expr, at: &HashMap<u64, usize>) -> String {
    let number = at.get(&e.node().id).copied().unwrap_or(usize::MAX);
    if e.out() == 0 { format!("%{number}") } else { format!("%{number}.{}", e.out()) }
}
