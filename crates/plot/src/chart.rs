//! Lines and points over two axes.

use crate::axis::{Axis, Wish};
use crate::file;
use crate::picture::Picture;
use kuva::plot::line::{LinePlot, LineStyle};
use kuva::plot::scatter::ScatterPlot;
use kuva::render::figure::Figure;
use kuva::render::layout::{AxisLabelOverlap, Layout, TickFormat};
use kuva::render::plots::Plot;
use rhyton_tensor::{Error, Result};
use std::path::Path;
use std::sync::Arc;

/// The size of one panel, in points.
const PANEL: (f64, f64) = (560.0, 380.0);

/// A chart of lines and points, built step by step and written by [`Chart::save`]. Mistakes are told then.
///
/// NaN and infinite values are gaps: a line is interrupted there. On a logarithmic axis so is anything not positive.
///
/// ```
/// use rhyton_plot::Chart;
/// let x: Vec<f64> = (0..50).map(|i| i as f64 / 10.0).collect();
/// let y: Vec<f64> = x.iter().map(|x| x.sin()).collect();
/// let path = std::env::temp_dir().join("rhyton-doc-sine.png");
/// Chart::new("A wave").x_label("time (s)").y_label("height (m)").line("sine", &x, &y).save(path)?;
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Chart {
    title: String,
    x_label: String,
    y_label: String,
    series: Vec<Series>,
    whole_x: bool,
    log_y: bool,
}

#[derive(Clone, Debug)]
struct Series {
    name: String,
    xs: Vec<f64>,
    ys: Vec<f64>,
    points: bool,
}

impl Chart {
    /// An empty chart.
    pub fn new(title: impl Into<String>) -> Chart {
        Chart {
            title: title.into(),
            x_label: String::new(),
            y_label: String::new(),
            series: vec![],
            whole_x: false,
            log_y: false,
        }
    }

    /// What the horizontal axis shows, with its unit: `time (s)`.
    pub fn x_label(mut self, text: impl Into<String>) -> Chart {
        self.x_label = text.into();
        self
    }

    /// What the vertical axis shows, with its unit.
    pub fn y_label(mut self, text: impl Into<String>) -> Chart {
        self.y_label = text.into();
        self
    }

    /// Horizontal ticks at whole numbers only: epochs, steps, counts.
    pub fn whole_x(mut self) -> Chart {
        self.whole_x = true;
        self
    }

    /// A logarithmic vertical axis.
    pub fn log_y(mut self) -> Chart {
        self.log_y = true;
        self
    }

    /// A line through the points `(xs[i], ys[i])`; the name goes into the legend, an empty one does not.
    pub fn line(self, name: impl Into<String>, xs: &[f64], ys: &[f64]) -> Chart {
        self.with(name.into(), xs, ys, false)
    }

    /// The points `(xs[i], ys[i])` themselves.
    pub fn scatter(self, name: impl Into<String>, xs: &[f64], ys: &[f64]) -> Chart {
        self.with(name.into(), xs, ys, true)
    }

    fn with(mut self, name: String, xs: &[f64], ys: &[f64], points: bool) -> Chart {
        self.series.push(Series { name, xs: xs.to_vec(), ys: ys.to_vec(), points });
        self
    }

    /// Writes the chart; the name's end, `.png` or `.svg`, gives the format.
    ///
    /// # Errors
    /// When a series has more x than y values or the reverse, when no value can be drawn, for another file format,
    /// or when the file cannot be written.
    ///
    /// ```
    /// use rhyton_plot::Chart;
    /// let e = Chart::new("t").line("loss", &[1.0, 2.0], &[0.5]).save("curve.png").unwrap_err();
    /// assert!(e.to_string().starts_with("series 'loss' has 2 x values and 1 y values"));
    /// ```
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save_panels(std::slice::from_ref(self), path)
    }

    /// The chart as a picture.
    ///
    /// # Errors
    /// As for [`save`](Chart::save), but for files.
    pub fn picture(&self) -> Result<Picture> {
        panels(std::slice::from_ref(self))
    }

    /// What to draw, or what is wrong.
    fn draw(&self) -> Result<(Vec<Plot>, Layout)> {
        for s in &self.series {
            if s.xs.len() != s.ys.len() {
                return Err(Error::new(format!(
                    "series '{}' has {} x values and {} y values",
                    s.name,
                    s.xs.len(),
                    s.ys.len()
                ))
                .place(format!("chart '{}'", self.title))
                .expected("as many of one as of the other"));
            }
        }
        // Only points with both coordinates count, or a lone bad partner would stretch the other axis.
        let x_wish = Wish { log: false, whole: self.whole_x };
        let y_wish = Wish { log: self.log_y, whole: false };
        let drawable = |v: f64, wish| Axis::around(std::iter::once(v), wish).is_some();
        let both: Vec<(f64, f64)> = self
            .series
            .iter()
            .flat_map(|s| s.xs.iter().copied().zip(s.ys.iter().copied()))
            .filter(|(x, y)| drawable(*x, x_wish) && drawable(*y, y_wish))
            .collect();
        let x = Axis::around(both.iter().map(|p| p.0), x_wish);
        let y = Axis::around(both.iter().map(|p| p.1), y_wish);
        let (Some(x), Some(y)) = (x, y) else {
            let positive = if self.log_y { "finite positive" } else { "finite" };
            return Err(Error::new("there is nothing to draw")
                .place(format!("chart '{}'", self.title))
                .expected(format!("at least one point with {positive} coordinates")));
        };
        let mut plots = Vec::new();
        for (i, s) in self.series.iter().enumerate() {
            s.draw(i, &x, &y, &mut plots);
        }
        let layout = self.layout(&plots, x, y);
        Ok((plots, layout))
    }

    fn layout(&self, plots: &[Plot], x: Axis, y: Axis) -> Layout {
        let mut layout = Layout::auto_from_plots(plots);
        // The margin for the labels is measured over these ranges, which would otherwise be those of the data.
        (layout.x_range, layout.y_range) = (x.ends, y.ends);
        layout
            .with_width(PANEL.0)
            .with_height(PANEL.1)
            .with_title(file::plain(&self.title))
            .with_x_label(file::plain(&self.x_label))
            .with_y_label(file::plain(&self.y_label))
            .with_x_axis_min(x.ends.0)
            .with_x_axis_max(x.ends.1)
            .with_y_axis_min(y.ends.0)
            .with_y_axis_max(y.ends.1)
            .with_x_tick_step(1.0)
            .with_y_tick_step(1.0)
            .with_x_tick_format(TickFormat::Custom(Arc::new(move |k| x.label(k))))
            .with_y_tick_format(TickFormat::Custom(Arc::new(move |k| y.label(k))))
            .with_legend_box(false)
            .with_x_label_overlap(AxisLabelOverlap::Thin)
            .with_title_wrap(44)
            .with_x_label_wrap(60)
            .with_y_label_wrap(36)
            .with_legend_wrap(20)
    }
}

impl Series {
    /// Adds the marks of this series, the `i`-th of its chart, in the units of the axes.
    fn draw(&self, i: usize, x: &Axis, y: &Axis, plots: &mut Vec<Plot>) {
        let color = file::COLORS[i % file::COLORS.len()];
        let at = |(a, b): (&f64, &f64)| Some((x.position(*a)?, y.position(*b)?));
        let all: Vec<Option<(f64, f64)>> = self.xs.iter().zip(&self.ys).map(at).collect();
        let mut name = Some(file::plain(&self.name)).filter(|n| !n.is_empty());
        let pieces: Vec<&[Option<(f64, f64)>]> = if self.points {
            vec![&all]
        } else {
            all.split(Option::is_none).filter(|piece| !piece.is_empty()).collect()
        };
        for piece in pieces {
            let points: Vec<(f64, f64)> = piece.iter().copied().flatten().collect();
            if points.is_empty() {
                continue;
            }
            // A single point between two gaps would be a line of no length.
            if self.points || points.len() == 1 {
                let size = if self.points { 3.5 } else { 3.0 };
                let mut plot = ScatterPlot::new().with_data(points).with_color(color).with_size(size);
                plot.legend_label = name.take();
                plots.push(plot.into());
            } else {
                let style = if i < file::COLORS.len() { LineStyle::Solid } else { LineStyle::Dashed };
                let mut plot = LinePlot::new().with_data(points).with_color(color).with_line_style(style);
                plot.legend_label = name.take();
                plots.push(plot.into());
            }
        }
    }
}

/// Writes several charts into one picture: side by side up to three, else in two columns.
///
/// # Errors
/// Without charts, and for what [`Chart::save`] refuses.
///
/// ```
/// use rhyton_plot::{Chart, save_panels};
/// let a = Chart::new("left").line("", &[0.0, 1.0], &[0.0, 1.0]);
/// let b = Chart::new("right").scatter("", &[0.0, 1.0], &[1.0, 0.0]);
/// save_panels(&[a, b], std::env::temp_dir().join("rhyton-doc-panels.svg"))?;
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn save_panels(charts: &[Chart], path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    file::format(path)?;
    panels(charts).map_err(|e| e.place(path.display().to_string()))?.save(path)
}

/// Several charts in one picture.
fn panels(charts: &[Chart]) -> Result<Picture> {
    if charts.is_empty() {
        return Err(Error::new("there are no charts to draw"));
    }
    let drawn: Vec<(Vec<Plot>, Layout)> = charts.iter().map(Chart::draw).collect::<Result<_>>()?;
    let (plots, layouts): (Vec<_>, Vec<_>) = drawn.into_iter().unzip();
    let columns = if charts.len() <= 3 { charts.len() } else { 2 };
    let rows = charts.len().div_ceil(columns);
    let figure = Figure::new(rows, columns)
        .with_structure((0..charts.len()).map(|i| vec![i]).collect())
        .with_plots(plots)
        .with_layouts(layouts)
        .with_cell_size(PANEL.0, PANEL.1);
    Ok(Picture::drawn(figure.render()))
}
