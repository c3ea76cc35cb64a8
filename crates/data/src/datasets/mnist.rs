//! MNIST and Fashion-MNIST from their four IDX files.

use super::Split;
use crate::idx;
use rhyton_tensor::{DType, Error, Result, Tensor};
use std::path::{Path, PathBuf};

/// What the labels 0 to 9 of [`fashion_mnist`] stand for.
pub const FASHION_MNIST_CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// The MNIST digits from a folder with their four files, compressed or not: images uint8 `[n, 28, 28]` in 0..255,
/// labels uint8 `[n]`; 60,000 to train and 10,000 to test, in the original order, as Keras gives them.
///
/// The files are `train-images-idx3-ubyte.gz`, `train-labels-idx1-ubyte.gz`, `t10k-images-idx3-ubyte.gz` and
/// `t10k-labels-idx1-ubyte.gz`.
///
/// # Errors
/// When a file is missing (the message says which and where to get it), damaged, or not MNIST by its sizes.
///
/// ```no_run
/// use rhyton_data::{datasets, rescale};
/// let ((x_train, y_train), _) = datasets::mnist("data/mnist")?;
/// let x_train = rescale(&x_train, 1.0 / 255.0, 0.0)?.reshape([60_000, 28, 28, 1])?;
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn mnist(folder: impl AsRef<Path>) -> Result<Split> {
    load(folder.as_ref(), "https://storage.googleapis.com/cvdf-datasets/mnist/", [60_000, 10_000])
}

/// Fashion-MNIST (Xiao, Rasul, Vollgraf, 2017): as [`mnist`], with pictures of clothes;
/// [`FASHION_MNIST_CLASSES`] names the labels.
///
/// # Errors
/// As [`mnist`].
///
/// ```no_run
/// let ((x_train, y_train), _) = rhyton_data::datasets::fashion_mnist("data/fashion-mnist")?;
/// assert_eq!(x_train.shape(), [60_000, 28, 28]);
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
pub fn fashion_mnist(folder: impl AsRef<Path>) -> Result<Split> {
    load(folder.as_ref(), "https://github.com/zalandoresearch/fashion-mnist (data/fashion)", [60_000, 10_000])
}

fn load(folder: &Path, home: &str, counts: [usize; 2]) -> Result<Split> {
    // All four are looked for first: the user should hear of every missing file at once.
    let stems = [
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ];
    let found = stems.map(|stem| find(folder, stem));
    let missing: Vec<String> =
        stems.iter().zip(&found).filter(|(_, f)| f.is_none()).map(|(s, _)| format!("{s}.gz")).collect();
    let [Some(a), Some(b), Some(c), Some(d)] = found else {
        return Err(Error::new(format!("missing from the folder: {}", missing.join(", ")))
            .place(folder.display().to_string())
            .expected("the four files train- and t10k-, images-idx3- and labels-idx1-ubyte.gz")
            .fix(format!("download them from {home}")));
    };
    Ok((part(&a, &b, counts[0])?, part(&c, &d, counts[1])?))
}

/// The file under any of the names it goes by.
fn find(folder: &Path, stem: &str) -> Option<PathBuf> {
    let dotted = stem.replace("-idx", ".idx");
    let names = [format!("{stem}.gz"), stem.to_string(), format!("{dotted}.gz"), dotted];
    names.iter().map(|n| folder.join(n)).find(|p| p.is_file())
}

fn part(images: &Path, labels: &Path, count: usize) -> Result<(Tensor, Tensor)> {
    let x = expect(images, &[count, 28, 28])?;
    let y = expect(labels, &[count])?;
    if let Some(at) = y.as_slice::<u8>().and_then(|v| v.iter().position(|l| *l > 9)) {
        return Err(Error::new(format!("label {at} is {}", y.data().get_f64(at)))
            .place(labels.display().to_string())
            .expected("0 to 9"));
    }
    Ok((x, y))
}

fn expect(path: &Path, shape: &[usize]) -> Result<Tensor> {
    let t = idx::read_idx(path)?;
    if t.dtype() == DType::U8 && t.shape() == shape {
        return Ok(t);
    }
    Err(Error::new(format!("the file holds {} {:?}", t.dtype(), t.shape()))
        .place(path.display().to_string())
        .expected(format!("uint8 {shape:?}"))
        .fix("check that the files were not mixed up"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhyton_tensor::testing::shared;

    fn write(folder: &Path, name: &str, sizes: &[u32], bytes: &[u8]) {
        let mut file = vec![0, 0, 8, sizes.len() as u8];
        sizes.iter().for_each(|s| file.extend(s.to_be_bytes()));
        file.extend(bytes);
        std::fs::write(folder.join(name), file).unwrap();
    }

    #[test]
    fn the_real_files_have_their_published_mean_and_labels() {
        for (name, mean, first) in [("mnist", 0.1307, 5), ("fashion-mnist", 0.2860, 9)] {
            let Some(folder) = shared(&format!("data/{name}")) else { continue };
            let ((x, y), (x_test, y_test)) = mnist(folder).unwrap();
            assert_eq!((x.shape(), y.shape()), (&[60_000, 28, 28][..], &[60_000][..]));
            assert_eq!((x_test.shape(), y_test.shape()), (&[10_000, 28, 28][..], &[10_000][..]));
            let sum: f64 = x.as_slice::<u8>().unwrap().iter().map(|p| f64::from(*p)).sum();
            assert!((sum / x.len() as f64 / 255.0 - mean).abs() < 1e-4, "{name}");
            assert_eq!(y.as_slice::<u8>().unwrap()[0], first, "{name}");
        }
    }

    #[test]
    fn missing_and_mixed_up_files_are_named() {
        let folder = std::env::temp_dir().join(format!("rhyton-mnist-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let tiny = || load(&folder, "the web", [2, 1]);
        write(&folder, "train-images-idx3-ubyte", &[2, 28, 28], &[7; 2 * 784]);
        write(&folder, "train-labels.idx1-ubyte", &[2], &[1, 9]);
        write(&folder, "t10k-images-idx3-ubyte", &[1, 28, 28], &[0; 784]);
        let e = tiny().unwrap_err().to_string();
        assert!(
            e.contains("missing from the folder: t10k-labels-idx1-ubyte.gz\n") && e.contains("the web"),
            "{e}"
        );
        write(&folder, "t10k-labels-idx1-ubyte", &[2], &[1, 2]);
        let e = tiny().unwrap_err().to_string();
        assert!(e.contains("the file holds uint8 [2]") && e.contains("t10k-labels-idx1-ubyte"), "{e}");
        write(&folder, "t10k-labels-idx1-ubyte", &[1], &[10]);
        assert!(tiny().unwrap_err().to_string().contains("label 0 is 10"));
        write(&folder, "t10k-labels-idx1-ubyte", &[1], &[3]);
        let ((x, y), (_, y_test)) = tiny().unwrap();
        assert_eq!((x.len(), y.to_vec::<i32>(), y_test.to_vec::<i32>()), (1568, vec![1, 9], vec![3]));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
