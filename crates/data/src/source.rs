//! Reading whole files, compressed or not.

use flate2::read::MultiGzDecoder;
use rhyton_tensor::{Error, Result, limits, memory};
use std::io::Read;
use std::path::Path;

/// Data may inflate to this many times its size, and to [`limits::UNPACKED_BYTES`] whatever its size: tables of numbers
/// and images pack to a tenth at best, zeros to a thousandth.
const RATIO: u64 = 100;

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
    let most = limits::UNPACKED_BYTES.get()?.max((bytes.len() as u64).saturating_mul(RATIO));
    MultiGzDecoder::new(bytes.as_slice()).take(most.saturating_add(1)).read_to_end(&mut out).map_err(
        |e| {
            let error = memory::reading(&e).unwrap_or_else(|| {
                Error::new(format!("the gzip data is damaged: {e}"))
                    .fix("fetch the file again and compare its size or checksum with the source")
            });
            error.place(name)
        },
    )?;
    if out.len() as u64 > most {
        return Err(Error::new(format!("{} bytes inflate to more than {most}", bytes.len()))
            .place(name)
            .fix("if you trust the file, inflate it yourself, or set RHYTON_MAX_UNPACKED_BYTES higher"));
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
    fn a_little_that_becomes_very_much_is_refused() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for _ in 0..=limits::UNPACKED_BYTES.get().unwrap() >> 20 {
            std::io::Write::write_all(&mut packed, &[b'0'; 1 << 20]).unwrap();
        }
        let e = inflate(packed.finish().unwrap(), "zeros.gz").unwrap_err().to_string();
        assert!(e.contains("inflate to more than 134217728") && e.contains("zeros.gz"), "{e}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let e = read_file(Path::new("/nowhere/x.csv")).unwrap_err();
        assert!(e.to_string().contains("/nowhere/x.csv"), "{e}");
    }
}
