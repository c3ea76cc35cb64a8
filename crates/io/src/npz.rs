//! NumPy's `.npy` arrays and `.npz` archives of them.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>. Arrays of Python objects are
//! pickles, which can run code when they are opened; they are refused.

use crate::archive::{Archive, ArchiveWriter};
use crate::files::{self, WriteSeek};
use rhyton_tensor::{DType, Error, Result, Tensor, memory};
use std::path::Path;

const MAGIC: &[u8] = b"\x93NUMPY";

/// All arrays of a `.npz` file with their names, in the order of the archive.
///
/// # Errors
/// When the file cannot be read, is no zip archive, or a member is not an array of numbers or booleans.
pub fn read_npz(path: impl AsRef<Path>) -> Result<Vec<(String, Tensor)>> {
    let path = path.as_ref();
    npz_arrays(&mut Archive::open(path)?, &path.display().to_string())
}

/// The same from the bytes of such a file; `place` names them in errors.
///
/// # Errors
/// As [`read_npz`].
pub fn read_npz_bytes(bytes: Vec<u8>, place: &str) -> Result<Vec<(String, Tensor)>> {
    npz_arrays(&mut Archive::from_bytes(bytes, place)?, place)
}

fn npz_arrays(archive: &mut Archive, file: &str) -> Result<Vec<(String, Tensor)>> {
    let mut arrays = Vec::new();
    for name in archive.names().to_vec() {
        let place = || format!("{file} / {name}");
        let Some(key) = name.strip_suffix(".npy") else {
            return Err(Error::new("an .npz file holds only .npy members").place(place()));
        };
        let tensor = read_npy(&archive.read(&name)?).map_err(|e| e.place(place()))?;
        arrays.push((key.to_owned(), tensor));
    }
    Ok(arrays)
}

/// Writes a `.npz` file that `numpy.load` reads, uncompressed; the file is replaced in one step.
///
/// `bfloat16`, which NumPy itself does not have, is stored as two-byte `V2` elements, as `ml_dtypes` does.
///
/// # Errors
/// When two arrays have the same name, a name is not a plain relative path, or writing fails.
pub fn write_npz(path: impl AsRef<Path>, arrays: &[(&str, &Tensor)]) -> Result<()> {
    files::write_atomically(path, |out| write_npz_to(out, arrays))
}

/// Writes the bytes of such a file to wherever they go.
///
/// # Errors
/// As [`write_npz`].
pub fn write_npz_to(out: &mut dyn WriteSeek, arrays: &[(&str, &Tensor)]) -> Result<()> {
    let mut archive = ArchiveWriter::new(out);
    for (name, tensor) in arrays {
        archive.add(&format!("{name}.npy"), &write_npy(tensor))?;
    }
    archive.finish()
}

/// The array in the bytes of a `.npy` file: either byte order, row or column order.
///
/// # Errors
/// When the bytes are not a complete `.npy` file of numbers or booleans.
pub fn read_npy(bytes: &[u8]) -> Result<Tensor> {
    let (header, data) = split(bytes)?;
    let header = Header::parse(header).ok_or_else(|| {
        Error::new("the header of the .npy array is damaged").fix("save the array again with numpy.save")
    })?;
    let (dtype, big_endian) = element_type(&header.descr)?;
    let wanted = memory::bytes(dtype, &header.shape).ok();
    if wanted != Some(data.len()) {
        return Err(Error::new(format!("the .npy array has {} bytes of elements", data.len()))
            .expected(format!(
                "{} for {dtype} {:?}",
                wanted.map_or("more".into(), |n| n.to_string()),
                header.shape
            ))
            .fix("the file is cut short or damaged: copy or save it again"));
    }
    let mut owned;
    let mut data = data;
    if big_endian {
        owned = memory::copied(data)?;
        owned.chunks_exact_mut(dtype.size_bytes()).for_each(<[u8]>::reverse);
        data = &owned;
    }
    if header.fortran_order && header.shape.len() > 1 {
        owned = to_row_order(data, &header.shape, dtype.size_bytes())?;
        data = &owned;
    }
    Tensor::from_le_bytes(dtype, header.shape, data)
}

/// The bytes of a `.npy` file, version 1.0, little-endian, row by row.
pub fn write_npy(tensor: &Tensor) -> Vec<u8> {
    let shape = match tensor.shape() {
        [n] => format!("({n},)"),
        sizes => format!("({})", sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    };
    let mut header =
        format!("{{'descr': '{}', 'fortran_order': False, 'shape': {shape}, }}", descr(tensor.dtype()));
    // Version 2.0 has a longer length field: tensors of many thousand axes need it.
    let version: u8 = if header.len() < 65_000 { 1 } else { 2 };
    let prefix = MAGIC.len() + if version == 1 { 4 } else { 6 };
    // NumPy pads with spaces so that the elements start at a multiple of 64, for memory mapping.
    let padded = (prefix + header.len() + 1).next_multiple_of(64) - prefix;
    header.extend(std::iter::repeat_n(' ', padded - header.len() - 1));
    header.push('\n');
    let mut out = Vec::with_capacity(prefix + padded + tensor.len() * tensor.dtype().size_bytes());
    out.extend(MAGIC);
    out.extend([version, 0]);
    let length = (padded as u32).to_le_bytes();
    out.extend(&length[..prefix - MAGIC.len() - 2]);
    out.extend(header.as_bytes());
    out.extend(tensor.to_le_bytes());
    out
}

/// Header text and element bytes.
fn split(bytes: &[u8]) -> Result<(&str, &[u8])> {
    let parts = || {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (major, rest) = (*rest.first()?, rest.get(2..)?);
        let (length, rest) = match major {
            1 => (usize::from(u16::from_le_bytes(*rest.first_chunk()?)), rest.get(2..)?),
            2 | 3 => (usize::try_from(u32::from_le_bytes(*rest.first_chunk()?)).ok()?, rest.get(4..)?),
            _ => return None,
        };
        let (header, data) = rest.split_at_checked(length)?;
        Some((std::str::from_utf8(header).ok()?, data))
    };
    parts().ok_or_else(|| {
        Error::new("this is not a complete .npy array of version 1, 2 or 3")
            .expected(format!("bytes that start with \\x93NUMPY; these are {}", files::looks_like(bytes)))
            .fix("copy the file again, or save the array again with numpy.save")
    })
}

/// The Python dictionary at the start of a `.npy` file.
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl Header {
    fn parse(text: &str) -> Option<Header> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        let mut rest = text.trim().strip_prefix('{')?.trim_start();
        while !rest.starts_with('}') {
            let (key, after) = quoted(rest)?;
            rest = after.trim_start().strip_prefix(':')?.trim_start();
            match key {
                "descr" if rest.starts_with('[') => {
                    // A list describes records; its text is only shown in the refusal.
                    let end = rest.rfind(']')? + 1;
                    descr = Some(rest.get(..end)?.to_owned());
                    rest = rest.get(end..)?;
                }
                "descr" => {
                    let (value, after) = quoted(rest)?;
                    (descr, rest) = (Some(value.to_owned()), after);
                }
                "fortran_order" => {
                    let value = rest.starts_with("True");
                    rest = rest.strip_prefix(if value { "True" } else { "False" })?;
                    fortran_order = Some(value);
                }
                "shape" => {
                    let (inside, after) = rest.strip_prefix('(')?.split_once(')')?;
                    (shape, rest) = (Some(sizes(inside)?), after);
                }
                _ => return None,
            }
            rest = rest.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        Some(Header { descr: descr?, fortran_order: fortran_order?, shape: shape? })
    }
}

/// A quoted word and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text.get(1..)?.split_once(quote)
}

/// `3, 4` or `3,` or nothing; Python 2 wrote `3L`.
fn sizes(inside: &str) -> Option<Vec<usize>> {
    let inside = inside.trim();
    let inside = inside.strip_suffix(',').unwrap_or(inside);
    if inside.is_empty() {
        return Some(vec![]);
    }
    inside.split(',').map(|s| s.trim().trim_end_matches('L').parse().ok()).collect()
}

/// Element type and whether it is big-endian.
fn element_type(descr: &str) -> Result<(DType, bool)> {
    let big_endian = descr.starts_with('>');
    let dtype = match descr.trim_start_matches(['<', '>', '|', '=']) {
        "b1" | "?" => DType::Bool,
        "i1" => DType::I8,
        "i2" => DType::I16,
        "i4" => DType::I32,
        "i8" => DType::I64,
        "u1" => DType::U8,
        "u2" => DType::U16,
        "u4" => DType::U32,
        "u8" => DType::U64,
        "f2" => DType::F16,
        "f4" => DType::F32,
        "f8" => DType::F64,
        "V2" => DType::BF16,
        "O" => {
            return Err(Error::new(
                "the array holds Python objects (a pickle), which could run code when opened",
            )
            .expected("numbers or booleans: nothing in a file can run code in Rhyton")
            .fix("convert it in Python, for example with `array.astype('float32')`, and save it again"));
        }
        _ => {
            return Err(Error::new(format!("elements of NumPy type {descr:?} are not supported"))
                .expected("bool, int8 to int64, uint8 to uint64, float16, float32 or float64")
                .fix("convert the array in Python and save it again"));
        }
    };
    Ok((dtype, big_endian))
}

fn descr(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "|b1",
        DType::U8 => "|u1",
        DType::I8 => "|i1",
        DType::U16 => "<u2",
        DType::I16 => "<i2",
        DType::U32 => "<u4",
        DType::I32 => "<i4",
        DType::U64 => "<u8",
        DType::I64 => "<i8",
        DType::F16 => "<f2",
        DType::BF16 => "<V2",
        DType::F32 => "<f4",
        DType::F64 => "<f8",
    }
}

/// Elements stored column by column, put row by row. `data` holds exactly the elements of `shape`.
fn to_row_order(data: &[u8], shape: &[usize], size: usize) -> Result<Vec<u8>> {
    let mut out = memory::room(data.len())?;
    // A header can claim a million axes of size 1. Those that are left are few: their sizes multiply to the elements.
    let shape: Vec<usize> = shape.iter().copied().filter(|n| *n != 1).collect();
    let mut index = vec![0; shape.len()];
    for _ in 0..data.len() / size {
        let at = shape.iter().zip(&index).rev().fold(0, |at, (n, i)| at * n + i) * size;
        out.extend_from_slice(&data[at..at + size]);
        for (i, n) in index.iter_mut().zip(&shape).rev() {
            *i += 1;
            if *i < *n {
                break;
            }
            *i = 0;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A version 1.0 file with this header text.
    fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        let mut out = b"\x93NUMPY\x01\x00".to_vec();
        out.extend((header.len() as u16).to_le_bytes());
        out.extend(header.as_bytes());
        out.extend(data);
        out
    }

    #[test]
    fn every_type_and_rank_round_trips() {
        for dtype in DType::ALL {
            for shape in [vec![], vec![0], vec![6], vec![2, 3], vec![1, 3, 2, 1], vec![3, 0, 2]] {
                let n = shape.iter().product::<usize>();
                let t = Tensor::from_fn([n], |i| i as f64).cast(dtype).reshape(shape).unwrap();
                let bytes = write_npy(&t);
                assert_eq!((bytes.len() - n * dtype.size_bytes()) % 64, 0);
                assert!(read_npy(&bytes).unwrap().same_bits(&t), "{t:?}");
            }
        }
        let many_axes = Tensor::scalar(1.0f32).reshape(vec![1; 30_000]).unwrap();
        assert!(read_npy(&write_npy(&many_axes)).unwrap().same_bits(&many_axes));
    }

    #[test]
    fn column_order_and_big_endian_are_understood() {
        let header = "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }          \n";
        let data: Vec<u8> = [1i16, 4, 2, 5, 3, 6].iter().flat_map(|x| x.to_be_bytes()).collect();
        let t = read_npy(&npy(header, &data)).unwrap();
        assert_eq!(t.shape(), [2, 3]);
        assert_eq!(t.as_slice::<i16>(), Some(&[1, 2, 3, 4, 5, 6][..]));
        let python2 = "{\"descr\":'|u1','shape':(3L,),'fortran_order':False}";
        assert_eq!(read_npy(&npy(python2, &[1, 2, 3])).unwrap().shape(), [3]);
    }

    #[test]
    fn a_million_axes_cost_nothing_per_element() {
        let ones = "1, ".repeat(200_000);
        let header = format!("{{'descr': '|u1', 'fortran_order': True, 'shape': ({ones}100000, 2), }}");
        let mut file = b"\x93NUMPY\x02\x00".to_vec();
        file.extend((header.len() as u32).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend((0..200_000).map(|i| (i / 100_000) as u8));
        let start = std::time::Instant::now();
        let t = read_npy(&file).unwrap();
        assert!(start.elapsed() < std::time::Duration::from_secs(1), "{:?}", start.elapsed());
        assert_eq!(&t.as_slice::<u8>().unwrap()[..4], [0, 1, 0, 1]);
    }

    #[test]
    fn pickles_and_foreign_types_are_refused_by_name() {
        let e = |descr: &str| {
            let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}");
            read_npy(&npy(&header, &[0; 16])).unwrap_err().to_string()
        };
        assert!(e("'|O'").contains("nothing in a file can run code"), "{}", e("'|O'"));
        for foreign in ["'<c8'", "'<U4'", "'<M8[ns]'", "[('a', '<i4'), ('b', '<f8')]"] {
            assert!(e(foreign).contains("not supported"), "{}", e(foreign));
        }
    }

    #[test]
    fn sizes_are_checked_before_anything_is_allocated() {
        for shape in ["(1000000000, 1000000000, 1000000000)", "(99999999999,)", "(4,)", "(2,)"] {
            let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
            let e = read_npy(&npy(&header, &[0; 12])).unwrap_err().to_string();
            assert!(e.contains("has 12 bytes of elements"), "{e}");
        }
        for bad in
            ["", "{", "{'descr'", "{'shape': (1,)}", "{'descr': '<f4', 'fortran_order': 1}", "{'x': 1}"]
        {
            assert!(read_npy(&npy(bad, &[])).unwrap_err().to_string().contains("damaged"), "{bad}");
        }
        assert!(read_npy(b"\x80\x04]").unwrap_err().to_string().contains("pickle"));
    }

    #[test]
    fn archives_keep_names_and_order() {
        let path = std::env::temp_dir().join(format!("rhyton-npz-{}.npz", std::process::id()));
        let (a, b) = (Tensor::scalar(1.5f32), Tensor::vector(vec![true, false]));
        write_npz(&path, &[("z/last", &a), ("a", &b)]).unwrap();
        let read = read_npz(&path).unwrap();
        assert_eq!(read, [("z/last".to_owned(), a.clone()), ("a".to_owned(), b)]);
        let e = write_npz(&path, &[("a", &a), ("a", &a)]).unwrap_err().to_string();
        assert!(e.contains("twice"), "{e}");
        assert_eq!(read_npz(&path).unwrap().len(), 2);
        std::fs::remove_file(path).unwrap();
    }
}
