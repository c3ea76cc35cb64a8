//! Damaged and forged files: every reader answers with an error or a value, soon, and in memory of the file's size.

use rhyton_io::{Archive, Attribute, Group, SafeTensors, read_hdf5, read_npy, write_hdf5, write_npy};
use rhyton_tensor::testing::shared;
use rhyton_tensor::{DType, Tensor, rng};
use std::path::Path;
use std::time::{Duration, Instant};

/// Reads everything there is, and what lies inside of an archive too.
fn read_all(bytes: &[u8]) {
    let _ = read_hdf5(bytes.to_vec());
    let _ = read_npy(bytes);
    let _ = SafeTensors::from_bytes(bytes);
    if let Ok(mut archive) = Archive::from_bytes(bytes.to_vec(), "hostile") {
        for name in archive.names().to_vec() {
            if let Ok(member) = archive.read(&name) {
                let _ = read_hdf5(member.clone());
                let _ = read_npy(&member);
            }
        }
    }
}

fn read_in_time(bytes: &[u8], what: &str) {
    let start = Instant::now();
    read_all(bytes);
    assert!(start.elapsed() < Duration::from_secs(2), "{what} took {:?}", start.elapsed());
}

/// One of several kinds of damage, a function of `seed` alone.
fn mutate(bytes: &[u8], seed: u32) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let word = |i: u64| rng::block(seed, 0, 7, i);
    for i in 0..1 + u64::from(word(1000)[0] % 6) {
        let [a, b, c, d] = word(i);
        let at = a as usize % out.len();
        match b % 5 {
            0 => out[at] ^= 1 << (c % 8),
            1 => out[at] = c as u8,
            2 => out[at] = [0, 0xff, 0x7f, 0x80][c as usize % 4],
            3 => {
                // A whole number becomes extreme or another offset of the file.
                let end = (at + 8).min(out.len());
                let value = match c % 4 {
                    0 => u64::MAX,
                    1 => u64::from(d) << 20,
                    2 => u64::from(d) % out.len() as u64,
                    _ => 0,
                };
                out[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
            }
            _ => {
                let (from, n) = (c as usize % out.len(), d as usize % 64);
                let n = n.min(out.len() - from).min(out.len() - at);
                out.copy_within(from..from + n, at);
            }
        }
    }
    out
}

fn own_files(test: &str) -> Vec<(String, Vec<u8>)> {
    let mut root = Group::default();
    for (i, dtype) in DType::ALL.into_iter().enumerate() {
        let t = Tensor::from_fn([3, 4], |i| i as f64).cast(dtype);
        root.add_tensor(&format!("layers/layer_{i}/vars/0"), t).unwrap();
        let vars = root.group_mut(&format!("layers/layer_{i}/vars")).unwrap();
        vars.attributes.push(("name".into(), Attribute::Text(format!("layer_{i}"))));
    }
    root.attributes.push(("names".into(), Attribute::Texts(vec!["a".into(), "".into(), "ccc".into()])));
    let path = std::env::temp_dir().join(format!("rhyton-{test}-{}", std::process::id()));
    let (a, b) = (Tensor::from_fn([5, 7], |i| i as f32), Tensor::vector(vec![1u8, 2, 3]));
    rhyton_io::write_npz(&path, &[("a", &a), ("b", &b)]).unwrap();
    let npz = rhyton_io::files::read(&path).unwrap();
    let metadata = [("k".to_owned(), "v".to_owned())].into();
    rhyton_io::write_safetensors(&path, &[("a", &a), ("b", &b)], &metadata).unwrap();
    let safetensors = rhyton_io::files::read(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    vec![
        ("own.h5".into(), write_hdf5(&root).unwrap()),
        ("own.npy".into(), write_npy(&a)),
        ("own.npz".into(), npz),
        ("own.safetensors".into(), safetensors),
    ]
}

/// Files made by h5py, NumPy and the safetensors package.
fn reference_files() -> Vec<(String, Vec<u8>)> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    ["earliest.h5", "latest.h5", "numpy.npz", "numpy_deflated.npz", "python.safetensors", "links/virtual.h5"]
        .iter()
        .map(|name| (name.to_string(), std::fs::read(data.join(name)).unwrap()))
        .collect()
}

/// Files made by Keras, where there are any.
fn keras_files() -> Vec<(String, Vec<u8>)> {
    ["compiled.keras", "bf16.h5", "multi_compiled.h5", "bigru.weights.h5", "custom.keras"]
        .iter()
        .map(|name| format!("reference/keras_files/{name}"))
        .chain(["conformance/metrics/auc_pr_plain/data.npz".to_string()])
        .filter_map(|name| shared(&name))
        .map(|path| (path.display().to_string(), std::fs::read(path).unwrap()))
        .collect()
}

/// Peak memory of this process in bytes, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// One test, so that the peak of memory belongs to it alone.
#[test]
fn damaged_files_neither_panic_nor_hang_nor_fill_the_memory() {
    let mut files = own_files("damaged");
    files.extend(reference_files());
    files.extend(keras_files());
    // More for a longer hunt: RHYTON_SEEDS=100000.
    let seeds = std::env::var("RHYTON_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    let before = peak_memory();
    for (name, bytes) in &files {
        for part in 0..37 {
            let cut = bytes.len() * part / 37;
            read_in_time(&bytes[..cut], &format!("{name} cut at {cut}"));
            let tail = bytes.len() - cut;
            read_in_time(&bytes[tail..], &format!("{name} from {tail}"));
        }
        for seed in 0..seeds {
            read_in_time(&mutate(bytes, seed), &format!("{name} with damage {seed}"));
        }
    }
    if let (Some(before), Some(after)) = (before, peak_memory()) {
        let largest = files.iter().map(|(_, b)| b.len() as u64).max().unwrap_or(0);
        let allowed = 100 * largest + (32 << 20);
        assert!(after - before < allowed, "peak memory grew by {} bytes", after - before);
    }
}

#[test]
fn undamaged_files_are_read() {
    for (name, bytes) in own_files("undamaged") {
        let read = match name.as_str() {
            "own.h5" => read_hdf5(bytes).map(|t| t.all_datasets().len()),
            "own.npy" => read_npy(&bytes).map(|t| t.rank()),
            "own.npz" => Archive::from_bytes(bytes, "npz").map(|a| a.names().len()),
            _ => SafeTensors::from_bytes(&bytes).map(|s| s.tensors.len()),
        };
        assert!(read.unwrap() > 0, "{name}");
    }
}
