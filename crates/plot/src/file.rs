//! Writing pictures, and how they look.

use kuva::backend::raster::RasterBackend;
use kuva::backend::svg::SvgBackend;
use kuva::render::render::Scene;
use rhyton_tensor::{Error, Result, files};
use std::path::Path;

/// Colours that stay apart for colour-blind readers (Okabe and Ito, 2008), yellow left out as it fades on white.
pub(crate) const COLORS: [&str; 7] =
    ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];

/// Pixels per unit of length in a PNG: sharp on dense screens.
const SCALE: f32 = 2.0;

/// What the name of a file asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Png,
    Svg,
}

/// The format that `path` ends in.
pub(crate) fn format(path: &Path) -> Result<Format> {
    let end = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    match end.as_deref() {
        Some("png") => Ok(Format::Png),
        Some("svg") => Ok(Format::Svg),
        _ => Err(Error::new("the name of a picture must say its format")
            .place(path.display().to_string())
            .expected("a name that ends in .png or .svg")),
    }
}

/// Draws `scene` into `path`.
pub(crate) fn save(scene: &Scene, path: &Path) -> Result<()> {
    let bytes = match format(path)? {
        Format::Svg => svg(scene).into_bytes(),
        Format::Png => png(scene).map_err(|e| e.place(path.display().to_string()))?,
    };
    write(path, &bytes)
}

/// `scene` as the text of an SVG.
pub(crate) fn svg(scene: &Scene) -> String {
    SvgBackend::default().render_scene(scene)
}

/// `scene` as the bytes of a PNG.
pub(crate) fn png(scene: &Scene) -> Result<Vec<u8>> {
    let drawn = RasterBackend::new().with_scale(SCALE).render_scene(scene);
    drawn.map_err(|e| Error::new(format!("cannot draw the picture: {e}")))
}

/// Writes a picture: the file holds it whole, or what it held before.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    files::write_atomically(path, |out| out.write_all(bytes).map_err(|e| files::write_failed(&e)))
}

/// `text` as one line without markup: the drawing library reads formulas between dollar signs.
pub(crate) fn plain(text: &str) -> String {
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    one_line.replace('$', "\\$")
}
