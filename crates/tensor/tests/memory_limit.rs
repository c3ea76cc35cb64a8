//! The limit of memory. Alone in its process, because the limit is the process's.

use rhyton_tensor::memory::{self, Held};
use rhyton_tensor::{DType, Tensor};

#[test]
fn arrays_count_against_the_limit_while_they_live() {
    memory::set_limit(10_000);
    let before = memory::taken();
    let t = Tensor::try_zeros(DType::F32, [2000]).unwrap();
    assert_eq!(memory::taken() - before, 8000);
    let e = Tensor::try_full([1000], 0.0f32).unwrap_err().to_string();
    let want =
        "3.9 KiB of memory are needed, and 7.8 KiB are in use already\n  expected: at most 9.8 KiB in all";
    assert!(e.starts_with(want), "{e}");
    // Sharing costs nothing, a copy of shared elements does.
    let mut other = t.clone();
    assert_eq!(memory::taken() - before, 8000);
    assert!(other.unshare().is_err());
    drop(t);
    other.unshare().unwrap();
    assert!(other.slice_rows(0..1500).is_err());
    assert!(Tensor::concat_rows(&[other.clone(), other.clone()]).is_err());
    drop(other);
    assert_eq!(memory::taken(), before);

    assert!(Held::take(10_001).is_err());
    let held = Held::take(9_000).unwrap();
    assert!(memory::room::<u8>(2_000).is_err());
    drop(held);
    assert_eq!(memory::filled(2_000, 7u8).unwrap().len(), 2_000);
}
