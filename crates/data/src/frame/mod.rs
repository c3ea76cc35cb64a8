//! A small table with named columns of numbers or text.

mod code;
mod csv;
mod describe;
mod show;

pub use csv::Csv;

use rhyton_tensor::{Error, Result, Tensor, memory};
use std::collections::HashSet;

/// The cells of one column.
#[derive(Clone, Debug)]
pub enum Column {
    /// Numbers; a missing cell is NaN.
    Number(Vec<f64>),
    /// Text; a missing cell is `None`.
    Text(Vec<Option<String>>),
}

impl Column {
    /// Number of cells.
    pub fn len(&self) -> usize {
        match self {
            Column::Number(v) => v.len(),
            Column::Text(v) => v.len(),
        }
    }

    /// True without cells.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many cells are missing.
    pub fn missing(&self) -> usize {
        (0..self.len()).filter(|i| self.is_missing(*i)).count()
    }

    /// The numbers, when the column holds numbers.
    pub fn numbers(&self) -> Option<&[f64]> {
        if let Column::Number(v) = self { Some(v) } else { None }
    }

    fn is_missing(&self, row: usize) -> bool {
        match self {
            Column::Number(v) => v.get(row).is_none_or(|x| x.is_nan()),
            Column::Text(v) => v.get(row).is_none_or(Option::is_none),
        }
    }

    /// The cell as text; `None` when it is missing.
    fn cell(&self, row: usize) -> Option<String> {
        match self {
            Column::Number(v) => v.get(row).filter(|x| !x.is_nan()).map(f64::to_string),
            Column::Text(v) => v.get(row).cloned().flatten(),
        }
    }

    fn rows(&self, rows: &[usize]) -> Column {
        match self {
            Column::Number(v) => Column::Number(rows.iter().filter_map(|r| v.get(*r).copied()).collect()),
            Column::Text(v) => Column::Text(rows.iter().filter_map(|r| v.get(*r).cloned()).collect()),
        }
    }
}

/// A table: named columns of equal length, each of numbers or of text, with missing cells.
///
/// Where pandas would guess, this asks: turning text or a missing cell into a tensor is an error that names the
/// file, the line and the column.
///
/// ```
/// use rhyton_data::Frame;
/// let table = Frame::from_csv_bytes("pets.csv", b"kind,age,weight\ncat,3,4.5\ndog,,20\n")?;
/// assert_eq!(table.columns(), ["kind", "age", "weight"]);
/// let x = table.fill_missing("age", 0.0)?.select(&["age", "weight"])?.to_tensor()?;
/// assert_eq!(x.as_slice::<f32>(), Some(&[3.0, 4.5, 0.0, 20.0][..]));
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Frame {
    source: String,
    names: Vec<String>,
    columns: Vec<Column>,
    /// The line of the file each row starts on; rows and lines part ways at quoted line breaks and empty lines.
    lines: Vec<u64>,
}

impl Frame {
    /// A table of these named columns; `source` stands in error messages.
    ///
    /// # Errors
    /// When two names are equal or the columns differ in length.
    ///
    /// ```
    /// use rhyton_data::{Column, Frame};
    /// let t = Frame::new("mine", vec![("x".into(), Column::Number(vec![1.0, 2.0]))])?;
    /// assert_eq!(t.len(), 2);
    /// # Ok::<(), rhyton_tensor::Error>(())
    /// ```
    pub fn new(source: impl Into<String>, columns: Vec<(String, Column)>) -> Result<Frame> {
        let source = source.into();
        let (names, columns): (Vec<String>, Vec<Column>) = columns.into_iter().unzip();
        let mut seen = HashSet::new();
        if let Some(twice) = names.iter().find(|n| !seen.insert(n.as_str())) {
            return Err(Error::new(format!("two columns are named '{twice}'")).place(source));
        }
        let len = columns.first().map_or(0, Column::len);
        if let Some((i, other)) = columns.iter().enumerate().find(|(_, c)| c.len() != len) {
            return Err(Error::new(format!(
                "column '{}' has {} rows, column '{}' has {len}",
                names[i],
                other.len(),
                names[0]
            ))
            .place(source));
        }
        Ok(Frame { source, names, columns, lines: (1..=len as u64).collect() })
    }

    /// The column names, left to right.
    pub fn columns(&self) -> &[String] {
        &self.names
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The column of this name.
    ///
    /// # Errors
    /// When there is none; the nearest names and all names are listed.
    ///
    /// ```
    /// use rhyton_data::Frame;
    /// let t = Frame::from_csv_bytes("t.csv", b"age,weight\n1,2\n")?;
    /// assert_eq!(t.column("age")?.numbers(), Some(&[1.0][..]));
    /// assert!(t.column("wieght").unwrap_err().to_string().contains("did you mean 'weight'?"));
    /// # Ok::<(), rhyton_tensor::Error>(())
    /// ```
    pub fn column(&self, name: &str) -> Result<&Column> {
        Ok(&self.columns[self.position(name)?])
    }

    /// Index of the column of this name; always within `columns`.
    fn position(&self, name: &str) -> Result<usize> {
        if let Some(at) = self.names.iter().position(|n| n == name) {
            return Ok(at);
        }
        let near = nearest(name, &self.names);
        let quoted = |names: &[&str]| names.iter().map(|n| format!("'{n}'")).collect::<Vec<_>>().join(", ");
        let all: Vec<&str> = self.names.iter().take(50).map(String::as_str).collect();
        let more = if self.names.len() > all.len() { ", .." } else { "" };
        let e = Error::new(format!("there is no column '{name}'"))
            .place(&self.source)
            .expected(format!("one of {}{more}", quoted(&all)));
        Err(if near.is_empty() {
            e
        } else {
            e.fix(format!("did you mean {}?", quoted(&near).replace(", ", " or ")))
        })
    }

    /// The table of these columns, in this order.
    ///
    /// # Errors
    /// When a name does not exist or is given twice.
    pub fn select(&self, names: &[&str]) -> Result<Frame> {
        let picked = names.iter().map(|n| Ok((n.to_string(), self.column(n)?.clone())));
        Ok(Frame {
            lines: self.lines.clone(),
            ..Frame::new(self.source.clone(), picked.collect::<Result<_>>()?)?
        })
    }

    /// The table without these columns: what is left as features once the target is taken out.
    ///
    /// # Errors
    /// When a name does not exist.
    pub fn drop_columns(&self, names: &[&str]) -> Result<Frame> {
        names.iter().try_for_each(|n| self.position(n).map(drop))?;
        let kept: Vec<&str> = self.names.iter().map(String::as_str).filter(|n| !names.contains(n)).collect();
        self.select(&kept)
    }

    /// The first `n` rows.
    pub fn head(&self, n: usize) -> Frame {
        self.rows(&(0..n.min(self.len())).collect::<Vec<_>>())
    }

    /// The rows in which no cell is missing.
    pub fn drop_missing(&self) -> Frame {
        let whole = |row: &usize| !self.columns.iter().any(|c| c.is_missing(*row));
        self.rows(&(0..self.len()).filter(whole).collect::<Vec<_>>())
    }

    /// Puts `value` into the missing cells of a column of numbers.
    ///
    /// # Errors
    /// When the column does not exist or holds text.
    pub fn fill_missing(&self, name: &str, value: f64) -> Result<Frame> {
        let at = self.position(name)?;
        let mut out = self.clone();
        let Column::Number(cells) = &mut out.columns[at] else {
            return Err(Error::new(format!("column '{name}' holds text, not numbers")).place(&self.source));
        };
        cells.iter_mut().filter(|x| x.is_nan()).for_each(|x| *x = value);
        Ok(out)
    }

    /// All cells as float32 `[rows, columns]`.
    ///
    /// # Errors
    /// At the first cell that is text or missing, with its file, line and column.
    pub fn to_tensor(&self) -> Result<Tensor> {
        for (name, column) in self.names.iter().zip(&self.columns) {
            self.check_numbers(name, column)?;
        }
        let mut out = memory::room(memory::elements(&[self.len(), self.columns.len()])?)?;
        for row in 0..self.len() {
            out.extend(self.columns.iter().filter_map(|c| c.numbers()?.get(row)).map(|x| *x as f32));
        }
        Tensor::new([self.len(), self.columns.len()], out)
    }

    fn check_numbers(&self, name: &str, column: &Column) -> Result<()> {
        match column {
            Column::Number(cells) => match cells.iter().position(|x| x.is_nan()) {
                None => Ok(()),
                Some(row) => {
                    Err(Error::new(format!("column '{name}' has {} missing cells", column.missing()))
                        .place(self.line(row))
                        .fix(format!(
                            "fill_missing(\"{name}\", value), or drop_missing() to leave out such rows"
                        )))
                }
            },
            Column::Text(cells) => {
                let not_a_number =
                    |c: &&Option<String>| c.as_deref().is_some_and(|t| csv::number(t).is_none());
                let row = cells.iter().position(|c| not_a_number(&c)).unwrap_or(0);
                let cell = cells.get(row).cloned().flatten().unwrap_or_default();
                Err(Error::new(format!("column '{name}' holds text: '{cell}' is not a number"))
                    .place(self.line(row))
                    .fix(format!(
                        "one_hot(\"{name}\", &categories) or codes(..) for categories, drop_columns(&[\"{name}\"]) to \
                         leave it out, or Csv::new().missing(\"{cell}\") if it marks a missing cell"
                    )))
            }
        }
    }

    fn line(&self, row: usize) -> String {
        format!("{}, line {}", self.source, self.lines.get(row).copied().unwrap_or(0))
    }

    fn rows(&self, rows: &[usize]) -> Frame {
        Frame {
            source: self.source.clone(),
            names: self.names.clone(),
            columns: self.columns.iter().map(|c| c.rows(rows)).collect(),
            lines: rows.iter().filter_map(|r| self.lines.get(*r).copied()).collect(),
        }
    }
}

/// Up to three names within a third of their length in edits, nearest first.
fn nearest<'a>(name: &str, names: &'a [String]) -> Vec<&'a str> {
    let allowed = (name.chars().count() / 3).clamp(1, 4);
    let mut found: Vec<(usize, &str)> =
        names.iter().map(|n| (edits(name, n), n.as_str())).filter(|(d, _)| *d <= allowed).collect();
    found.sort();
    found.into_iter().take(3).map(|(_, n)| n).collect()
}

/// Insertions, deletions and replacements between two names without regard to case (Levenshtein, 1966).
fn edits(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let b: Vec<char> = b.chars().take(100).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(100).enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Frame {
        let text = b"name,age,weight\nA,1,10\nB,,20\n\"C\nD\",3,x\nE,4,40\n";
        Frame::from_csv_bytes("t.csv", text).unwrap()
    }

    #[test]
    fn edit_distance_has_its_known_values() {
        assert_eq!((edits("kitten", "sitting"), edits("", "abc"), edits("Age", "age")), (3, 3, 0));
    }

    #[test]
    fn a_wrong_name_lists_what_is_near_and_what_exists() {
        let e = sample().column("wight").unwrap_err();
        assert_eq!(
            e.to_string(),
            "there is no column 'wight'\n  in:       t.csv\n  expected: one of 'name', 'age', 'weight'\n  \
             fix:      did you mean 'weight'?"
        );
        assert!(!sample().column("zzz").unwrap_err().to_string().contains("did you mean"));
        assert!(sample().select(&["age", "age"]).is_err());
        assert!(sample().drop_columns(&["agee"]).is_err());
    }

    #[test]
    fn a_tensor_from_text_or_missing_cells_names_line_and_column() {
        let t = sample();
        let e = t.select(&["age"]).unwrap().to_tensor().unwrap_err().to_string();
        assert!(e.contains("column 'age' has 1 missing cells") && e.contains("t.csv, line 3"), "{e}");
        // The row before starts on line 4 and has a line break of its own.
        let e = t.select(&["weight"]).unwrap().to_tensor().unwrap_err().to_string();
        assert!(e.contains("column 'weight' holds text: 'x'") && e.contains("t.csv, line 4"), "{e}");
        let e = t.fill_missing("name", 0.0).unwrap_err().to_string();
        assert!(e.contains("holds text"), "{e}");
    }

    #[test]
    fn rows_are_dropped_filled_and_cut() {
        let t = sample();
        assert_eq!(t.drop_missing().len(), 3);
        assert_eq!(t.fill_missing("age", 2.0).unwrap().column("age").unwrap().numbers().unwrap()[1], 2.0);
        assert_eq!((t.head(2).len(), t.head(100).len()), (2, 4));
        assert_eq!(t.drop_columns(&["name", "weight"]).unwrap().columns(), ["age"]);
        assert_eq!(t.column("age").unwrap().missing(), 1);
        assert_eq!(t.select(&[]).unwrap().to_tensor().unwrap().shape(), [4, 0]);
    }

    #[test]
    fn unequal_columns_are_refused() {
        let c = |n: usize| Column::Number(vec![0.0; n]);
        assert!(Frame::new("f", vec![("a".into(), c(1)), ("b".into(), c(2))]).is_err());
        assert!(Frame::new("f", vec![("a".into(), c(1)), ("a".into(), c(1))]).is_err());
    }
}
