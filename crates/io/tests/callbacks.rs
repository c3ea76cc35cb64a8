//! Callbacks that write files.

use rhyton_graph::reference::ReferenceBackend;
use rhyton_io::callbacks::{BackupAndRestore, CSVLogger, ModelCheckpoint};
use rhyton_io::{Load, Save, load_keras, load_weights};
use rhyton_model::Sequential;
use rhyton_nn::layers::{Dense, Dropout};
use rhyton_nn::optimizers::Adam;
use rhyton_tensor::{Error, Result, Tensor};
use rhyton_train::callbacks::{Callback, Monitoring, ReduceLROnPlateau};
use rhyton_train::{Compile, Compiled, Fit, ModelExt, Training};
use std::path::PathBuf;
use std::sync::Arc;

fn folder(name: &str) -> PathBuf {
    rhyton_model::backend::set_backend(Arc::<ReferenceBackend>::default());
    let path = std::env::temp_dir().join(format!("rhyton-callbacks-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn model() -> Compiled {
    let layers = Sequential::new([3]).add(Dense::new(4).tanh()).add(Dropout::new(0.3)).add(Dense::new(1));
    layers.build().unwrap().compile(Compile::new(Adam::new(1e-2), "mse").metrics(["mae"])).unwrap()
}

fn data() -> (Tensor, Tensor) {
    let wave = |i: usize| (i as f32 * 0.7).sin();
    (Tensor::from_fn([20, 3], wave), Tensor::from_fn([20, 1], |i| wave(3 * i) * wave(3 * i + 1)))
}

#[test]
fn models_and_weights_are_saved_as_asked() {
    let dir = folder("checkpoint");
    let at = |name: &str| dir.join(name).display().to_string();
    let (x, y) = data();
    let mut m = model();
    let fit = Fit::epochs(3)
        .validation_split(0.2)
        .verbose(0)
        .callback(ModelCheckpoint::new(at("best.keras")).save_best_only(true))
        .callback(ModelCheckpoint::new(at("{epoch:02d}-{val_loss:.3f}.weights.h5")))
        .callback(ModelCheckpoint::new(at("never.keras")).save_best_only(true).initial_value_threshold(-1.0))
        .callback(ModelCheckpoint::new(at("{epoch}.{batch}.npz")).save_freq(2));
    let history = m.fit((&x, &y), fit.batch_size(4)).unwrap();
    let figures = history.get("val_loss");
    // The best epoch's weights are those in `best.keras`.
    let best = (0..3).min_by(|a, b| figures[*a].total_cmp(&figures[*b])).unwrap();
    let weights = |epoch: usize| {
        load_weights(&m, at(&format!("{:02}-{:.3}.weights.h5", epoch + 1, figures[epoch]))).unwrap()
    };
    assert_eq!(load_keras(at("best.keras")).unwrap().model().weights(), weights(best));
    assert_eq!(m.weights(), weights(2));
    assert!(!dir.join("never.keras").exists());
    // 16 samples in 4 steps an epoch; every second step.
    let npz = |name: &str| load_weights(&m, at(name));
    assert!(npz("1.2.npz").is_ok() && npz("3.4.npz").is_ok() && npz("1.1.npz").is_err());
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn csv_has_the_columns_of_keras() {
    let dir = folder("csv");
    let (path, late) = (dir.join("log.csv"), dir.join("late.csv"));
    let (x, y) = data();
    let fit = |path: &PathBuf| Fit::epochs(2).verbose(0).callback(CSVLogger::new(path));
    let history = model().fit((&x, &y), fit(&path).validation_split(0.2)).unwrap();
    let [l, m, vl, vm] = ["loss", "mae", "val_loss", "val_mae"].map(|n| history.get(n)[1]);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "epoch,loss,mae,val_loss,val_mae"));
    assert_eq!(lines[2], format!("1,{l:?},{m:?},{vl:?},{vm:?}"));
    // Validation that comes later has its columns from the start.
    model().fit((&x, &y), fit(&late).validation_split(0.2).validation_freq(2)).unwrap();
    let text = std::fs::read_to_string(&late).unwrap();
    assert!(text.starts_with("epoch,loss,mae,val_loss,val_mae\n0,") && text.contains(",NA,NA\n1,"), "{text}");
    assert_eq!(text.matches("NA").count(), 2);
    // Appending goes on without a second header.
    model().fit((&x, &y), Fit::epochs(1).verbose(0).callback(CSVLogger::new(&late).append(true))).unwrap();
    let more = std::fs::read_to_string(&late).unwrap();
    assert!(
        more.starts_with(&text) && more.lines().count() == 4 && more.matches("epoch").count() == 1,
        "{more}"
    );
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_state_stays_until_the_model_is_saved() {
    let dir = folder("until-saved");
    let (state, path) = (dir.join("state"), dir.join("m.keras"));
    let (x, y) = data();
    let fit = |epochs| Fit::epochs(epochs).seed(3).verbose(0).callback(BackupAndRestore::new(&state));
    let mut m = model();
    m.fit((&x, &y), fit(2)).unwrap();
    assert_eq!(rhyton_io::load_state(&state).unwrap().epoch(), 2, "gone before the model was saved");
    // A folder is in the way of the model, as a full disk would be.
    std::fs::create_dir(&path).unwrap();
    assert!(m.save(&path).is_err() && state.exists());
    // The program is started again: a copy of the file stands for another process.
    let other = dir.join("other");
    std::fs::copy(&state, &other).unwrap();
    let mut again = model();
    let said = Said::default();
    let resumed = Fit::epochs(2).seed(3).output(said.clone()).callback(BackupAndRestore::new(&other));
    let history = again.fit((&x, &y), resumed).unwrap();
    assert_eq!(history.epoch, [0, 1]);
    assert!(again.weights().iter().zip(m.weights()).all(|(a, b)| a.same_bits(b)));
    assert_eq!(said.text(), "Training goes on from its end, after 2 epochs: nothing is left to do.\n");
    std::fs::remove_dir(&path).unwrap();
    again.save(&path).unwrap();
    assert!(state.exists() && !other.exists());
    // In one process a second fit is a new training, and what the first one left is not taken for its state, nor
    // removed when a model is saved in the middle of it.
    let mut second = model();
    let saves = ModelCheckpoint::new(dir.join("second.keras").display().to_string());
    second.fit((&x, &y), fit(3).callback(saves)).unwrap();
    assert_eq!(second.iterations(), 3);
    assert!(state.exists());
    second.save_weights(dir.join("second.npz")).unwrap();
    assert!(!state.exists());
    std::fs::remove_dir_all(dir).unwrap();
}

/// Keeps what is printed.
#[derive(Clone, Default)]
struct Said(std::rc::Rc<std::cell::RefCell<Vec<u8>>>);

impl Said {
    fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).unwrap()
    }
}

impl std::io::Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn files_are_tried_before_training_begins() {
    let dir = folder("tried");
    let (x, y) = data();
    let nowhere = |name: &str| dir.join("nowhere").join(name);
    let steps = std::cell::Cell::new(0);
    let refused = |fit: Fit<'_>| {
        let count = rhyton_train::callbacks::LambdaCallback::new().on_train_batch_end(|_, _| {
            steps.set(steps.get() + 1);
            Ok(())
        });
        let e = model().fit((&x, &y), fit.verbose(0).callback(count)).unwrap_err().to_string();
        assert!(
            e.contains("create the folder") || e.contains("is a folder") || e.contains("Is a dir"),
            "{e}"
        );
        assert_eq!(steps.get(), 0, "{e}");
    };
    let name = |path: PathBuf| path.display().to_string();
    std::fs::create_dir(dir.join("folder.keras")).unwrap();
    refused(Fit::epochs(1).callback(BackupAndRestore::new(nowhere("state"))));
    refused(Fit::epochs(1).callback(ModelCheckpoint::new(name(nowhere("m.keras")))));
    refused(Fit::epochs(1).callback(ModelCheckpoint::new(name(nowhere("{epoch}.keras")))));
    refused(Fit::epochs(1).callback(ModelCheckpoint::new(name(dir.join("folder.keras")))));
    refused(Fit::epochs(1).callback(CSVLogger::new(nowhere("log.csv"))));
    refused(Fit::epochs(1).callback(CSVLogger::new(&dir)));
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1, "a trial left something");
    std::fs::remove_dir_all(dir).unwrap();
}

/// Ends a run with an error after so many steps, as a power cut would.
struct Cut(usize);

impl Callback for Cut {
    fn on_train_batch_begin(&mut self, _: usize, _: &mut Training<'_>) -> Result<()> {
        if self.0 == 0 {
            return Err(Error::new("cut off"));
        }
        self.0 -= 1;
        Ok(())
    }
}

#[test]
fn a_run_cut_off_at_any_step_goes_on_in_the_same_bits() {
    let dir = folder("backup");
    let (state, log) = (dir.join("state"), dir.join("log.csv"));
    let (x, y) = data();
    let run = |cut: usize| -> Result<Compiled> {
        let mut m = model();
        let fit = Fit::epochs(4)
            .batch_size(6)
            .seed(3)
            .verbose(0)
            .callback(ReduceLROnPlateau::new("loss").patience(1).min_delta(0.1))
            .callback(CSVLogger::new(&log))
            .callback(Cut(cut))
            .callback(BackupAndRestore::new(&state).every_steps(3));
        m.fit((&x, &y), fit)?;
        Ok(m)
    };
    let whole = run(usize::MAX).unwrap();
    let whole_log = std::fs::read(&log).unwrap();
    let before = (4, 0);
    for cut in [1, 3, 4, 7, 9, 15] {
        assert_eq!(run(cut).err().map(|e| e.problems[0].what.clone()), Some("cut off".into()));
        let kept = rhyton_io::load_state(&state).map_or((0, 0), |s| (s.epoch(), s.step()));
        // Every third of the four steps of an epoch, and its end; before that lies the end of the training before.
        let expected = if cut < 3 { before } else { (cut / 4, if cut % 4 == 3 { 3 } else { 0 }) };
        assert_eq!(kept, expected, "after {cut} steps");
        let resumed = run(usize::MAX).unwrap();
        assert!(
            resumed.weights().iter().zip(whole.weights()).all(|(a, b)| a.same_bits(b)),
            "cut after {cut}"
        );
        assert_eq!(resumed.optimizer_state(), whole.optimizer_state(), "cut after {cut}");
        assert_eq!(std::fs::read(&log).unwrap(), whole_log, "cut after {cut}");
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_compiled_model_comes_back_ready_to_go_on() {
    let dir = folder("compiled");
    let path = dir.join("m.keras");
    let (x, y) = data();
    let mut m = model();
    m.fit((&x, &y), Fit::epochs(2).verbose(0)).unwrap();
    m.set_learning_rate(0.005).unwrap();
    m.save(&path).unwrap();
    let mut again = Compiled::load(&path).unwrap();
    assert_eq!(again.optimizer_state(), m.optimizer_state());
    assert_eq!(
        (again.iterations(), again.learning_rate().unwrap()),
        (m.iterations(), m.learning_rate().unwrap())
    );
    let config = again.arguments().to_json();
    assert_eq!(config["optimizer"]["config"]["learning_rate"], 0.005f32 as f64);
    assert_eq!((&config["loss"], &config["metrics"][0]), (&"mse".into(), &"mae".into()));
    let on = |m: &mut Compiled| m.fit((&x, &y), Fit::epochs(1).seed(9).verbose(0)).unwrap();
    assert_eq!(on(&mut again), on(&mut m));
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn weights_go_through_every_format() {
    let dir = folder("weights");
    let m = model();
    for name in ["w.weights.h5", "w.safetensors", "w.npz"] {
        rhyton_io::save_weights(&m, dir.join(name)).unwrap();
        assert_eq!(load_weights(&m, dir.join(name)).unwrap(), m.weights(), "{name}");
    }
    let other = Sequential::new([3]).add(Dense::new(5)).build().unwrap();
    for name in ["w.weights.h5", "w.safetensors", "w.npz"] {
        let e = load_weights(&other, dir.join(name)).unwrap_err().to_string();
        assert!(e.contains(name) && e.contains("sequential/dense/kernel") && e.contains("[3, 5]"), "{e}");
    }
    let e = rhyton_io::save_weights(&m, dir.join("w.bin")).unwrap_err().to_string();
    assert!(e.contains(".weights.h5, .safetensors or .npz"), "{e}");
    std::fs::remove_dir_all(dir).unwrap();
}
