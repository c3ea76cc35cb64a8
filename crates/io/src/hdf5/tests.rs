use super::*;
use rhyton_tensor::DType;

fn text(name: &str, value: &str) -> (String, Attribute) {
    (name.into(), Attribute::Text(value.into()))
}

fn round_trip(root: &Group) -> Group {
    read_hdf5(write_hdf5(root).unwrap()).unwrap()
}

#[test]
fn every_type_and_rank_round_trips() {
    let mut root = Group::default();
    for (i, dtype) in DType::ALL.into_iter().enumerate() {
        for (j, shape) in [vec![], vec![0], vec![6], vec![2, 3], vec![1, 3, 2, 1]].into_iter().enumerate() {
            let n = shape.iter().product::<usize>();
            let t = Tensor::from_fn([n], |i| i as f64).cast(dtype).reshape(shape).unwrap();
            root.add_tensor(&format!("{i:02}/{j}"), t.clone()).unwrap();
            let group = root.group_mut(&format!("{i:02}")).unwrap();
            group.attributes.push((format!("{j}"), Attribute::Numbers(t)));
        }
    }
    assert_eq!(round_trip(&root), root);
}

#[test]
fn texts_of_all_lengths_round_trip() {
    let lengths = [0, 1, 7, 8, 9, 4064, 4072, 4073, 4080, 4081, 5000, 70_000, 3];
    let mut root = Group::default();
    for (i, n) in lengths.into_iter().enumerate() {
        root.attributes.push(text(&format!("a{i:02}"), &"ü".repeat(n / 2)));
        root.attributes.push(text(&format!("b{i:02}"), &"x".repeat(n)));
    }
    let list: Vec<String> = (0..4000).map(|i| format!("layer_{i}")).collect();
    root.attributes.push(("layer_names".into(), Attribute::Texts(list)));
    root.attributes.push(("none".into(), Attribute::Texts(vec![])));
    root.attributes.push(("one".into(), Attribute::Texts(vec!["x".into()])));
    assert_eq!(round_trip(&root), root);
}

/// Crosses the borders of symbol table nodes (8), of one B-tree node (256) and of two levels (8192).
#[test]
fn groups_of_any_size_round_trip() {
    for n in [0, 1, 8, 9, 16, 255, 256, 257, 300, 8193] {
        let mut root = Group::default();
        for i in 0..n {
            let name = format!("{i:05}");
            if i % 3 == 0 {
                root.groups.push((name, Group { attributes: vec![text("name", "x")], ..Group::default() }));
            } else {
                let tensor = Tensor::scalar(i as f32);
                root.datasets.push((name, Dataset { tensor, attributes: vec![] }));
            }
        }
        assert!(round_trip(&root) == root, "{n}");
    }
}

#[test]
fn paths_and_numbers_find_things() {
    let mut root = Group::default();
    for name in ["10", "2", "0", "idf_weights"] {
        root.add_tensor(&format!("layers/dense/vars/{name}"), Tensor::scalar(1i32)).unwrap();
    }
    let root = round_trip(&root);
    let vars = root.group("/layers/dense/vars/").unwrap();
    let order: Vec<&str> = vars.datasets_by_number().iter().map(|(n, _)| *n).collect();
    assert_eq!(order, ["0", "2", "10", "idf_weights"]);
    assert!(root.dataset("layers/dense/vars/10").is_some());
    assert!(root.dataset("layers/dense/10").is_none());
    assert_eq!(root.all_datasets().len(), 4);
    let mut root = root;
    assert!(root.group_mut("layers/dense/vars/0/x").is_err());
    assert!(root.add_tensor("layers/dense", Tensor::scalar(1u8)).is_err());
}

#[test]
fn what_hdf5_cannot_hold_is_refused() {
    let dataset = || Dataset { tensor: Tensor::scalar(1u8), attributes: vec![] };
    for name in ["", ".", "a/b", "a\0"] {
        let root = Group { datasets: vec![(name.into(), dataset())], ..Group::default() };
        assert!(write_hdf5(&root).unwrap_err().to_string().contains("cannot be a name"), "{name:?}");
    }
    let twice = Group {
        datasets: vec![("a".into(), dataset())],
        groups: vec![("a".into(), Group::default())],
        ..Group::default()
    };
    assert!(write_hdf5(&twice).unwrap_err().to_string().contains("twice"));
    let with = |value| Group { attributes: vec![("a".into(), value)], ..Group::default() };
    let long = Attribute::Texts(vec![String::new(); 5000]);
    assert!(write_hdf5(&with(long)).unwrap_err().to_string().contains("layer_names0"));
    assert!(write_hdf5(&with(Attribute::Unsupported("compound".into()))).is_err());
    let mut deep = Group::default();
    deep.group_mut(&vec!["g"; MAX_DEPTH].join("/")).unwrap();
    assert_eq!(round_trip(&deep), deep);
    deep.group_mut(&vec!["g"; MAX_DEPTH + 1].join("/")).unwrap();
    assert!(write_hdf5(&deep).unwrap_err().to_string().contains("deeper"));
}

/// Positions of an eight-byte number in a file.
fn positions(bytes: &[u8], number: u64) -> Vec<usize> {
    let wanted = number.to_le_bytes();
    bytes.windows(8).enumerate().filter(|(_, w)| *w == wanted).map(|(i, _)| i).collect()
}

#[test]
fn cycles_and_shared_objects_are_refused() {
    let mut root = Group::default();
    root.group_mut("a/b").unwrap();
    let bytes = write_hdf5(&root).unwrap();
    let root_header = u64::from_le_bytes(bytes[64..72].try_into().unwrap());
    let nodes: Vec<usize> =
        bytes.windows(4).enumerate().filter(|(_, w)| w == b"SNOD").map(|(i, _)| i).collect();
    assert_eq!(nodes.len(), 2);
    for at in nodes {
        // The first entry of the node now points to the root group.
        let mut cyclic = bytes.clone();
        cyclic[at + 16..at + 24].copy_from_slice(&root_header.to_le_bytes());
        let e = read_hdf5(cyclic).unwrap_err().to_string();
        assert!(e.contains("under two names"), "{e}");
    }
}

#[test]
fn soft_links_are_refused() {
    let mut root = Group::default();
    root.add_tensor("a", Tensor::scalar(1u8)).unwrap();
    let mut bytes = write_hdf5(&root).unwrap();
    let node = bytes.windows(4).position(|w| w == b"SNOD").unwrap();
    bytes[node + 24] = 2;
    let e = read_hdf5(bytes).unwrap_err().to_string();
    assert!(e.contains("a soft link"), "{e}");
}

#[test]
fn declared_sizes_are_checked_before_allocating() {
    let mut root = Group::default();
    root.add_tensor("a", Tensor::from_fn([777], |i| i as f64)).unwrap();
    let bytes = write_hdf5(&root).unwrap();
    let sizes = positions(&bytes, 777);
    assert_eq!(sizes.len(), 2, "the size and the maximal size");
    for huge in [778, 1 << 40, u64::MAX / 8, u64::MAX] {
        let mut lie = bytes.clone();
        lie[sizes[0]..sizes[0] + 8].copy_from_slice(&u64::to_le_bytes(huge));
        assert!(read_hdf5(lie.clone()).is_err());
        // Without an address the data would be all fill values.
        let layout = positions(&lie, 777 * 8);
        assert_eq!(layout.len(), 1);
        lie[layout[0] - 8..layout[0]].fill(0xff);
        let read = read_hdf5(lie);
        assert_eq!(read.is_ok(), huge == 778, "{huge}");
    }
}

#[test]
fn other_files_are_named() {
    let e = read_hdf5(b"PK\x03\x04rest".to_vec()).unwrap_err().to_string();
    assert!(e.contains("not an HDF5 file") && e.contains("zip archive"), "{e}");
    assert!(read_hdf5(vec![]).unwrap_err().to_string().contains("empty"));
    let whole = write_hdf5(&Group::default()).unwrap();
    let e = read_hdf5(whole[..whole.len() - 30].to_vec()).unwrap_err().to_string();
    assert!(e.contains("damaged"), "{e}");
}
