//! Reading a table from comma-separated text.

use super::{Column, Frame};
use crate::source;
use rhyton_tensor::{Error, Result};
use std::collections::HashMap;
use std::path::Path;

/// Cells that stand for a missing value, as in pandas.
const MISSING: [&str; 14] =
    ["", "NA", "N/A", "n/a", "NaN", "nan", "-nan", "-NaN", "null", "NULL", "None", "<NA>", "#N/A", "#NA"];

/// How a table file is written; the defaults are those of [`Frame::read_csv`].
///
/// ```
/// use rhyton_data::Csv;
/// let t = Csv::new().delimiter(b';').header(false).missing("?").parse("t.csv", b"1;?\n2;3\n")?;
/// assert_eq!(t.columns(), ["0", "1"]);
/// assert_eq!(t.column("1")?.missing(), 1);
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Csv {
    delimiter: u8,
    /// Not said: the first line is taken for names, unless it cannot be.
    header: Option<bool>,
    missing: Vec<String>,
}

impl Default for Csv {
    fn default() -> Csv {
        Csv { delimiter: b',', header: None, missing: MISSING.map(String::from).to_vec() }
    }
}

impl Csv {
    /// Commas, a line of names first, pandas' marks for missing cells.
    pub fn new() -> Csv {
        Csv::default()
    }

    /// The byte between cells: `b';'`, `b'\t'`, `b' '`.
    pub fn delimiter(mut self, byte: u8) -> Csv {
        self.delimiter = byte;
        self
    }

    /// Whether the first line holds the column names; without, they are `0`, `1`, and so on. Unsaid, a first line
    /// of nothing but numbers is an error, as it would otherwise be lost without a word.
    pub fn header(mut self, yes: bool) -> Csv {
        self.header = Some(yes);
        self
    }

    /// A further mark of a missing cell, such as `?`.
    pub fn missing(mut self, mark: impl Into<String>) -> Csv {
        self.missing.push(mark.into());
        self
    }

    /// Reads a file, gzip-compressed or plain.
    ///
    /// # Errors
    /// When the file cannot be read or is not such a table; the message has the line.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Frame> {
        let path = path.as_ref();
        self.parse(&path.display().to_string(), &source::read_file(path)?)
    }

    /// Reads a table from memory, gzip-compressed or plain; `name` stands in error messages.
    ///
    /// # Errors
    /// When the bytes are not such a table; the message has the line.
    pub fn parse(&self, name: &str, bytes: &[u8]) -> Result<Frame> {
        let inflated;
        let bytes = if bytes.starts_with(&[0x1f, 0x8b]) {
            inflated = source::inflate(bytes.to_vec(), name)?;
            inflated.as_slice()
        } else {
            bytes
        };
        // Two passes over the text: the first finds the columns of numbers, so that the second can store each
        // cell in its final form and no cell is held as a string of its own without need.
        let (names, mut columns) = self.types(name, bytes)?;
        let mut lines = Vec::new();
        self.each_row(name, bytes, |row| {
            if row.header {
                return;
            }
            lines.push(row.line);
            for (cell, column) in row.cells.iter().zip(&mut columns) {
                let present = !self.is_missing(cell);
                match column {
                    Column::Number(v) => v.push(number(cell).filter(|_| present).unwrap_or(f64::NAN)),
                    Column::Text(v) => v.push(present.then(|| cell.to_string())),
                }
            }
        })?;
        Ok(Frame { source: name.to_string(), names, columns, lines })
    }

    /// The column names, and an empty column of the type that all its cells fit.
    fn types(&self, name: &str, bytes: &[u8]) -> Result<(Vec<String>, Vec<Column>)> {
        let mut names = Vec::new();
        let mut numeric: Vec<bool> = Vec::new();
        self.each_row(name, bytes, |row| {
            if numeric.is_empty() {
                numeric = vec![true; row.cells.len()];
                let plain = |i: usize| i.to_string();
                names =
                    if row.header { unique(row.cells) } else { (0..row.cells.len()).map(plain).collect() };
            }
            if !row.header {
                for (cell, numeric) in row.cells.iter().zip(&mut numeric) {
                    *numeric = *numeric && (self.is_missing(cell) || number(cell).is_some());
                }
            }
        })?;
        if names.is_empty() {
            let expected =
                if self.header != Some(false) { "a line of column names" } else { "at least one row" };
            return Err(Error::new("the table is empty").place(name).expected(expected));
        }
        if self.header.is_none() && names.iter().all(|n| number(n).is_some()) {
            let start = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
            return Err(Error::new(format!("the first line holds numbers, not names: {start}"))
                .place(format!("{name}, line 1"))
                .fix(
                    "Csv::new().header(false) for a table without names, header(true) if these are the names",
                ));
        }
        let empty = |n: bool| if n { Column::Number(vec![]) } else { Column::Text(vec![]) };
        Ok((names, numeric.into_iter().map(empty).collect()))
    }

    fn each_row(&self, name: &str, bytes: &[u8], mut f: impl FnMut(Row)) -> Result<()> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(self.delimiter)
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(bytes);
        let (mut record, mut first) = (csv::ByteRecord::new(), None);
        while reader
            .read_byte_record(&mut record)
            .map_err(|e| Error::new(format!("cannot read the table: {e}")).place(name))?
        {
            let line = record.position().map_or(0, |p| first_line(p, bytes));
            let place = || format!("{name}, line {line}");
            let columns = *first.get_or_insert(record.len());
            if record.len() != columns {
                return Err(ragged(record.len(), columns).place(place()));
            }
            let cells = csv::StringRecord::from_byte_record(record).map_err(|e| {
                Error::new(format!("cell {} is not UTF-8 text", e.utf8_error().field() + 1))
                    .place(place())
                    .fix("convert the file, for example: iconv -f latin1 -t utf-8")
            })?;
            f(Row {
                line,
                cells: &cells,
                header: self.header != Some(false) && reader.position().record() == 1,
            });
            record = cells.into_byte_record();
        }
        Ok(())
    }

    fn is_missing(&self, cell: &str) -> bool {
        self.missing.iter().any(|m| m == cell)
    }
}

impl Frame {
    /// Reads a comma-separated file with a line of names, gzip-compressed or plain. [`Csv`] has the options.
    ///
    /// A column whose cells are all numbers (or missing) holds float64 numbers; any other holds text. Empty cells,
    /// `NA`, `NaN`, `null` and the like are missing. Space around cells is dropped.
    ///
    /// # Errors
    /// When the file cannot be read or its rows differ in length; the message has the line.
    ///
    /// ```
    /// use rhyton_data::Frame;
    /// let path = std::env::temp_dir().join("rhyton-doc.csv");
    /// std::fs::write(&path, "x,y\n1,2\n3,4\n").unwrap();
    /// let table = Frame::read_csv(&path)?;
    /// assert_eq!(table.to_tensor()?.shape(), [2, 2]);
    /// # Ok::<(), rhyton_tensor::Error>(())
    /// ```
    pub fn read_csv(path: impl AsRef<Path>) -> Result<Frame> {
        Csv::new().read(path)
    }

    /// As [`Frame::read_csv`], from memory; `name` stands in error messages.
    ///
    /// # Errors
    /// As [`Frame::read_csv`].
    pub fn from_csv_bytes(name: &str, bytes: &[u8]) -> Result<Frame> {
        Csv::new().parse(name, bytes)
    }
}

/// The number in a cell; words that Rust reads as numbers (`nan`, `infinity`) pass only as `inf`.
pub(super) fn number(cell: &str) -> Option<f64> {
    let x: f64 = cell.parse().ok()?;
    let spelled = cell.trim_start_matches(['+', '-']);
    let digits = spelled.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    (digits || spelled.eq_ignore_ascii_case("inf")).then_some(x)
}

/// Names as pandas gives them: an empty one becomes `Unnamed: 2`, a repeated one `x.1`.
fn unique(first: &csv::StringRecord) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(first.len());
    // Each name that is taken, with the number of the last copy made of it.
    let mut taken: HashMap<String, usize> = HashMap::new();
    for (i, cell) in first.iter().enumerate() {
        let base = if cell.is_empty() { format!("Unnamed: {i}") } else { cell.to_string() };
        let mut name = base.clone();
        let mut copy = taken.get(&base).copied().unwrap_or(0);
        while taken.contains_key(&name) {
            copy += 1;
            name = format!("{base}.{copy}");
        }
        taken.insert(base, copy);
        taken.entry(name.clone()).or_insert(0);
        names.push(name);
    }
    names
}

struct Row<'a> {
    line: u64,
    cells: &'a csv::StringRecord,
    header: bool,
}

/// The line a row starts on. The reader's position lies where the row before ended: before the second half of a
/// Windows line end, and before any empty lines.
fn first_line(position: &csv::Position, bytes: &[u8]) -> u64 {
    let skipped = bytes.iter().skip(position.byte() as usize).take_while(|b| matches!(b, b'\r' | b'\n'));
    position.line() + skipped.filter(|b| **b == b'\n').count() as u64
}

fn ragged(cells: usize, columns: usize) -> Error {
    Error::new(format!("a row of {cells} cells in a table of {columns} columns"))
        .expected(format!("{columns} cells on every line"))
        .fix("check the delimiter (Csv::new().delimiter(b';')) and quotes around cells that contain it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhyton_tensor::rng::Stream;

    fn parse(text: &str) -> Result<Frame> {
        Frame::from_csv_bytes("t.csv", text.as_bytes())
    }

    #[test]
    fn ragged_rows_name_their_line() {
        let e = parse("a,b\n1,2\n\n3,4,5\n").unwrap_err().to_string();
        assert!(e.contains("a row of 3 cells in a table of 2 columns") && e.contains("t.csv, line 4"), "{e}");
        let e = parse("a,b\n1\n").unwrap_err().to_string();
        assert!(e.contains("a row of 1 cells") && e.contains("line 2"), "{e}");
    }

    #[test]
    fn lines_count_through_windows_ends_empty_lines_and_quotes() {
        let t = parse("\u{feff}a,b\r\n\r\n\"x\r\ny\",1\r\n\r\n\r\nz,2\r\n").unwrap();
        assert_eq!(t.lines, [3, 7]);
        assert_eq!(Csv::new().header(false).parse("t", b"1\n2\n\n3").unwrap().lines, [1, 2, 4]);
    }

    #[test]
    fn types_are_those_all_cells_fit() {
        let t = parse("n,t,m\n 1e3 ,007a,NA\n-.5,2,\n").unwrap();
        assert_eq!(t.column("n").unwrap().numbers(), Some(&[1000.0, -0.5][..]));
        assert!(t.column("t").unwrap().numbers().is_none());
        assert_eq!(t.column("m").unwrap().missing(), 2);
        assert!(parse("x\ninfinity\n").unwrap().column("x").unwrap().numbers().is_none());
        assert_eq!(
            parse("x\n-inf\n").unwrap().column("x").unwrap().numbers(),
            Some(&[f64::NEG_INFINITY][..])
        );
    }

    #[test]
    fn names_are_made_unique_and_a_byte_order_mark_is_dropped() {
        let t = parse("\u{feff}a,,a,a\n1,2,3,4\n").unwrap();
        assert_eq!(t.columns(), ["a", "Unnamed: 1", "a.1", "a.2"]);
    }

    #[test]
    fn many_equal_names_take_no_longer_than_others() {
        let start = std::time::Instant::now();
        let t = parse(&["a"; 50_000].join(",")).unwrap();
        assert_eq!(t.columns()[49_999], "a.49999");
        // A name that looks like a copy keeps its place, and later copies step over it.
        assert_eq!(parse("a,a.1,a,a,a.1\n").unwrap().columns(), ["a", "a.1", "a.2", "a.3", "a.1.1"]);
        assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
    }

    #[test]
    fn a_first_line_of_data_is_not_lost() {
        let e = parse("1,2.5\n3,4\n").unwrap_err().to_string();
        assert!(e.contains("the first line holds numbers, not names: 1, 2.5"), "{e}");
        assert_eq!(Csv::new().header(true).parse("t", b"1,2\n3,4\n").unwrap().columns(), ["1", "2"]);
        assert_eq!(Csv::new().header(false).parse("t", b"1,2\n3,4\n").unwrap().len(), 2);
    }

    #[test]
    fn quotes_line_breaks_and_carriage_returns_are_read() {
        let t = parse("a,b\r\n\"x, \"\"y\"\"\r\nz\",1\r\n").unwrap();
        assert_eq!(t.column("a").unwrap().cell(0).unwrap(), "x, \"y\"\r\nz");
        assert_eq!(t.len(), 1);
    }

    #[test]
    fn empty_tables_and_other_encodings_are_errors() {
        assert!(parse("").unwrap_err().to_string().contains("the table is empty"));
        assert_eq!(parse("a,b\n").unwrap().to_tensor().unwrap().shape(), [0, 2]);
        let e = Frame::from_csv_bytes("t.csv", b"a,b\n1,caf\xe9\n").unwrap_err().to_string();
        assert!(e.contains("cell 2 is not UTF-8") && e.contains("line 2"), "{e}");
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut random = Stream::new(5, 0, 0);
        let alphabet = b"a1,\"\n\r. -\xff;";
        for _ in 0..5_000 {
            let n = random.below(30);
            let pick = |_| alphabet[random.below(alphabet.len() as u32) as usize];
            let bytes: Vec<u8> = (0..n).map(pick).collect();
            if let Ok(t) = Csv::new().header(n.is_multiple_of(2)).parse("random", &bytes) {
                assert!(t.columns.iter().all(|c| c.len() == t.len()));
                assert!(!t.to_string().is_empty() && !t.describe().to_string().is_empty());
            }
        }
    }
}
