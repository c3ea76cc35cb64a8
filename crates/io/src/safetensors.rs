//! The safetensors format: a JSON header and the elements of every tensor, back to back.
//!
//! Format: <https://github.com/huggingface/safetensors#format>. Eight bytes of header length (little-endian), the
//! header `{"name": {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, "__metadata__": {..}}`, then the
//! elements, without holes or overlap.

use crate::files;
use rhyton_tensor::{DType, Error, Result, Tensor, memory};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::Path;

/// The limit that the reference implementation sets for the header.
const MAX_HEADER: u64 = 100_000_000;
const METADATA: &str = "__metadata__";

/// The content of a safetensors file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SafeTensors {
    /// The tensors in the order of their elements in the file.
    pub tensors: Vec<(String, Tensor)>,
    /// Free text by key.
    pub metadata: BTreeMap<String, String>,
}

impl SafeTensors {
    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|(n, _)| n == name).map(|(_, t)| t)
    }

    /// The content of a whole file in memory.
    ///
    /// # Errors
    /// When the bytes are not a complete safetensors file of supported types.
    pub fn from_bytes(bytes: &[u8]) -> Result<SafeTensors> {
        parse(Cursor::new(bytes), bytes.len() as u64)
    }
}

/// Reads a safetensors file, tensor by tensor: the file is never in memory as a whole.
///
/// # Errors
/// When the file cannot be read or is not a complete safetensors file of supported types.
pub fn read_safetensors(path: impl AsRef<Path>) -> Result<SafeTensors> {
    let path = path.as_ref();
    let mut file = files::open(path)?;
    let length = file
        .seek(SeekFrom::End(0))
        .and_then(|n| file.rewind().map(|()| n))
        .map_err(|e| files::explain("read the file", path, &e))?;
    parse(file, length).map_err(|e| e.place(path.display().to_string()))
}

fn parse(mut source: impl Read, length: u64) -> Result<SafeTensors> {
    let header = read_header(&mut source, length)?;
    let (entries, metadata) = parse_header(&header)?;
    let mut at = 0;
    for e in &entries {
        let wanted = memory::bytes(e.dtype, &e.shape).ok().map(|n| n as u64);
        if e.begin != at || wanted.is_none() || wanted != e.end.checked_sub(e.begin) {
            return Err(damaged("the offsets leave holes, overlap or do not fit the shape").place(&e.name));
        }
        at = e.end;
    }
    if (8 + header.len() as u64).checked_add(at) != Some(length) {
        return Err(damaged("the file is not as long as its header says"));
    }
    let mut tensors = Vec::with_capacity(entries.len());
    for e in entries {
        let bytes = read_exactly(&mut source, e.end - e.begin)?;
        let tensor = Tensor::from_le_bytes(e.dtype, e.shape, &bytes).map_err(|x| x.place(&e.name))?;
        tensors.push((e.name, tensor));
    }
    Ok(SafeTensors { tensors, metadata })
}

/// What the header says about one tensor.
struct Entry {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    begin: u64,
    end: u64,
}

fn read_header(source: &mut impl Read, length: u64) -> Result<Vec<u8>> {
    let size = read_exactly(source, 8.min(length))?;
    let size = size.first_chunk().map(|b| u64::from_le_bytes(*b));
    match size {
        Some(n) if n <= MAX_HEADER && n <= length.saturating_sub(8) => read_exactly(source, n),
        _ => Err(Error::new("this is not a complete safetensors file")
            .expected("eight bytes of header length, then a JSON header")
            .fix("copy or download the file again, or check that it is the one you meant")),
    }
}

/// Exactly `n` bytes; the buffer grows with what is really there.
fn read_exactly(source: &mut impl Read, n: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match source.take(n).read_to_end(&mut bytes) {
        Ok(read) if read as u64 == n => Ok(bytes),
        Ok(_) => Err(damaged("the file ends too early")),
        Err(e) => {
            Err(memory::reading(&e).unwrap_or_else(|| Error::new(format!("cannot read the file: {e}"))))
        }
    }
}

fn parse_header(header: &[u8]) -> Result<(Vec<Entry>, BTreeMap<String, String>)> {
    let header: Map<String, Value> =
        serde_json::from_slice(header).map_err(|e| damaged(&format!("the header is not JSON: {e}")))?;
    let (mut entries, mut metadata) = (Vec::new(), BTreeMap::new());
    for (name, value) in header {
        if name == METADATA {
            metadata = serde_json::from_value(value).map_err(|e| damaged(&format!("metadata: {e}")))?;
        } else {
            entries.push(parse_entry(name, &value)?);
        }
    }
    // Empty tensors share their offset with a neighbour: the end decides.
    entries.sort_by_key(|e| (e.begin, e.end));
    Ok((entries, metadata))
}

fn parse_entry(name: String, value: &Value) -> Result<Entry> {
    let text = value.get("dtype").and_then(Value::as_str);
    let Some(text) = text else { return Err(damaged("a tensor has no dtype").place(name)) };
    let Some(dtype) = DType::ALL.into_iter().find(|d| type_name(*d) == text) else {
        return Err(Error::new(format!("elements of type {text:?} are not supported"))
            .place(name)
            .expected(DType::ALL.map(type_name).join(", ")));
    };
    let numbers =
        |key| -> Option<Vec<u64>> { value.get(key)?.as_array()?.iter().map(Value::as_u64).collect() };
    let shape = numbers("shape").and_then(|s| s.into_iter().map(|n| usize::try_from(n).ok()).collect());
    match (shape, numbers("data_offsets").as_deref()) {
        (Some(shape), Some(&[begin, end])) => Ok(Entry { name, dtype, shape, begin, end }),
        _ => Err(damaged("a tensor has no valid shape and data_offsets").place(name)),
    }
}

fn damaged(what: &str) -> Error {
    Error::new(format!("the safetensors file is damaged: {what}")).fix("copy or make the file again")
}

fn type_name(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "BOOL",
        DType::U8 => "U8",
        DType::I8 => "I8",
        DType::U16 => "U16",
        DType::I16 => "I16",
        DType::U32 => "U32",
        DType::I32 => "I32",
        DType::U64 => "U64",
        DType::I64 => "I64",
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        DType::F32 => "F32",
        DType::F64 => "F64",
    }
}

/// Writes a safetensors file; equal content gives equal bytes, and the file is replaced in one step.
///
/// Wide types come first, as the reference implementation orders them, so that every tensor is aligned.
///
/// # Errors
/// When two tensors have the same name, one is named `__metadata__`, or writing fails.
pub fn write_safetensors(
    path: impl AsRef<Path>,
    tensors: &[(&str, &Tensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let mut order: Vec<_> = tensors.to_vec();
    order.sort_by_key(|(_, t)| std::cmp::Reverse(t.dtype().size_bytes()));
    let header = make_header(&order, metadata)?;
    files::write_atomically(path, |out| {
        let mut write = |bytes: &[u8]| out.write_all(bytes).map_err(|e| files::write_failed(&e));
        write(&(header.len() as u64).to_le_bytes())?;
        write(&header)?;
        order.iter().try_for_each(|(_, t)| write(&t.to_le_bytes()))
    })
}

fn make_header(tensors: &[(&str, &Tensor)], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert(METADATA.into(), json!(metadata));
    }
    let mut at = 0;
    for (name, t) in tensors {
        let end = at + t.len() * t.dtype().size_bytes();
        let entry = json!({"dtype": type_name(t.dtype()), "shape": t.shape(), "data_offsets": [at, end]});
        if *name == METADATA || header.insert((*name).into(), entry).is_some() {
            return Err(Error::new(format!("{name:?} cannot name a tensor: it is reserved or there twice")));
        }
        at = end;
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    // Spaces at the end align the elements to eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    if header.len() as u64 > MAX_HEADER {
        return Err(Error::new("the names and metadata take more than 100 MB")
            .fix("store fewer tensors or less metadata in one file"));
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("rhyton-st-{name}-{}.safetensors", std::process::id()))
    }

    #[test]
    fn every_type_round_trips_with_metadata() {
        let tensors: Vec<(String, Tensor)> = DType::ALL
            .into_iter()
            .map(|d| (d.name().to_owned(), Tensor::from_fn([2, 3], |i| i as f64).cast(d)))
            .chain([
                ("empty".into(), Tensor::zeros(DType::I64, [0, 4])),
                ("s".into(), Tensor::scalar(2.5f32)),
            ])
            .collect();
        let refs: Vec<(&str, &Tensor)> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
        let metadata = BTreeMap::from([("made by".to_owned(), "Rhyton \"ü\"".to_owned())]);
        let path = path("round");
        write_safetensors(&path, &refs, &metadata).unwrap();
        let read = read_safetensors(&path).unwrap();
        assert_eq!(read.metadata, metadata);
        assert_eq!(read.tensors.len(), tensors.len());
        for (name, t) in &tensors {
            assert!(read.tensor(name).unwrap().same_bits(t), "{name}");
        }
        let bytes = files::read(&path).unwrap();
        assert_eq!(SafeTensors::from_bytes(&bytes).unwrap(), read);
        std::fs::remove_file(path).unwrap();
    }

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn lying_headers_are_refused() {
        let entry = |shape: &str, offsets: &str| {
            format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        assert!(SafeTensors::from_bytes(&file(&entry("[2]", "[0,8]"), &[0; 8])).is_ok());
        for (header, data) in [
            (entry("[2]", "[0,8]"), 7),
            (entry("[2]", "[0,8]"), 9),
            (entry("[2]", "[4,12]"), 12),
            (entry("[2]", "[8,0]"), 8),
            (entry("[3]", "[0,8]"), 8),
            (entry("[4294967296,4294967296,4294967296]", "[0,8]"), 8),
            (entry("[-2]", "[0,8]"), 8),
            (entry("[2]", "[0,18446744073709551615]"), 8),
            (entry("[2]", "[0]"), 8),
            (entry("[2]", "[0,8]").replace("F32", "F8_E4M3"), 8),
            ("[]".into(), 0),
            (r#"{"__metadata__":{"a":1}}"#.into(), 0),
        ] {
            assert!(SafeTensors::from_bytes(&file(&header, &vec![0; data])).is_err(), "{header}");
        }
        let twice = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
        assert!(SafeTensors::from_bytes(&file(twice, &[0])).unwrap_err().to_string().contains("overlap"));
        for bytes in [&b""[..], b"\x01\0\0", &u64::MAX.to_le_bytes(), &50u64.to_le_bytes()] {
            assert!(SafeTensors::from_bytes(bytes).unwrap_err().to_string().contains("not a complete"));
        }
    }

    #[test]
    fn reserved_and_double_names_are_refused() {
        let t = Tensor::scalar(1u8);
        for names in [["__metadata__", "b"], ["a", "a"]] {
            let pair = [(names[0], &t), (names[1], &t)];
            assert!(write_safetensors(path("names"), &pair, &BTreeMap::new()).is_err());
        }
    }
}
