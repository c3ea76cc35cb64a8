//! `rhyton list`.

use crate::output::say;
use rhyton::nn::registry::{ListedRow, Listing, word};
use rhyton::{KINDS, Result};

#[derive(clap::Args)]
pub struct Arguments {
    #[arg(value_parser = kind, help = format!("What to list; everything when left out [possible values: {}]", words()))]
    kind: Option<&'static Listing>,
}

/// What the kinds are called here.
fn words() -> String {
    KINDS.iter().map(|kind| word(kind.what)).collect::<Vec<_>>().join(", ")
}

/// The kind of this name; its plural means the same.
fn kind(name: &str) -> std::result::Result<&'static Listing, String> {
    let is_meant =
        |one: &str| [one.into(), format!("{one}s"), format!("{one}es")].contains(&name.to_string());
    KINDS.iter().find(|kind| is_meant(word(kind.what))).ok_or_else(|| format!("one of {}", words()))
}

pub fn run(a: &Arguments) -> Result<()> {
    let chosen = KINDS.iter().filter(|kind| a.kind.is_none_or(|k| k.what == kind.what));
    say(&chosen.map(table).collect::<Vec<_>>().join("\n\n"))
}

/// A line for each row: class, what it is, the names it also goes by; names alone stand side by side.
fn table(kind: &Listing) -> String {
    let rows = (kind.rows)();
    let (documented, bare): (Vec<_>, Vec<_>) = rows.iter().partition(|row| !row.doc.is_empty());
    let names: Vec<&str> = bare.iter().map(|row| row.name.as_str()).collect();
    let title = format!("{} ({})", kind.what, kind.module);
    let lines =
        documented.into_iter().map(line).chain(names.chunks(6).map(|row| format!("  {}", row.join(", "))));
    std::iter::once(title).chain(lines).collect::<Vec<_>>().join("\n")
}

fn line(row: &ListedRow) -> String {
    let names = if row.names.is_empty() { String::new() } else { format!("  [{}]", row.names.join(", ")) };
    format!("  {:<28} {}{names}", row.name, row.doc)
}
