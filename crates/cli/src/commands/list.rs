//! `rhyton list`.

use crate::output::say;
use clap::builder::{PossibleValue, PossibleValuesParser};
use rhyton::nn::registry::{ListedRow, Listing, word};
use rhyton::{KINDS, Result};

#[derive(clap::Args)]
pub struct Arguments {
    /// What to list; everything when left out
    #[arg(value_parser = PossibleValuesParser::new(KINDS.iter().map(words)))]
    kind: Option<String>,
}

/// What a kind is called here; its plural means the same.
fn words(kind: &Listing) -> PossibleValue {
    let one = word(kind.what);
    let plural = if one.ends_with('s') { format!("{one}es") } else { format!("{one}s") };
    PossibleValue::new(one).alias(plural)
}

pub fn run(a: &Arguments) -> Result<()> {
    let named = |kind: &&Listing| a.kind.as_ref().is_none_or(|k| words(kind).matches(k, false));
    say(&KINDS.iter().filter(named).map(table).collect::<Vec<_>>().join("\n\n"))
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
