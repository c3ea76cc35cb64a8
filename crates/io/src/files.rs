//! Files of several kinds, over [`rhyton_tensor::files`]: what the first bytes say, and where inside an error is.

use rhyton_tensor::Error;
use std::path::Path;

pub use rhyton_tensor::files::*;

/// Puts the file before the place inside of it that every problem of `e` names.
pub(crate) fn in_file(mut e: Error, path: &Path) -> Error {
    let file = path.display().to_string();
    for p in &mut e.problems {
        p.place = Some(match p.place.take() {
            Some(place) if place.starts_with(&file) => place,
            Some(place) if place.is_empty() => file.clone(),
            Some(place) => format!("{file} / {place}"),
            None => file.clone(),
        });
    }
    e
}

/// What the first bytes of a file look like, for errors about a file of the wrong kind.
pub(crate) fn looks_like(head: &[u8]) -> &'static str {
    const MAGIC: [(&[u8], &str); 10] = [
        (b"PK\x03\x04", "a zip archive (.keras, .npz)"),
        (b"PK\x05\x06", "an empty zip archive"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file (.h5, .weights.h5)"),
        (b"\x93NUMPY", "a NumPy array (.npy)"),
        (b"\x1f\x8b", "a gzip file"),
        (b"\x80\x02", "a Python pickle"),
        (b"\x80\x04", "a Python pickle"),
        (b"version https://git-lfs", "a Git LFS pointer; run `git lfs pull` to get the file itself"),
        (b"<", "a web page or XML, perhaps a failed download"),
        (b"{", "JSON text"),
    ];
    if head.is_empty() {
        return "empty";
    }
    MAGIC.iter().find(|(m, _)| head.starts_with(m)).map_or("of an unknown kind", |(_, what)| what)
}
