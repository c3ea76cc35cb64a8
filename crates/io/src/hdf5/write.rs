//! Writing the old HDF5 format. Everything is appended; what is inside comes before what holds it, so every address is
//! known when it is written.

use super::encode::{dataspace, datatype, padded, text};
use super::{Attribute, Dataset, Group, MAX_DEPTH};
use rhyton_tensor::{DType, Error, Result, Tensor};
use std::collections::HashSet;

const UNDEFINED: u64 = u64::MAX;
/// Names per symbol table node and children per B-tree node: twice the "k" of the superblock.
const NODE_NAMES: usize = 8;
const TREE_CHILDREN: usize = 32;
/// The smallest collection of the global heap that the HDF5 library accepts.
const COLLECTION: usize = 4096;

/// Kinds of object header messages.
const DATASPACE: u16 = 0x01;
const DATATYPE: u16 = 0x03;
const FILL_VALUE: u16 = 0x05;
const LAYOUT: u16 = 0x08;
const ATTRIBUTE: u16 = 0x0C;
const SYMBOL_TABLE: u16 = 0x11;

/// The bytes of an HDF5 file with this content, in the form Keras writes: h5py and Keras read it.
///
/// # Errors
/// When a name is empty, holds `/` or a zero, or is there twice in one place; when groups nest deeper than 64; when an
/// attribute is longer than 64 KiB or [`Attribute::Unsupported`].
///
/// ```
/// use rhyton_io::{Attribute, Group, read_hdf5, write_hdf5};
/// use rhyton_tensor::Tensor;
/// let mut root = Group::default();
/// root.add_tensor("layers/dense/vars/0", Tensor::new([2, 1], vec![1.0f32, 2.0])?)?;
/// root.group_mut("layers/dense/vars")?.attributes.push(("name".into(), Attribute::Text("dense".into())));
/// assert_eq!(read_hdf5(write_hdf5(&root)?)?, root);
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn write_hdf5(root: &Group) -> Result<Vec<u8>> {
    let mut out = Writer { bytes: vec![0; 96], collection: None };
    let root = out.group(root, "", 0)?;
    out.superblock(root);
    Ok(out.bytes)
}

/// Where a group is: its object header, and the B-tree and local heap with its members.
#[derive(Clone, Copy)]
struct GroupAt {
    header: u64,
    tree: u64,
    heap: u64,
}

/// One name in a group.
struct Member<'a> {
    name: &'a str,
    header: u64,
    group: Option<GroupAt>,
    /// Where the name is in the local heap.
    name_at: u64,
}

/// A collection of the global heap with room left.
struct Collection {
    at: usize,
    used: usize,
    size: usize,
    next: u16,
}

struct Writer {
    bytes: Vec<u8>,
    collection: Option<Collection>,
}

impl Writer {
    /// Appends at a multiple of eight and says where.
    fn append(&mut self, bytes: &[u8]) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let at = self.bytes.len() as u64;
        self.bytes.extend_from_slice(bytes);
        at
    }

    fn group(&mut self, group: &Group, path: &str, depth: usize) -> Result<GroupAt> {
        if depth > MAX_DEPTH {
            return Err(Error::new(format!("groups nest deeper than {MAX_DEPTH}")).place(path));
        }
        check_names(group).map_err(|e| e.place(if path.is_empty() { "/" } else { path }))?;
        let mut members = Vec::with_capacity(group.groups.len() + group.datasets.len());
        for (name, dataset) in &group.datasets {
            let header = self.dataset(dataset, &format!("{path}/{name}"))?;
            members.push(Member { name, header, group: None, name_at: 0 });
        }
        for (name, inner) in &group.groups {
            let at = self.group(inner, &format!("{path}/{name}"), depth + 1)?;
            members.push(Member { name, header: at.header, group: Some(at), name_at: 0 });
        }
        // Readers search the tree by bytewise comparison.
        members.sort_by_key(|m| m.name.as_bytes());
        let heap = self.local_heap(&mut members);
        let tree = self.tree(&members);
        let mut messages = vec![(SYMBOL_TABLE, [tree.to_le_bytes(), heap.to_le_bytes()].concat())];
        self.attributes(&group.attributes, path, &mut messages)?;
        let header = self.object_header(&messages);
        Ok(GroupAt { header, tree, heap })
    }

    fn dataset(&mut self, dataset: &Dataset, path: &str) -> Result<u64> {
        let tensor = &dataset.tensor;
        if tensor.rank() > 32 {
            return Err(Error::new("HDF5 tensors have at most 32 axes").place(path));
        }
        let data = tensor.to_le_bytes();
        let at = if data.is_empty() { UNDEFINED } else { self.append(&data) };
        let mut layout = vec![3, 1];
        layout.extend(at.to_le_bytes());
        layout.extend((data.len() as u64).to_le_bytes());
        let mut messages = vec![
            (DATASPACE, dataspace(tensor.shape())),
            (DATATYPE, datatype(tensor.dtype())),
            // Version 2, allocated late, written if set, default value.
            (FILL_VALUE, vec![2, 2, 2, 1, 0, 0, 0, 0]),
            (LAYOUT, layout),
        ];
        let mut attributes = dataset.attributes.clone();
        if tensor.dtype() == DType::BF16 {
            attributes.push(("dtype".into(), Attribute::Text("bfloat16".into())));
        }
        self.attributes(&attributes, path, &mut messages)?;
        Ok(self.object_header(&messages))
    }

    fn attributes(
        &mut self,
        attributes: &[(String, Attribute)],
        path: &str,
        messages: &mut Vec<(u16, Vec<u8>)>,
    ) -> Result<()> {
        let mut seen = HashSet::new();
        for (name, value) in attributes {
            let place = || format!("{path}@{name}");
            if name.is_empty() || name.contains('\0') || !seen.insert(name) {
                return Err(
                    Error::new("an attribute name is empty, holds a zero or is there twice").place(place())
                );
            }
            let message = self.attribute(name, value).map_err(|e| e.place(place()))?;
            messages.push((ATTRIBUTE, message));
        }
        Ok(())
    }

    /// Attribute message, version 1.
    fn attribute(&mut self, name: &str, value: &Attribute) -> Result<Vec<u8>> {
        let strings = |list: &[String], shape: &[usize], out: &mut Writer| -> Result<_> {
            let data: Vec<[u8; 16]> = list.iter().map(|s| out.text(s)).collect::<Result<_>>()?;
            Ok((text(), dataspace(shape), data.concat()))
        };
        let (kind, space, data) = match value {
            Attribute::Text(one) => strings(std::slice::from_ref(one), &[], self)?,
            Attribute::Texts(list) => strings(list, &[list.len()], self)?,
            Attribute::Numbers(t) => (datatype(t.dtype()), dataspace(t.shape()), numbers(t)?),
            Attribute::Unsupported(what) => {
                return Err(Error::new(format!("an attribute of kind {what} cannot be written"))
                    .fix("remove it before writing"));
            }
        };
        let mut name = name.as_bytes().to_vec();
        name.push(0);
        let too_long = || {
            Error::new("the attribute is longer than the 64 KiB that HDF5 allows")
                .fix("split it over several attributes, as Keras does with layer_names0, layer_names1, ..")
        };
        let mut out = vec![1, 0];
        for part in [&name, &kind, &space] {
            out.extend(u16::try_from(part.len()).map_err(|_| too_long())?.to_le_bytes());
        }
        for part in [name, kind, space] {
            out.extend(padded(part));
        }
        out.extend(data);
        if out.len() > 65_528 { Err(too_long()) } else { Ok(out) }
    }

    /// Puts a string into the global heap: its length, the address of the collection and its number there.
    fn text(&mut self, text: &str) -> Result<[u8; 16]> {
        let mut reference = [0; 16];
        if text.is_empty() {
            return Ok(reference);
        }
        let length = u32::try_from(text.len()).map_err(|_| Error::new("a string is longer than 4 GiB"))?;
        let needed = 16 + text.len().next_multiple_of(8);
        let fits = |c: &Collection| c.used + needed <= c.size && c.next < u16::MAX;
        let mut c = match self.collection.take().filter(fits) {
            Some(c) => c,
            None => self.new_collection(needed),
        };
        let mut object = c.next.to_le_bytes().to_vec();
        object.extend([1, 0, 0, 0, 0, 0]);
        object.extend((text.len() as u64).to_le_bytes());
        object.extend(text.as_bytes());
        let start = c.at + c.used;
        self.bytes[start..start + object.len()].copy_from_slice(&object);
        reference[..4].copy_from_slice(&length.to_le_bytes());
        reference[4..12].copy_from_slice(&(c.at as u64).to_le_bytes());
        reference[12..14].copy_from_slice(&c.next.to_le_bytes());
        c.used += needed;
        c.next += 1;
        let free = c.size - c.used;
        if free >= 16 {
            // Object 0 describes the free space; the next string overwrites it.
            let start = c.at + c.used;
            self.bytes[start..start + 8].fill(0);
            self.bytes[start + 8..start + 16].copy_from_slice(&(free as u64).to_le_bytes());
        }
        self.collection = Some(c);
        Ok(reference)
    }

    fn new_collection(&mut self, needed: usize) -> Collection {
        let size = COLLECTION.max(16 + needed);
        let mut bytes = b"GCOL\x01\0\0\0".to_vec();
        bytes.extend((size as u64).to_le_bytes());
        bytes.resize(size, 0);
        let at = self.append(&bytes) as usize;
        Collection { at, used: 16, size, next: 1 }
    }

    /// The names of a group, each ended by a zero and starting at a multiple of eight.
    fn local_heap(&mut self, members: &mut [Member]) -> u64 {
        let mut names = vec![0; 8];
        for m in members {
            m.name_at = names.len() as u64;
            names.extend(m.name.as_bytes());
            names.push(0);
            names = padded(names);
        }
        let segment = self.append(&names);
        const NO_FREE_BLOCK: u64 = 1;
        let mut heap = b"HEAP\0\0\0\0".to_vec();
        for field in [names.len() as u64, NO_FREE_BLOCK, segment] {
            heap.extend(field.to_le_bytes());
        }
        self.append(&heap)
    }

    /// The B-tree over the sorted members: leaves of at most eight names, then levels of at most 32 children.
    fn tree(&mut self, members: &[Member]) -> u64 {
        // Of every child its address and its last name.
        let mut children: Vec<(u64, u64)> = members
            .chunks(NODE_NAMES)
            .map(|names| (self.symbol_node(names), names.last().map_or(0, |m| m.name_at)))
            .collect();
        let mut level = 0;
        loop {
            children = self.tree_level(level, &children);
            if let [(root, _)] = children[..] {
                return root;
            }
            level += 1;
        }
    }

    fn symbol_node(&mut self, members: &[Member]) -> u64 {
        let mut node = b"SNOD\x01\0".to_vec();
        node.extend((members.len() as u16).to_le_bytes());
        for m in members {
            node.extend(m.name_at.to_le_bytes());
            node.extend(entry(m.header, m.group));
        }
        node.resize(8 + NODE_NAMES * 40, 0);
        self.append(&node)
    }

    /// One level of the tree over `children`: of every node its address and its last name. Without children, one empty
    /// node.
    fn tree_level(&mut self, level: u8, children: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let size = 24 + 8 * (2 * TREE_CHILDREN + 1);
        let first = self.append(&[]);
        let nodes: Vec<&[(u64, u64)]> =
            if children.is_empty() { vec![&[]] } else { children.chunks(TREE_CHILDREN).collect() };
        let at = |i: usize| first + (i * size) as u64;
        let mut made = Vec::with_capacity(nodes.len());
        let mut last_name = 0u64;
        for (i, inside) in nodes.iter().enumerate() {
            let mut node = b"TREE\0".to_vec();
            node.push(level);
            node.extend((inside.len() as u16).to_le_bytes());
            node.extend(if i > 0 { at(i - 1) } else { UNDEFINED }.to_le_bytes());
            node.extend(if i + 1 < nodes.len() { at(i + 1) } else { UNDEFINED }.to_le_bytes());
            // Every key is the last name before it, so a child holds the names after its left key up to its right one.
            node.extend(last_name.to_le_bytes());
            for (child, last) in *inside {
                node.extend(child.to_le_bytes());
                node.extend(last.to_le_bytes());
                last_name = *last;
            }
            node.resize(size, 0);
            made.push((self.append(&node), last_name));
        }
        made
    }

    /// Object header, version 1, with every message in one block.
    fn object_header(&mut self, messages: &[(u16, Vec<u8>)]) -> u64 {
        let mut block = Vec::new();
        for (kind, content) in messages {
            let content = padded(content.clone());
            block.extend(kind.to_le_bytes());
            block.extend((content.len() as u16).to_le_bytes());
            block.extend([0; 4]);
            block.extend(content);
        }
        let mut header = vec![1, 0];
        header.extend((messages.len() as u16).to_le_bytes());
        header.extend(1u32.to_le_bytes());
        header.extend((block.len() as u32).to_le_bytes());
        header.extend([0; 4]);
        header.extend(block);
        self.append(&header)
    }

    /// Superblock, version 0, in the 96 bytes kept free at the start.
    fn superblock(&mut self, root: GroupAt) {
        self.append(&[]);
        let mut block = b"\x89HDF\r\n\x1a\n".to_vec();
        // Versions, then 8-byte addresses and lengths.
        block.extend([0, 0, 0, 0, 0, 8, 8, 0]);
        block.extend((NODE_NAMES as u16 / 2).to_le_bytes());
        block.extend((TREE_CHILDREN as u16 / 2).to_le_bytes());
        block.extend([0; 4]);
        for field in [0, UNDEFINED, self.bytes.len() as u64, UNDEFINED, 0] {
            block.extend(field.to_le_bytes());
        }
        block.extend(entry(root.header, Some(root)));
        self.bytes[..block.len()].copy_from_slice(&block);
    }
}

/// Symbol table entry without its name: the object's address and, for a group, what it holds.
fn entry(header: u64, group: Option<GroupAt>) -> Vec<u8> {
    let mut out = header.to_le_bytes().to_vec();
    out.extend(u64::from(group.is_some()).to_le_bytes());
    let (tree, heap) = group.map_or((0, 0), |g| (g.tree, g.heap));
    out.extend(tree.to_le_bytes());
    out.extend(heap.to_le_bytes());
    out
}

fn numbers(tensor: &Tensor) -> Result<Vec<u8>> {
    if tensor.rank() > 32 {
        Err(Error::new("HDF5 attributes have at most 32 axes"))
    } else {
        Ok(tensor.to_le_bytes())
    }
}

fn check_names(group: &Group) -> Result<()> {
    let mut seen = HashSet::new();
    for name in group.groups.iter().map(|(n, _)| n).chain(group.datasets.iter().map(|(n, _)| n)) {
        if matches!(name.as_str(), "" | ".") || name.contains(['/', '\0']) {
            return Err(Error::new(format!("{name:?} cannot be a name in an HDF5 file"))
                .expected("a name that is not empty, not `.`, and without `/` or a zero character"));
        }
        if !seen.insert(name) {
            return Err(Error::new(format!("{name:?} is there twice")));
        }
    }
    Ok(())
}
