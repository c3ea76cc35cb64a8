//! Printing a table.

use super::{Column, Frame};
use std::fmt;

/// Rows printed in full; longer tables show their two ends.
const MAX_ROWS: usize = 20;
const MAX_COLUMNS: usize = 12;
const MAX_WIDTH: usize = 24;

/// Aligned columns; the middle of a long or wide table is left out. Numbers have six significant digits.
///
/// ```
/// let t = rhyton_data::Frame::from_csv_bytes("t.csv", b"kind,age\ndog,3\ncat,\n")?;
/// assert_eq!(t.to_string(), "   kind  age\n0  dog     3\n1  cat   NaN\n[2 rows x 2 columns]");
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = ends(self.len(), MAX_ROWS);
        let mut printed = vec![index_column(&rows)];
        for column in ends(self.columns.len(), MAX_COLUMNS) {
            printed.push(match column.and_then(|c| Some((self.names.get(c)?, self.columns.get(c)?))) {
                Some((name, cells)) => cell_column(name, cells, &rows),
                None => vec!["..".into(); rows.len() + 1],
            });
        }
        let text_columns: Vec<bool> =
            std::iter::once(true)
                .chain(ends(self.columns.len(), MAX_COLUMNS).iter().map(|c| {
                    c.and_then(|c| self.columns.get(c)).is_some_and(|c| matches!(c, Column::Text(_)))
                }))
                .collect();
        for line in 0..=rows.len() {
            let mut text = String::new();
            for (cells, left) in printed.iter().zip(&text_columns) {
                let width = cells.iter().map(|c| c.chars().count()).max().unwrap_or(0);
                let gap = if text.is_empty() { "" } else { "  " };
                let cell = &cells[line];
                text += &if *left { format!("{gap}{cell:<width$}") } else { format!("{gap}{cell:>width$}") };
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        write!(f, "[{} rows x {} columns]", self.len(), self.columns.len())
    }
}

/// All of `0..n`, or its two ends with `None` between them when it is longer than `most`.
fn ends(n: usize, most: usize) -> Vec<Option<usize>> {
    if n <= most {
        return (0..n).map(Some).collect();
    }
    let half = most / 2;
    (0..half).map(Some).chain([None]).chain((n - half..n).map(Some)).collect()
}

fn index_column(rows: &[Option<usize>]) -> Vec<String> {
    let index = |r: &Option<usize>| r.map_or("..".into(), |r| r.to_string());
    std::iter::once(String::new()).chain(rows.iter().map(index)).collect()
}

fn cell_column(name: &str, column: &Column, rows: &[Option<usize>]) -> Vec<String> {
    let cell = |r: &Option<usize>| match (r, column) {
        (None, _) => "..".to_string(),
        (Some(r), Column::Number(v)) => v.get(*r).map_or_else(String::new, |x| short_number(*x)),
        (Some(r), Column::Text(_)) => column.cell(*r).map_or("NaN".into(), |t| short_text(&t)),
    };
    std::iter::once(short_text(name)).chain(rows.iter().map(cell)).collect()
}

/// One line of at most [`MAX_WIDTH`] characters.
fn short_text(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.chars().count() <= MAX_WIDTH {
        return clean;
    }
    clean.chars().take(MAX_WIDTH - 2).chain("..".chars()).collect()
}

/// At most six significant digits, whole numbers in full.
fn short_number(x: f64) -> String {
    if x.is_nan() || x.is_infinite() || (x.fract() == 0.0 && x.abs() < 1e15) {
        return x.to_string();
    }
    let exponent = x.abs().log10().floor();
    if !(-5.0..15.0).contains(&exponent) {
        return format!("{x:.5e}");
    }
    let digits = (5.0 - exponent).clamp(0.0, 12.0) as usize;
    let text = format!("{x:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_six_digits() {
        let cases = [
            (0.0, "0"),
            (3.0, "3"),
            (1e20, "1.00000e20"),
            (0.1 + 0.2, "0.3"),
            (123_456.789, "123457"),
            (-1.0 / 3.0, "-0.333333"),
            (1.5e-9, "1.50000e-9"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ];
        for (x, text) in cases {
            assert_eq!(short_number(x), text);
        }
    }

    #[test]
    fn long_wide_and_empty_tables_fit_a_screen() {
        let names: Vec<String> = (0..40).map(|i| format!("c{i}")).collect();
        let row = vec!["1"; 40].join(",");
        let text = format!("{}\n{}", names.join(","), vec![row; 500].join("\n"));
        let t = Frame::from_csv_bytes("t", text.as_bytes()).unwrap();
        let shown = t.to_string();
        assert_eq!(shown.lines().count(), MAX_ROWS + 3);
        assert!(shown.lines().all(|l| l.chars().count() < 110), "{shown}");
        assert!(shown.ends_with("[500 rows x 40 columns]"));
        let none = t.head(0).select(&[]).unwrap().to_string();
        assert_eq!(none.lines().last(), Some("[0 rows x 0 columns]"));
        assert_eq!(short_text("a\nb"), "a b");
        assert_eq!(short_text(&"x".repeat(30)).len(), MAX_WIDTH);
    }
}
