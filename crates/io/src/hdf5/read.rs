//! Reading HDF5. The `hdf5-reader` crate decodes the structures; this module decides what may be decoded.
//!
//! - Every object may be reached on one path only, so cycles and files that unfold without end are refused.
//! - Links into other files, soft links, virtual datasets and external data are refused.
//! - What a file may fill is bounded by its own length before anything is allocated.

use super::{Attribute, Dataset, Group, MAX_DEPTH};
use crate::files;
use hdf5_reader::io::Cursor;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::attribute::AttributeMessage;
use hdf5_reader::messages::layout::DataLayout;
use hdf5_reader::messages::link::LinkTarget;
use hdf5_reader::{ByteOrder, Datatype, Hdf5File, OpenOptions, StringPadding, StringSize, VarLenKind};
use hdf5_reader::{btree_v1, btree_v2, fractal_heap, messages, symbol_table};
use rhyton_tensor::{DType, Error, Result, Tensor, memory};
use std::collections::HashSet;

/// The most that one stored byte can become: deflate packs at most about 1030 to 1, and Keras' loader draws the line
/// at 1000.
const PACKED_RATIO: u64 = 1000;
/// The most that fill values and strings may add to a byte of the file, and what is allowed in any file.
const FILLED_RATIO: u64 = 10;
const FILLED_FREE: u64 = 4 << 20;

/// The content of the HDF5 file in `bytes`.
///
/// # Errors
/// When the bytes are not a complete HDF5 file, hold a kind of data that no tensor can hold, point outside of the file,
/// or declare more data than there is.
pub fn read_hdf5(bytes: Vec<u8>) -> Result<Group> {
    let length = bytes.len() as u64;
    let kind = files::looks_like(&bytes);
    let most = |ratio: u64| usize::try_from(length.saturating_mul(ratio)).unwrap_or(usize::MAX);
    // Every chunk is used once, so keeping decoded chunks would only cost memory.
    let options = OpenOptions::default()
        .with_chunk_cache_bytes(0)
        .with_max_chunk_bytes(most(PACKED_RATIO))
        .with_max_object_header_bytes(most(1));
    let file = Hdf5File::from_owner(bytes, options).map_err(|e| {
        if kind.starts_with("an HDF5") {
            return damaged(&e);
        }
        Error::new("this is not an HDF5 file")
            .expected(format!("a .h5 or .weights.h5 file; these bytes are {kind}"))
            .fix("check that this is the file you meant")
    })?;
    let root = file.root_group().map_err(|e| damaged(&e))?;
    let mut reader = Reader {
        file,
        length,
        seen: HashSet::new(),
        plain_left: length,
        filled_left: length.saturating_mul(FILLED_RATIO).saturating_add(FILLED_FREE),
        packed_left: length.saturating_mul(PACKED_RATIO),
    };
    reader.group(&root, "", 0)
}

fn damaged(e: &hdf5_reader::error::Error) -> Error {
    Error::new(format!("the HDF5 file is damaged or uses something Rhyton does not read: {e}"))
        .fix("copy or make the file again; if h5py reads it, please report it")
}

fn hostile(what: impl Into<String>) -> Error {
    Error::new(what).fix("do not trust this file; make it again with Keras or Rhyton")
}

struct Reader {
    file: Hdf5File,
    length: u64,
    /// Addresses of the objects already read.
    seen: HashSet<u64>,
    /// Bytes that data stored as it is may still take: all of it lies in the file, without overlap.
    plain_left: u64,
    /// Bytes that fill values of data missing in the file and strings that may be referred to twice may still take.
    filled_left: u64,
    /// Bytes that compressed data may still take.
    packed_left: u64,
}

impl Reader {
    fn group(&mut self, group: &hdf5_reader::group::Group, path: &str, depth: usize) -> Result<Group> {
        let place = || if path.is_empty() { "/" } else { path }.to_owned();
        if depth > MAX_DEPTH {
            return Err(hostile(format!("groups nest deeper than {MAX_DEPTH}")).place(place()));
        }
        self.first_visit(group.address()).map_err(|e| e.place(place()))?;
        self.refuse_links(group.address()).map_err(|e| e.place(place()))?;
        let (groups, datasets) = group.members().map_err(|e| damaged(&e).place(place()))?;
        let mut out = Group::default();
        let stored = group.raw_attributes().map_err(|e| damaged(&e).place(place()))?;
        for a in stored {
            let resolve = |r: &[u8]| group.resolve_vlen_reference_bytes(r, 1);
            out.attributes.push(self.attribute(&a, resolve).map_err(|e| e.place(place()))?);
        }
        for d in datasets {
            let path = format!("{path}/{}", d.name());
            out.datasets.push((d.name().to_owned(), self.dataset(&d).map_err(|e| e.place(path))?));
        }
        for g in groups {
            let path = format!("{path}/{}", g.name());
            out.groups.push((g.name().to_owned(), self.group(&g, &path, depth + 1)?));
        }
        Ok(out)
    }

    fn first_visit(&mut self, address: u64) -> Result<()> {
        if self.seen.insert(address) {
            return Ok(());
        }
        Err(hostile("an object is reachable under two names: a link or a cycle").expected("a plain tree"))
    }

    /// The `hdf5-reader` crate follows soft links and leaves out those it cannot follow; both would be silent.
    fn refuse_links(&self, address: u64) -> Result<()> {
        let header = self.file.get_or_parse_header(address).map_err(|e| damaged(&e))?;
        for message in &header.messages {
            match message {
                HdfMessage::SymbolTable(table) => self.refuse_links_of_symbols(table.btree_address)?,
                HdfMessage::Link(link) => refuse_link(&link.name, &link.target)?,
                HdfMessage::LinkInfo(info) if !self.is_undefined(info.fractal_heap_address) => self
                    .refuse_dense_links(info.fractal_heap_address, info.btree_name_index_address)
                    .map_err(|e| damaged(&e))??,
                _ => {}
            }
        }
        Ok(())
    }

    fn is_undefined(&self, address: u64) -> bool {
        Cursor::is_undefined_offset(address, self.file.superblock().offset_size)
    }

    /// Looks through the symbol table nodes of an old-style group.
    fn refuse_links_of_symbols(&self, tree: u64) -> Result<()> {
        const SOFT_LINK: u32 = 2;
        let (storage, offset_size, length_size) = self.parts();
        let leaves = btree_v1::collect_btree_v1_leaves_storage(
            storage,
            tree,
            offset_size,
            length_size,
            None,
            &[],
            None,
        )
        .map_err(|e| damaged(&e))?;
        let mut seen = HashSet::new();
        for (_, at) in leaves {
            if !seen.insert(at) {
                return Err(hostile("a symbol table node is there twice"));
            }
            let read = |n: usize| storage.read_range(at, n).map_err(|e| damaged(&e));
            let head = read(8)?;
            let count =
                head.as_ref().get(6..).and_then(|b| b.first_chunk()).map_or(0, |b| u16::from_le_bytes(*b));
            let node = read(8 + usize::from(count) * (24 + 2 * usize::from(offset_size)))?;
            let node = symbol_table::SymbolTableNode::parse(
                &mut Cursor::new(node.as_ref()),
                offset_size,
                length_size,
            )
            .map_err(|e| damaged(&e))?;
            if node.entries.iter().any(|e| e.cache_type == SOFT_LINK) {
                return Err(link_refused("a soft link"));
            }
        }
        Ok(())
    }

    /// Looks through the fractal heap in which new-style groups keep more than eight links.
    fn refuse_dense_links(&self, heap: u64, tree: u64) -> hdf5_reader::error::Result<Result<()>> {
        let (storage, offset_size, length_size) = self.parts();
        let heap = fractal_heap::FractalHeap::parse_at_storage(storage, heap, offset_size, length_size)?;
        let tree = btree_v2::BTreeV2Header::parse_at_storage(storage, tree, offset_size, length_size)?;
        let records = btree_v2::collect_btree_v2_records_storage(
            storage,
            &tree,
            offset_size,
            length_size,
            None,
            &[],
            None,
        )?;
        let mut cache = fractal_heap::FractalHeapDirectBlockCache::default();
        for record in &records {
            let btree_v2::BTreeV2Record::LinkNameHash { heap_id, .. } = record else { continue };
            let bytes =
                heap.get_object_storage_cached(heap_id, storage, offset_size, length_size, &mut cache)?;
            let link =
                messages::link::parse(&mut Cursor::new(&bytes), offset_size, length_size, bytes.len())?;
            if let Err(e) = refuse_link(&link.name, &link.target) {
                return Ok(Err(e));
            }
        }
        Ok(Ok(()))
    }

    fn parts(&self) -> (&dyn hdf5_reader::Storage, u8, u8) {
        let block = self.file.superblock();
        (self.file.storage(), block.offset_size, block.length_size)
    }

    fn dataset(&mut self, d: &hdf5_reader::Dataset) -> Result<Dataset> {
        self.first_visit(d.address())?;
        let mut attributes = Vec::new();
        for a in d.raw_attributes().map_err(|e| damaged(&e))? {
            attributes.push(self.attribute(&a, |r| d.resolve_vlen_reference_bytes(r, 1))?);
        }
        let raw_type = d.raw_datatype().map_err(|e| damaged(&e))?;
        let is_dtype = |(name, value): &(String, Attribute)| {
            name == "dtype" && *value == Attribute::Text("bfloat16".into())
        };
        let element = element_type(d.dtype(), &raw_type)?;
        if element.dtype == DType::BF16 {
            attributes.retain(|a| !is_dtype(a));
        }
        self.pay_for(d)?;
        // Given back at once: the reader takes it again, and would abort where there is none.
        memory::room::<u8>(d.raw_byte_len().map_err(|e| damaged(&e))?)?;
        let mut data = d.read_raw_bytes().map_err(|e| damaged(&e))?;
        element.to_little_endian(&mut data);
        let shape = sizes(d.shape())?;
        Ok(Dataset { tensor: Tensor::from_le_bytes(element.dtype, shape, &data)?, attributes })
    }

    /// Checks the declared size of a dataset against what the file can hold.
    fn pay_for(&mut self, d: &hdf5_reader::Dataset) -> Result<()> {
        let declared = d.raw_byte_len().map_err(|e| damaged(&e))? as u64;
        let header = self.file.get_or_parse_header(d.address()).map_err(|e| damaged(&e))?;
        let (mut stored_plainly, mut packed) = (false, false);
        for message in &header.messages {
            match message {
                HdfMessage::ExternalFiles(_) => return Err(link_refused("data in another file")),
                HdfMessage::FilterPipeline(p) => packed = !p.filters.is_empty(),
                HdfMessage::DataLayout(l) => match &l.layout {
                    DataLayout::Compact { .. } => stored_plainly = true,
                    DataLayout::Contiguous { address, size } => {
                        stored_plainly = *size > 0 && !self.is_undefined(*address);
                    }
                    DataLayout::Chunked { dims, .. } => self.check_chunks(d.shape(), dims)?,
                },
                _ => {}
            }
        }
        let left = match (stored_plainly, packed) {
            (true, _) => &mut self.plain_left,
            (false, true) => &mut self.packed_left,
            (false, false) => &mut self.filled_left,
        };
        match left.checked_sub(declared) {
            Some(rest) => *left = rest,
            None => {
                return Err(hostile(format!(
                    "the data set declares {declared} bytes, more than a file of {} bytes can hold",
                    self.length
                )));
            }
        }
        Ok(())
    }

    /// The list of chunks takes memory too, whatever their content.
    fn check_chunks(&self, shape: &[u64], chunk: &[u32]) -> Result<()> {
        let mut chunks = 1u64;
        for (n, c) in shape.iter().zip(chunk) {
            let c = u64::from(*c);
            chunks = chunks.saturating_mul(if c == 0 { u64::MAX } else { n.div_ceil(c) });
        }
        if chunks > self.length {
            return Err(hostile(format!(
                "the data set declares {chunks} chunks in a file of {} bytes",
                self.length
            )));
        }
        Ok(())
    }

    fn attribute(
        &mut self,
        stored: &hdf5_reader::RawAttribute,
        resolve: impl Fn(&[u8]) -> hdf5_reader::error::Result<Vec<u8>>,
    ) -> Result<(String, Attribute)> {
        let a = stored.message();
        let value = match &a.datatype {
            Datatype::VarLen { kind: VarLenKind::String, .. }
            | Datatype::String { size: StringSize::Variable, .. } => {
                let width = 8 + usize::from(self.file.superblock().offset_size);
                self.strings(a, width, |r| resolve(r).map_err(|e| damaged(&e)))
            }
            Datatype::String { size: StringSize::Fixed(width), .. } => {
                self.strings(a, *width as usize, |bytes| Ok(bytes.to_vec()))
            }
            kind => match element_type(kind, stored.raw_datatype()) {
                Ok(element) => numbers(a, &element),
                Err(_) => Ok(Attribute::Unsupported(class_name(kind).into())),
            },
        };
        value.map(|v| (a.name.clone(), v)).map_err(|e| e.place(format!("attribute {:?}", a.name)))
    }

    fn strings(
        &mut self,
        a: &AttributeMessage,
        width: usize,
        resolve: impl Fn(&[u8]) -> Result<Vec<u8>>,
    ) -> Result<Attribute> {
        let count = a.dataspace.num_elements().map_err(|e| damaged(&e.into()))?;
        let held = a.raw_data.len().checked_div(width).unwrap_or(0);
        let count = usize::try_from(count).ok().filter(|n| *n <= held);
        let count = count.ok_or_else(|| hostile("an attribute declares more strings than it holds"))?;
        let mut list = Vec::with_capacity(count);
        for item in a.raw_data.chunks_exact(width.max(1)).take(count) {
            let mut bytes = resolve(item)?;
            // Strings normally lie in the file once; a file that refers to one many times could unfold without end.
            let rest = self.filled_left.checked_sub(bytes.len() as u64);
            self.filled_left =
                rest.ok_or_else(|| hostile("attributes unfold to more than the file holds"))?;
            bytes.truncate(bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len()));
            let text = String::from_utf8(bytes)
                .map_err(|_| Error::new("a string is not UTF-8").fix("store the attribute as UTF-8 text"))?;
            let is_padded = matches!(a.datatype, Datatype::String { padding: StringPadding::SpacePad, .. });
            list.push(if is_padded { text.trim_end_matches(' ').to_owned() } else { text });
        }
        match list.pop() {
            Some(one) if list.is_empty() && a.dataspace.dims.is_empty() => Ok(Attribute::Text(one)),
            last => Ok(Attribute::Texts(list.into_iter().chain(last).collect())),
        }
    }
}

fn refuse_link(name: &str, target: &LinkTarget) -> Result<()> {
    match target {
        LinkTarget::Hard { .. } => Ok(()),
        LinkTarget::Soft { .. } => Err(link_refused("a soft link").place(name)),
        LinkTarget::External { .. } => Err(link_refused("a link into another file").place(name)),
    }
}

fn link_refused(what: &str) -> Error {
    hostile(format!("the HDF5 file holds {what}")).expected("all data inside the file, each under one name")
}

/// How elements are stored.
struct Stored {
    dtype: DType,
    big_endian: bool,
}

impl Stored {
    fn to_little_endian(&self, data: &mut [u8]) {
        if self.big_endian {
            data.chunks_exact_mut(self.dtype.size_bytes()).for_each(<[u8]>::reverse);
        }
    }
}

fn element_type(kind: &Datatype, raw: &[u8]) -> Result<Stored> {
    let (dtype, order) = match kind {
        Datatype::FixedPoint { size, signed, byte_order } => (integer(*size, *signed), *byte_order),
        Datatype::FloatingPoint { size, byte_order } => (float(*size, raw), *byte_order),
        Datatype::Enum { base, members } => match &**base {
            Datatype::FixedPoint { size: 1, .. } if is_boolean(members) => {
                (Some(DType::Bool), ByteOrder::LittleEndian)
            }
            base => return element_type(base, &[]),
        },
        // Keras stores bfloat16 as two opaque bytes, in its older format without saying so.
        Datatype::Opaque { size: 2, .. } => (Some(DType::BF16), ByteOrder::LittleEndian),
        _ => (None, ByteOrder::LittleEndian),
    };
    let dtype = dtype.ok_or_else(|| {
        Error::new(format!("elements of the HDF5 kind {} are not supported", class_name(kind)))
            .expected("integers, float16, bfloat16, float32, float64 or booleans")
    })?;
    Ok(Stored { dtype, big_endian: order == ByteOrder::BigEndian })
}

fn integer(size: u8, signed: bool) -> Option<DType> {
    Some(match (size, signed) {
        (1, false) => DType::U8,
        (1, true) => DType::I8,
        (2, false) => DType::U16,
        (2, true) => DType::I16,
        (4, false) => DType::U32,
        (4, true) => DType::I32,
        (8, false) => DType::U64,
        (8, true) => DType::I64,
        _ => return None,
    })
}

/// Two-byte floats differ by the width of the exponent, which is byte 13 of the datatype message.
fn float(size: u8, raw: &[u8]) -> Option<DType> {
    match (size, raw.get(13)) {
        (2, Some(5)) => Some(DType::F16),
        (2, Some(8)) => Some(DType::BF16),
        (4, _) => Some(DType::F32),
        (8, _) => Some(DType::F64),
        _ => None,
    }
}

fn is_boolean(members: &[hdf5_reader::EnumMember]) -> bool {
    let has = |name, value| members.iter().any(|m| m.name == name && m.value == [value]);
    members.len() == 2 && has("FALSE", 0) && has("TRUE", 1)
}

fn class_name(kind: &Datatype) -> &'static str {
    match kind {
        Datatype::FixedPoint { .. } => "integer of unusual size",
        Datatype::FloatingPoint { .. } => "float of unusual form",
        Datatype::String { .. } => "string",
        Datatype::Compound { .. } => "compound",
        Datatype::Array { .. } => "array",
        Datatype::Enum { .. } => "enumeration",
        Datatype::VarLen { .. } => "variable-length",
        Datatype::Opaque { .. } => "opaque",
        Datatype::Reference { .. } => "reference",
        Datatype::Bitfield { .. } => "bit field",
    }
}

fn sizes(shape: &[u64]) -> Result<Vec<usize>> {
    let sizes = shape.iter().map(|n| usize::try_from(*n).ok()).collect::<Option<_>>();
    sizes.ok_or_else(|| hostile(format!("the sizes {shape:?} are too large for this computer")))
}

fn numbers(a: &AttributeMessage, element: &Stored) -> Result<Attribute> {
    let shape = match a.dataspace.num_elements() {
        Ok(0) if a.dataspace.dims.is_empty() => vec![0],
        _ => sizes(&a.dataspace.dims)?,
    };
    let wanted = memory::bytes(element.dtype, &shape);
    let data = wanted.ok().and_then(|n| a.raw_data.get(..n));
    let mut data = data.ok_or_else(|| hostile("an attribute declares more numbers than it holds"))?.to_vec();
    element.to_little_endian(&mut data);
    Tensor::from_le_bytes(element.dtype, shape, &data).map(Attribute::Numbers)
}
