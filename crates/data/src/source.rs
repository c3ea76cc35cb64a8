//! Reading whole files, compressed or not.

use flate2::read::MultiGzDecoder;
use rhyton_tensor::{Error, Result, memory};
use std::io::Read;
use std::path::Path;

/// Inflated data beyond this is taken for a decompression bomb.
const LIMIT_BYTES: u64 = 4 << 30;

/// The bytes of a file, inflated when they start as gzip does.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io("read the file", path, &e))?;
    inflate(bytes, &path.display().to_string())
}

/// `bytes`, inflated when they start as gzip does.
pub(crate) fn inflate(bytes: Vec<u8>, name: &str) -> Result<Vec<u8>> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut out = Vec::new();
    MultiGzDecoder::new(bytes.as_slice()).take(LIMIT_BYTES + 1).read_to_end(&mut out).map_err(|e| {
        let error = memory::reading(&e).unwrap_or_else(|| {
            Error::new(format!("the gzip data is damaged: {e}"))
                .fix("fetch the file again and compare its size or checksum with the source")
        });
        error.place(name)
    })?;
    if out.len() as u64 > LIMIT_BYTES {
        return Err(Error::new("the file inflates to more than 4 GiB")
            .place(name)
            .fix("inflate it yourself and read it in parts"));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_gzip_is_an_error_that_names_the_file() {
        let e = inflate(vec![0x1f, 0x8b, 8, 0, 1, 2, 3], "x.csv.gz").unwrap_err();
        assert!(e.to_string().contains("x.csv.gz"), "{e}");
        assert_eq!(inflate(b"plain".to_vec(), "x").unwrap(), b"plain");
    }

    #[test]
    fn a_missing_file_is_named() {
        let e = read_file(Path::new("/nowhere/x.csv")).unwrap_err();
        assert!(e.to_string().contains("/nowhere/x.csv"), "{e}");
    }
}
