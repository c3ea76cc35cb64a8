//! A matrix as colours: confusion matrices, correlations, attention weights.

use crate::file;
use crate::picture::Picture;
use kuva::plot::colormap::ColorMap;
use kuva::plot::heatmap::Heatmap as Drawn;
use kuva::render::annotations::TextAnnotation;
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;
use kuva::render::render::render_multiple;
use rhyton_tensor::{Error, Result, Tensor};
use std::path::Path;
use std::sync::Arc;

/// A matrix `[rows, columns]` drawn as coloured cells, the first row on top; small ones with their numbers.
///
/// ```
/// use rhyton_plot::Heatmap;
/// use rhyton_tensor::Tensor;
/// let confusion = Tensor::new([2, 2], vec![48i32, 2, 5, 45])?;
/// Heatmap::new("Confusion matrix", &confusion)
///     .rows("true class", &["cat", "dog"])
///     .columns("predicted class", &["cat", "dog"])
///     .save(std::env::temp_dir().join("rhyton-doc-confusion.svg"))?;
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Heatmap {
    title: String,
    values: Tensor,
    row_label: String,
    column_label: String,
    row_names: Option<Vec<String>>,
    column_names: Option<Vec<String>>,
}

/// Beyond so many rows or columns cells are too small for their numbers.
const MAX_NUMBERED: usize = 16;
/// Width of a character of a name, in points.
const CHARACTER: f64 = 7.5;
/// The drawing library puts a text above its point; this much lower, in points, it is centred on it.
const DROP: f64 = 10.0;
/// Beyond this the names of rows and columns run into each other.
const MAX_CELLS: usize = 64;

impl Heatmap {
    /// The matrix to draw.
    pub fn new(title: impl Into<String>, values: &Tensor) -> Heatmap {
        Heatmap {
            title: title.into(),
            values: values.clone(),
            row_label: String::new(),
            column_label: String::new(),
            row_names: None,
            column_names: None,
        }
    }

    /// What the rows are, and their names; without, they are numbered from 0.
    pub fn rows(mut self, label: impl Into<String>, names: &[impl AsRef<str>]) -> Heatmap {
        self.row_label = label.into();
        self.row_names = Some(names.iter().map(|n| n.as_ref().to_string()).collect());
        self
    }

    /// What the columns are, and their names; without, they are numbered from 0.
    pub fn columns(mut self, label: impl Into<String>, names: &[impl AsRef<str>]) -> Heatmap {
        self.column_label = label.into();
        self.column_names = Some(names.iter().map(|n| n.as_ref().to_string()).collect());
        self
    }

    /// Writes the picture; the name's end, `.png` or `.svg`, gives the format.
    ///
    /// # Errors
    /// When the values are not a matrix of 1 to 64 rows and columns of finite numbers, when there are more or fewer
    /// names than rows or columns, for another format, or when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        file::format(path)?;
        self.picture()?.save(path)
    }

    /// The matrix as a picture.
    ///
    /// # Errors
    /// As for [`save`](Heatmap::save), but for files.
    pub fn picture(&self) -> Result<Picture> {
        let (rows, columns) = self.checked_size()?;
        let mut row_names = names(&self.row_names, rows, "rows")?;
        let column_names = names(&self.column_names, columns, "columns")?;
        let cells: Vec<f64> = self.values.to_vec();
        let (low, high) = cells.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
        // The drawing library gets shares of the range: halves first, so that no difference overflows.
        let span = high / 2.0 - low / 2.0;
        let share = move |v: f64| if span > 0.0 { (v / 2.0 - low / 2.0) / span } else { 0.0 };
        // Its rows count from the bottom.
        let bottom_up =
            cells.chunks(columns).rev().map(|row| row.iter().map(|v| share(*v)).collect::<Vec<_>>());
        let numbered = rows.max(columns) <= MAX_NUMBERED;
        let colors = if numbered { light_blues() } else { ColorMap::Viridis };
        let plots: Vec<Plot> = vec![Drawn::new().with_data(bottom_up).with_color_map(colors).into()];
        row_names.reverse();
        let side = (480.0 / rows.max(columns) as f64).clamp(14.0, 60.0);
        let longest = column_names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
        let mut layout = Layout::auto_from_plots(&plots)
            .with_width(side * columns as f64 + if numbered { 130.0 } else { 220.0 })
            .with_height(side * rows as f64 + 150.0)
            .with_title(file::plain(&self.title))
            .with_title_wrap(44)
            .with_x_label(file::plain(&self.column_label))
            .with_y_label(file::plain(&self.row_label))
            .with_x_categories(column_names)
            .with_y_categories(row_names)
            .with_colorbar_tick_format(TickFormat::Custom(Arc::new(move |s| short(low + 2.0 * span * s))));
        layout.show_colorbar = !numbered && span > 0.0;
        if longest as f64 * CHARACTER > side {
            layout = layout.with_x_tick_rotate(-45.0);
        }
        if numbered {
            for (i, v) in cells.iter().enumerate() {
                let (x, y) = (i % columns + 1, rows - i / columns);
                layout =
                    layout.with_annotation(TextAnnotation::new(short(*v), x as f64, y as f64 - DROP / side));
            }
        }
        Ok(Picture::drawn(render_multiple(plots, layout)))
    }

    fn checked_size(&self) -> Result<(usize, usize)> {
        let fail = |what: String| {
            Error::new(what)
                .place(format!("heatmap '{}'", self.title))
                .expected(format!("[rows, columns] of 1 to {MAX_CELLS} finite numbers each way"))
        };
        let (rows, columns) = match *self.values.shape() {
            [r @ 1..=MAX_CELLS, c @ 1..=MAX_CELLS] => (r, c),
            _ => return Err(fail(format!("the values have shape {:?}", self.values.shape()))),
        };
        match (0..self.values.len()).find(|i| !self.values.data().get_f64(*i).is_finite()) {
            None => Ok((rows, columns)),
            Some(i) => Err(fail(format!("row {}, column {} is not finite", i / columns, i % columns))),
        }
    }
}

/// White to a blue on which black numbers can still be read.
fn light_blues() -> ColorMap {
    ColorMap::Custom(Arc::new(|share: f64| {
        let channel = |full: f64| (255.0 + (full - 255.0) * share.clamp(0.0, 1.0)).round() as u8;
        format!("#{:02x}{:02x}{:02x}", channel(84.0), channel(160.0), channel(216.0))
    }))
}

/// Whole numbers in full, others with three digits.
fn short(v: f64) -> String {
    match v.abs() {
        a if a >= 1e5 || (a > 0.0 && a < 1e-3) => format!("{v:.1e}"),
        _ if v.fract() == 0.0 => format!("{v:.0}"),
        a if a >= 100.0 => format!("{v:.0}"),
        a if a >= 10.0 => format!("{v:.1}"),
        _ => format!("{v:.2}"),
    }
}

fn names(given: &Option<Vec<String>>, count: usize, what: &str) -> Result<Vec<String>> {
    match given {
        None => Ok((0..count).map(|i| i.to_string()).collect()),
        Some(names) if names.len() == count => Ok(names.iter().map(|n| file::plain(n)).collect()),
        Some(names) => Err(Error::new(format!("{} names for {count} {what}", names.len())).place("heatmap")),
    }
}
