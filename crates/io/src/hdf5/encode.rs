//! The bytes of HDF5 datatypes and dataspaces (specification, sections IV.A.2.b and IV.A.2.d).

use rhyton_tensor::DType;

/// Datatype message, version 1.
pub fn datatype(dtype: DType) -> Vec<u8> {
    let size = dtype.size_bytes() as u8;
    match dtype {
        DType::Bool => boolean(),
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => integer(size, false),
        DType::I8 | DType::I16 | DType::I32 | DType::I64 => integer(size, true),
        // Sign position, exponent position and width, mantissa position and width, exponent bias.
        DType::F16 => float(size, 15, [10, 5, 0, 10], 15),
        DType::F32 => float(size, 31, [23, 8, 0, 23], 127),
        DType::F64 => float(size, 63, [52, 11, 0, 52], 1023),
        // Opaque without a tag.
        DType::BF16 => vec![0x15, 0, 0, 0, 2, 0, 0, 0],
    }
}

fn integer(size: u8, signed: bool) -> Vec<u8> {
    vec![0x10, if signed { 8 } else { 0 }, 0, 0, size, 0, 0, 0, 0, 0, size * 8, 0]
}

fn float(size: u8, sign: u8, fields: [u8; 4], bias: u32) -> Vec<u8> {
    let mut out = vec![0x11, 0x20, sign, 0, size, 0, 0, 0, 0, 0, size * 8, 0];
    out.extend(fields);
    out.extend(bias.to_le_bytes());
    out
}

/// An enumeration FALSE = 0, TRUE = 1 over a signed byte: what h5py makes of NumPy's booleans.
fn boolean() -> Vec<u8> {
    let mut out = vec![0x18, 2, 0, 0, 1, 0, 0, 0];
    out.extend(integer(1, true));
    out.extend(b"FALSE\0\0\0TRUE\0\0\0\0\0\x01");
    out
}

/// A string of any length, UTF-8, kept in the global heap.
pub fn text() -> Vec<u8> {
    let mut out = vec![0x19, 0x01, 0x01, 0, 16, 0, 0, 0];
    out.extend(integer(1, false));
    out
}

/// Dataspace message, version 1; no axes for a scalar.
pub fn dataspace(shape: &[usize]) -> Vec<u8> {
    let has_maximum = u8::from(!shape.is_empty());
    let mut out = vec![1, shape.len() as u8, has_maximum, 0, 0, 0, 0, 0];
    for sizes in [shape, shape] {
        out.extend(sizes.iter().flat_map(|n| (*n as u64).to_le_bytes()));
    }
    out
}

/// `bytes` filled with zeros to a multiple of eight.
pub fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}
