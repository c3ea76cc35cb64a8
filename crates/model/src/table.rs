//! Tables as Python's `rich` draws them: every row between lines, cells broken at spaces.

use std::fmt;

/// How the cells of a column stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Align {
    Left,
    Right,
    Center,
}

/// A column: its title and where it ends, as a part of the width.
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) align: Align,
    pub(super) end: f64,
}

/// A table of a given width.
pub(super) struct Table {
    columns: Vec<Column>,
    widths: Vec<usize>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(total: usize, columns: Vec<Column>) -> Table {
        Table { widths: widths(total, &columns), columns, rows: vec![] }
    }

    /// A horizontal line: its left end, its line, its crossing and its right end.
    fn rule(&self, f: &mut fmt::Formatter<'_>, [left, line, cross, right]: [&str; 4]) -> fmt::Result {
        let pieces: Vec<String> = self.widths.iter().map(|w| line.repeat(*w)).collect();
        writeln!(f, "{left}{}{right}", pieces.join(cross))
    }

    /// A row whose cells may take several lines.
    fn row(&self, f: &mut fmt::Formatter<'_>, cells: &[String], line: char) -> fmt::Result {
        let inner = |w: &usize| w.saturating_sub(2).max(1);
        let wrapped: Vec<Vec<String>> =
            cells.iter().zip(&self.widths).map(|(c, w)| wrap(c, inner(w))).collect();
        for i in 0..wrapped.iter().map(Vec::len).max().unwrap_or(0) {
            write!(f, "{line}")?;
            for ((lines, width), column) in wrapped.iter().zip(&self.widths).zip(&self.columns) {
                let (cell, w) = (lines.get(i).map_or("", String::as_str), inner(width));
                match column.align {
                    Align::Left => write!(f, " {cell:<w$} {line}")?,
                    Align::Right => write!(f, " {cell:>w$} {line}")?,
                    Align::Center => write!(f, " {cell:^w$} {line}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rule(f, ["┏", "━", "┳", "┓"])?;
        let titles: Vec<String> = self.columns.iter().map(|c| c.title.to_string()).collect();
        self.row(f, &titles, '┃')?;
        self.rule(f, ["┡", "━", "╇", "┩"])?;
        for (i, cells) in self.rows.iter().enumerate() {
            if i > 0 {
                self.rule(f, ["├", "─", "┼", "┤"])?;
            }
            self.row(f, cells, '│')?;
        }
        self.rule(f, ["└", "─", "┴", "┘"])
    }
}

/// Widths between the lines. Keras forgets the spaces around cells and the lines themselves; what is too much then,
/// `rich` takes from the columns evenly, rounding halves to even.
fn widths(total: usize, columns: &[Column]) -> Vec<usize> {
    let ends: Vec<usize> = columns.iter().map(|c| (c.end * total as f64) as usize).collect();
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let mut widths: Vec<usize> =
        ends.iter().zip(starts).map(|(end, start)| end.saturating_sub(start) + 2).collect();
    let room = total.saturating_sub(columns.len() + 1);
    let mut excess = widths.iter().sum::<usize>().saturating_sub(room);
    let columns = widths.len();
    for (i, width) in widths.iter_mut().enumerate() {
        let share = (excess as f64 / (columns - i) as f64).round_ties_even() as usize;
        let share = share.min(*width);
        *width -= share;
        excess -= share;
    }
    widths
}

/// Lines of at most `width` characters, broken at spaces; longer words are cut short with an ellipsis.
fn wrap(cell: &str, width: usize) -> Vec<String> {
    let length = |s: &str| s.chars().count();
    let mut lines: Vec<String> = vec![];
    let mut now = String::new();
    for word in words(cell) {
        if !now.is_empty() && length(&now) + length(word.trim_end()) > width {
            lines.push(std::mem::take(&mut now));
        }
        now.push_str(word);
    }
    lines.push(now);
    let cut = |line: String| match line.trim_end() {
        l if length(l) <= width => l.to_string(),
        l => l.chars().take(width - 1).chain(['…']).collect(),
    };
    lines.into_iter().map(cut).collect()
}

/// Words with the spaces behind them; the first one with those before it, too.
fn words(text: &str) -> Vec<&str> {
    let indent = text.len() - text.trim_start().len();
    let (mut words, mut start, mut in_space) = (vec![], 0, false);
    for (i, c) in text.char_indices().skip_while(|(i, _)| *i < indent) {
        if in_space && c != ' ' {
            words.push(&text[start..i]);
            start = i;
        }
        in_space = c == ' ';
    }
    words.push(&text[start..]);
    words
}
