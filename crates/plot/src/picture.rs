//! [`Picture`]: drawn, to be written or put into a page.

use crate::file::{self, Format};
use crate::images::encode;
use kuva::render::render::Scene;
use rhyton_tensor::{Error, Result};
use std::path::Path;

/// A picture that is drawn.
pub struct Picture(Form);

enum Form {
    Drawn(Box<Scene>),
    Pixels { canvas: Vec<u8>, width: usize, height: usize },
}

impl Picture {
    pub(crate) fn drawn(scene: Scene) -> Picture {
        Picture(Form::Drawn(Box::new(scene)))
    }

    /// Red, green and blue of each pixel.
    pub(crate) fn pixels(canvas: Vec<u8>, width: usize, height: usize) -> Picture {
        Picture(Form::Pixels { canvas, width, height })
    }

    /// Writes the picture; the name's end, `.png` or `.svg`, gives the format. What is made of pixels is a PNG.
    ///
    /// # Errors
    /// For another format, or when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        match (&self.0, file::format(path)?) {
            (Form::Drawn(scene), _) => file::save(scene, path),
            (Form::Pixels { .. }, Format::Png) => file::write(path, &self.png()?),
            (Form::Pixels { .. }, Format::Svg) => Err(Error::new("a picture made of pixels is no SVG")
                .place(path.display().to_string())
                .expected("a name that ends in .png")),
        }
    }

    /// The bytes of a PNG.
    ///
    /// # Errors
    /// When it cannot be drawn.
    pub fn png(&self) -> Result<Vec<u8>> {
        match &self.0 {
            Form::Drawn(scene) => file::png(scene),
            Form::Pixels { canvas, width, height } => encode(canvas, *width, *height),
        }
    }

    /// The text of an SVG.
    ///
    /// # Errors
    /// For a picture made of pixels.
    pub fn svg(&self) -> Result<String> {
        match &self.0 {
            Form::Drawn(scene) => Ok(file::svg(scene)),
            Form::Pixels { .. } => Err(Error::new("a picture made of pixels is no SVG")),
        }
    }
}
