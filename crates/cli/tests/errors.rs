//! Wrong programs and hostile files: each gets the error that a user would want, and its text is compared with
//! `errors/NAME.txt`. `RHYTON_BLESS=1` writes those files anew; read what changed before committing it.

use rhyton::io::{Archive, ArchiveWriter};
use rhyton::prelude::*;
use rhyton::tensor::Dim;
use rhyton::train::PerOutput;
use serde_json::{Value as Json, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The text with what differs from machine to machine and edit to edit made equal.
fn plain(text: &str, folder: &Path) -> String {
    let mut out = String::new();
    let text =
        text.replace(&folder.display().to_string(), "FOLDER").replace(env!("CARGO_MANIFEST_DIR"), "HERE");
    for line in text.lines() {
        let place = line.find("errors.rs:").map(|at| at + "errors.rs:".len());
        match place {
            Some(at) if line.starts_with("  at:") => writeln!(out, "{}LINE", &line[..at]).unwrap(),
            _ => writeln!(out, "{line}").unwrap(),
        }
    }
    out
}

/// Compares all texts before it says which differ.
struct Book {
    folder: PathBuf,
    wrong: Vec<String>,
}

impl Book {
    fn new(name: &str) -> Book {
        let folder = std::env::temp_dir().join(format!("rhyton-errors-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Book { folder, wrong: vec![] }
    }

    fn expect(&mut self, name: &str, text: &str) {
        let text = plain(text, &self.folder);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors").join(format!("{name}.txt"));
        if std::env::var_os("RHYTON_BLESS").is_some() {
            std::fs::write(path, text).unwrap();
            return;
        }
        let wanted = std::fs::read_to_string(&path).unwrap_or_default();
        if text != wanted {
            self.wrong.push(format!("--- {name}, got:\n{text}--- wanted:\n{wanted}"));
        }
    }

    fn error<T>(&mut self, name: &str, made: Result<T>) {
        match made {
            Ok(_) => self.wrong.push(format!("{name} is no error")),
            Err(e) => self.expect(name, &e.to_string()),
        }
    }

    /// Runs the program, which has to fail with one error, nothing on standard output and no file `out`.
    fn program(&mut self, name: &str, arguments: &[&str]) {
        let out = self.path("out.keras");
        let arguments: Vec<String> =
            arguments.iter().map(|a| a.replace("FOLDER", self.folder.to_str().unwrap())).collect();
        let run = Command::new(env!("CARGO_BIN_EXE_rhyton")).args(&arguments).output().unwrap();
        assert_eq!(run.status.code(), Some(1), "{name}: {run:?}");
        assert!(run.stdout.is_empty(), "{name}: {run:?}");
        assert!(!out.exists(), "{name} left a file");
        self.expect(name, &String::from_utf8(run.stderr).unwrap());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn close(self) {
        std::fs::remove_dir_all(&self.folder).ok();
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }
}

fn digits() -> Sequential {
    Sequential::new([4]).add(Dense::new(8).relu()).add(Dense::new(3).softmax())
}

fn compiled() -> Compiled {
    let arguments = Compile::new(Adam::new(1e-3), "sparse_categorical_crossentropy").metrics(["accuracy"]);
    digits().build().unwrap().compile(arguments).unwrap()
}

fn samples(n: usize) -> (Tensor, Tensor) {
    (Tensor::from_fn([n, 4], |i| i as f32 / 7.0), Tensor::from_fn([n], |i| (i % 3) as i32))
}

#[test]
fn wrong_models() {
    let mut b = Book::new("models");
    b.error("vector_into_convolution", Sequential::new([4]).add(Conv2D::new(8, 3)).build());
    b.error("window_larger_than_image", Sequential::new([4, 4, 1]).add(Conv2D::new(8, 5)).build());
    b.error("unknown_activation", Sequential::new([4]).add(Dense::new(8).activation("rleu")).build());
    let unknown = Sequential::new(vec![Dim::symbol("time"), 4.into()]).add(Flatten::new()).add(Dense::new(2));
    b.error("weight_of_unknown_shape", unknown.build());
    let twice = Sequential::new([4]).add(Dense::new(8).name("a")).add(Dense::new(3).name("a"));
    b.error("two_layers_of_one_name", twice.build());
    b.error("no_layers", Sequential::new([4]).build());
    let (x, z) = (Input::new([4]).name("x").symbolic(), Input::new([4]).name("z").symbolic());
    let sum = Add::new().apply([&x, &z]);
    b.error("input_not_listed", Model::new(&[x.clone()], &[sum]));
    let wide = Dense::new(5).apply(&z);
    b.error("sum_of_different_shapes", Model::new(&[x.clone(), z.clone()], &[Add::new().apply([&x, &wide])]));
    b.close();
}

#[test]
fn wrong_arguments_of_compile_and_fit() {
    let mut b = Book::new("arguments");
    let three = Compile::new("adma", "mean_square_eror").metrics(["acuracy"]);
    b.error("three_unknown_names", digits().build().unwrap().compile(three));
    b.error(
        "negative_learning_rate",
        digits().build().unwrap().compile(Compile::new(Adam::new(-1.0), "mse")),
    );
    let (x, y) = samples(6);
    let mut fit = |name: &str, fit: Fit<'_>| b.error(name, compiled().fit((&x, &y), fit));
    fit("batch_size_zero", Fit::epochs(1).batch_size(0));
    fit("fewer_epochs_than_done", Fit::epochs(2).initial_epoch(5));
    fit("validation_split_of_everything", Fit::epochs(1).validation_split(1.0));
    fit(
        "watching_validation_without_any",
        Fit::epochs(1).callback(ModelCheckpoint::new("x.keras").save_best_only(true)),
    );
    fit("checkpoint_of_unknown_kind", Fit::epochs(1).callback(ModelCheckpoint::new("x.bin")));
    b.close();
}

#[test]
fn wrong_data() {
    let mut b = Book::new("data");
    let (x, y) = samples(6);
    let mut model = compiled();
    let mut fit = |name: &str, x: &Tensor, y: &Tensor| b.error(name, model.fit((x, y), Fit::epochs(1)));
    fit("data_of_another_shape", &Tensor::zeros(rhyton::tensor::DType::F32, [6, 5]), &y);
    fit("label_out_of_range", &x, &Tensor::vector(vec![0i32, 1, 2, 3, 0, 1]));
    fit("one_hot_labels_for_a_sparse_loss", &x, &Tensor::full([6, 3], 1.0f32));
    fit("fewer_targets_than_samples", &x, &samples(5).1);
    let mut holed = x.clone();
    holed.as_slice_mut::<f32>().unwrap()[9] = f32::NAN;
    fit("nan_in_data", &holed, &y);
    fit("no_samples", &samples(0).0, &samples(0).1);
    b.error("two_inputs_for_one", compiled().predict([&x, &x]));
    let embedding = Sequential::of(Input::new([4]).int32()).add(Embedding::new(6, 2)).build().unwrap();
    b.error("fractions_as_indices", embedding.predict(&x));
    let index = |x: i64| Tensor::from_fn([2, 4], |i| if i == 5 { x } else { 0 });
    b.error("index_outside_the_table", embedding.predict(&index(6)));
    b.error("index_that_does_not_fit_int32", embedding.predict(&index(1 << 40)));
    b.close();
}

/// The members of a model's archive, changed, under another name.
fn altered(b: &Book, name: &str, change: impl FnOnce(&mut Json)) {
    let mut archive = Archive::open(b.path("model.keras")).unwrap();
    let mut config: Json = serde_json::from_slice(&archive.read("config.json").unwrap()).unwrap();
    change(&mut config);
    let weights = archive.read("model.weights.h5").unwrap();
    write(&b.path(name), &[("config.json", config.to_string().as_bytes()), ("model.weights.h5", &weights)]);
}

fn write(path: &Path, members: &[(&str, &[u8])]) {
    let mut bytes = std::io::Cursor::new(vec![]);
    let mut w = ArchiveWriter::new(&mut bytes);
    members.iter().for_each(|(n, content)| w.add(n, content).unwrap());
    w.finish().unwrap();
    std::fs::write(path, bytes.into_inner()).unwrap();
}

/// Every place of `from` in a file becomes `to`, which is as long.
fn replace(path: &Path, from: &[u8], to: &[u8]) {
    let mut bytes = std::fs::read(path).unwrap();
    let starts: Vec<usize> = (0..bytes.len()).filter(|i| bytes[*i..].starts_with(from)).collect();
    starts.iter().for_each(|i| bytes[*i..*i + to.len()].copy_from_slice(to));
    std::fs::write(path, bytes).unwrap();
}

/// Two members that declare almost 4 GiB each.
fn bomb(path: &Path) {
    write(path, &[("config.json", b"{}"), ("model.weights.h5", b"")]);
    let mut bytes = std::fs::read(path).unwrap();
    let entries: Vec<usize> = (0..bytes.len()).filter(|i| bytes[*i..].starts_with(b"PK\x01\x02")).collect();
    entries.iter().for_each(|i| bytes[*i + 24..*i + 28].copy_from_slice(&0xFFFF_FFF0u32.to_le_bytes()));
    std::fs::write(path, bytes).unwrap();
}

fn empty_hdf5() -> Vec<u8> {
    rhyton::io::write_hdf5(&rhyton::io::Group::default()).unwrap()
}

/// A compiled model, an uncompiled one, data, and files that are not what they seem.
fn files() -> Book {
    let b = Book::new("files");
    let (x, y) = samples(6);
    compiled().save(b.path("model.keras")).unwrap();
    digits().build().unwrap().save(b.path("uncompiled.keras")).unwrap();
    let own_step = Compile::new("adam", PerOutput::none()).train_step(|s| {
        let x = s.inputs().to_vec();
        let mean = s.call(0, &x)[0].mean_all();
        s.descend(&mean);
    });
    digits().build().unwrap().compile(own_step).unwrap().save(b.path("own_step.keras")).unwrap();
    rhyton::io::write_npz(b.path("data.npz"), &[("x0", &x), ("y0", &y)]).unwrap();
    rhyton::io::write_npz(b.path("other.npz"), &[("images", &x), ("labels", &y)]).unwrap();
    rhyton::io::write_npz(b.path("wide.npz"), &[("x0", &x.reshape([3, 8]).unwrap()), ("y0", &y)]).unwrap();
    let whole = std::fs::read(b.path("model.keras")).unwrap();
    std::fs::write(b.path("cut.keras"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(b.path("text.keras"), "<html>404 Not Found</html>").unwrap();
    std::fs::write(b.path("hdf5.keras"), b"\x89HDF\r\n\x1a\nand so on").unwrap();
    let config = json!({ "class_name": "Sequential", "config": {"layers": [{"class_name": "Old", "config": {"name": "first"}}]} });
    let (config, weights) = (config.to_string(), empty_hdf5());
    write(
        &b.path("keras2.keras"),
        &[
            ("metadata.json", br#"{"keras_version": "2.14.0"}"#),
            ("config.json", config.as_bytes()),
            ("model.weights.h5", &weights),
        ],
    );
    std::fs::write(b.path("left.state"), "").unwrap();
    write(&b.path("escape.keras"), &[("config.json", b"{}"), ("aa/evil.sh", b"rm -rf /")]);
    replace(&b.path("escape.keras"), b"aa/evil.sh", b"../evil.sh");
    bomb(&b.path("bomb.keras"));
    let reader = Sequential::of(Input::new([2]).name("tokens")).add(Embedding::new(5, 3)).add(Flatten::new());
    let reader = reader.add(Dense::new(1)).build().unwrap().compile(Compile::new("adam", "mse")).unwrap();
    reader.save(b.path("reader.keras")).unwrap();
    let (tokens, y) = (Tensor::from_fn([4, 2], |i| i as i64), Tensor::full([4, 1], 0.0f32));
    rhyton::io::write_npz(b.path("tokens.npz"), &[("x0", &tokens), ("y0", &y)]).unwrap();
    altered(&b, "layer.keras", |c| c["config"]["layers"][1]["class_name"] = "Densee".into());
    altered(&b, "python.keras", |c| {
        c["config"]["layers"][1] = json!({ "class_name": "Lambda", "module": "keras.layers", "config": {
            "name": "evil", "function": {"class_name": "__lambda__", "config": {"code": "4wAAAA=="}} } });
    });
    altered(&b, "shapes.keras", |c| c["config"]["layers"][2]["config"]["units"] = 4.into());
    altered(&b, "huge.keras", |c| c["config"]["layers"][1]["config"]["units"] = (1u64 << 40).into());
    altered(&b, "loss.keras", |c| c["compile_config"]["loss"] = "my_own_loss".into());
    b
}

#[test]
fn wrong_files_and_arguments_of_the_program() {
    let mut b = files();
    let mut predict = |name: &str, model: &str| {
        b.program(
            name,
            &[
                "predict",
                &format!("FOLDER/{model}"),
                "--data",
                "FOLDER/data.npz",
                "--out",
                "FOLDER/out.keras",
            ],
        );
    };
    predict("missing_file", "absent.keras");
    predict("truncated_archive", "cut.keras");
    predict("no_archive", "text.keras");
    predict("data_as_model", "data.npz");
    predict("hdf5_as_model", "hdf5.keras");
    predict("model_of_keras_2", "keras2.keras");
    predict("path_traversal", "escape.keras");
    predict("zip_bomb", "bomb.keras");
    predict("unknown_layer_in_a_file", "layer.keras");
    predict("python_code_in_a_file", "python.keras");
    predict("weights_of_another_shape", "shapes.keras");
    predict("absurd_size_in_a_file", "huge.keras");
    let tokens = ["FOLDER/reader.keras", "--data", "FOLDER/tokens.npz"];
    let out = ["--out", "FOLDER/out.keras"];
    for (command, out) in [("predict", &out[..]), ("fit", &out), ("evaluate", &[])] {
        b.program("index_outside_the_table_in_a_file", &[&[command], &tokens[..], out].concat());
    }
    let mut fit = |name: &str, model: &str, data: &str, more: &[&str]| {
        let (model, data) = (format!("FOLDER/{model}"), format!("FOLDER/{data}"));
        let usual = ["fit", &model, "--data", &data, "--verbose", "0"];
        let out: &[&str] = if more.contains(&"--out") { &[] } else { &["--out", "FOLDER/out.keras"] };
        b.program(name, &[&usual, more, out].concat());
    };
    fit("fit_without_compile", "uncompiled.keras", "data.npz", &[]);
    fit("step_of_ones_own_in_a_file", "own_step.keras", "data.npz", &[]);
    fit("unknown_loss_in_a_file", "loss.keras", "data.npz", &[]);
    fit("data_without_x0", "model.keras", "other.npz", &[]);
    fit("data_of_another_shape_in_a_file", "model.keras", "wide.npz", &[]);
    fit("out_in_no_folder", "model.keras", "data.npz", &["--out", "FOLDER/nowhere/m.keras"]);
    fit("out_of_another_kind", "model.keras", "data.npz", &["--out", "FOLDER/m.h5"]);
    fit("class_weights_that_are_none", "model.keras", "data.npz", &["--class-weight", "0:1,1:2"]);
    fit("checkpoint_left_over", "model.keras", "data.npz", &["--checkpoint", "FOLDER/left.state"]);
    fit(
        "checkpoint_that_is_none",
        "model.keras",
        "data.npz",
        &["--checkpoint", "FOLDER/data.npz", "--resume"],
    );
    b.close();
}
