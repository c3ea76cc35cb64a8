//! The IDX file format of MNIST: big-endian, two zero bytes, a type code, the number of axes, the sizes, the
//! elements. Described on the MNIST page of Y. LeCun, C. Cortes and C. Burges.

use crate::source;
use rhyton_tensor::{DType, Error, Result, Tensor, memory};
use std::path::Path;

/// Reads an IDX file, gzip-compressed or plain.
///
/// # Errors
/// When the file cannot be read, is not IDX, or its sizes do not match its bytes.
///
/// ```
/// let path = std::env::temp_dir().join("rhyton-doc-labels-idx1-ubyte");
/// std::fs::write(&path, [0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]).unwrap();
/// let labels = rhyton_data::read_idx(&path)?;
/// assert_eq!(labels.as_slice::<u8>(), Some(&[7, 2, 1][..]));
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn read_idx(path: impl AsRef<Path>) -> Result<Tensor> {
    let path = path.as_ref();
    let bytes = source::read_file(path)?;
    parse_idx(&path.display().to_string(), &bytes)
}

/// The tensor in these (uncompressed) IDX bytes; `name` stands in error messages.
///
/// # Errors
/// When the bytes are not IDX or their sizes do not match.
///
/// ```
/// let x = rhyton_data::parse_idx("bytes", &[0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 2, 9, 8])?;
/// assert_eq!(x.shape(), [1, 2]);
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn parse_idx(name: &str, bytes: &[u8]) -> Result<Tensor> {
    parse(bytes).map_err(|e| e.place(name).fix("fetch the file again and compare its size with the source"))
}

fn parse(bytes: &[u8]) -> Result<Tensor> {
    let Some((&[zero0, zero1, code, axes], rest)) = bytes.split_first_chunk::<4>() else {
        return Err(Error::new(format!("{} bytes are too few for an IDX file", bytes.len()))
            .expected("at least the 4 bytes of its magic number"));
    };
    let dtype = match (zero0, zero1, code) {
        (0, 0, 0x08) => DType::U8,
        (0, 0, 0x09) => DType::I8,
        (0, 0, 0x0B) => DType::I16,
        (0, 0, 0x0C) => DType::I32,
        (0, 0, 0x0D) => DType::F32,
        (0, 0, 0x0E) => DType::F64,
        _ => {
            return Err(Error::new(format!(
                "this is not an IDX file: it starts with {zero0:02x} {zero1:02x} {code:02x} {axes:02x}"
            ))
            .expected("00 00, a type code of 08, 09 or 0b to 0e, and the number of axes"));
        }
    };
    let axes = usize::from(axes);
    let Some((sizes, elements)) = rest.split_at_checked(axes * 4) else {
        return Err(Error::new(format!("the file ends within the sizes of its {axes} axes")));
    };
    let shape: Vec<usize> = sizes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|c| usize::try_from(u32::from_be_bytes(*c)).unwrap_or(usize::MAX))
        .collect();
    let wanted = memory::bytes(dtype, &shape).ok();
    if wanted != Some(elements.len()) {
        return Err(Error::new(format!("{} bytes do not fill {dtype} {shape:?}", elements.len()))
            .expected(wanted.map_or("a size that fits in memory".into(), |n| format!("{n} bytes"))));
    }
    Tensor::from_le_bytes(dtype, shape, &little_endian(elements, dtype.size_bytes())?)
}

fn little_endian(big: &[u8], width: usize) -> Result<Vec<u8>> {
    let mut out = memory::copied(big)?;
    if width > 1 {
        out.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhyton_tensor::rng::Stream;

    #[test]
    fn every_type_is_read() {
        let file = |code: u8, body: &[u8]| [&[0, 0, code, 1, 0, 0, 0, 1], body].concat();
        let one = |code, body: &[u8]| parse_idx("t", &file(code, body)).unwrap();
        assert_eq!(one(0x08, &[200]).as_slice::<u8>(), Some(&[200][..]));
        assert_eq!(one(0x09, &[0xFF]).as_slice::<i8>(), Some(&[-1][..]));
        assert_eq!(one(0x0B, &(-300i16).to_be_bytes()).as_slice::<i16>(), Some(&[-300][..]));
        assert_eq!(one(0x0C, &70_000i32.to_be_bytes()).as_slice::<i32>(), Some(&[70_000][..]));
        assert_eq!(one(0x0D, &1.5f32.to_be_bytes()).as_slice::<f32>(), Some(&[1.5][..]));
        assert_eq!(one(0x0E, &(-2.25f64).to_be_bytes()).as_slice::<f64>(), Some(&[-2.25][..]));
    }

    #[test]
    fn hostile_sizes_are_errors() {
        let cases: [(&[u8], &str); 5] = [
            (&[], "0 bytes are too few"),
            (b"\x89PNG....", "this is not an IDX file: it starts with 89 50 4e 47"),
            (&[0, 0, 8, 255, 0, 0], "ends within the sizes of its 255 axes"),
            (&[0, 0, 8, 1, 0, 0, 0, 3, 1, 2], "2 bytes do not fill uint8 [3]"),
            (&[0, 0, 8, 1, 0, 0, 0, 1, 1, 2], "2 bytes do not fill uint8 [1]"),
        ];
        for (bytes, text) in cases {
            let e = parse_idx("f.idx", bytes).unwrap_err().to_string();
            assert!(e.contains(text) && e.contains("f.idx"), "{e}");
        }
        let huge = [&[0, 0, 14, 3][..], &[0xFF; 12]].concat();
        assert!(parse_idx("f.idx", &huge).is_err());
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut random = Stream::new(3, 0, 0);
        for _ in 0..20_000 {
            let n = random.below(40) as usize;
            let mut bytes: Vec<u8> = (0..n).map(|_| (random.below(6) * random.below(4)) as u8).collect();
            bytes.iter_mut().take(2).for_each(|b| *b = 0);
            if let Ok(t) = parse_idx("random", &bytes) {
                assert!(t.len() <= n);
            }
        }
    }
}
