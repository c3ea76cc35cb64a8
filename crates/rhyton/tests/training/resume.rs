//! Training that stops at any step and goes on from what was saved ends in the same bits.

use super::*;
use rhyton::nn::optimizers::OptimizerRef;
use rhyton::train::callbacks::{Callback, SavePoint};
use rhyton::train::{Training, TrainingState};

/// Keeps the state after so many steps, over all epochs.
struct SavesAfter {
    steps: usize,
    seen: usize,
    saved: Option<TrainingState>,
}

impl Callback for SavesAfter {
    fn wants_state(&mut self, at: SavePoint) -> bool {
        self.seen += usize::from(matches!(at, SavePoint::Batch(_)));
        self.seen == self.steps && self.saved.is_none()
    }
    fn save(&mut self, state: &TrainingState) -> Result<()> {
        self.saved = Some(state.clone());
        Ok(())
    }
}

/// Keeps the state after every epoch, and hands it to the next run.
#[derive(Default)]
struct Backup(Option<TrainingState>);

impl Callback for Backup {
    fn wants_state(&mut self, at: SavePoint) -> bool {
        matches!(at, SavePoint::Epoch(_))
    }
    fn save(&mut self, state: &TrainingState) -> Result<()> {
        self.0 = Some(state.clone());
        Ok(())
    }
    fn resume(&mut self) -> Result<Option<TrainingState>> {
        Ok(self.0.clone())
    }
}

fn build() -> Compiled {
    classifier(Compile::new(Adam::new(0.01), "sparse_categorical_crossentropy").metrics(["accuracy"]))
}

fn fit<'f>(x: &'f Tensor, y: &'f Tensor) -> Fit<'f> {
    quiet(4)
        .batch_size(8)
        .seed(11)
        .validation((x, y))
        .callback(ReduceLROnPlateau::new("loss").patience(1).min_delta(0.5).factor(0.5))
        .callback(EarlyStopping::new("val_loss").patience(3).restore_best_weights(true))
}

#[test]
fn stopped_at_any_step() {
    let (x, y) = (normal(&[30, 4], 1), labels(30, 3));
    let mut whole = build();
    // A callback in the place of the one that saves: states belong to callbacks by their order.
    let never = SavesAfter { steps: usize::MAX, seen: 0, saved: None };
    let history = whole.fit((&x, &y), fit(&x, &y).callback(never)).unwrap();
    assert!(history.get("learning_rate")[3] < 0.01, "{history:?}");
    for steps in 1..=16 {
        let mut saves = SavesAfter { steps, seen: 0, saved: None };
        build().fit((&x, &y), fit(&x, &y).callback(&mut saves)).unwrap();
        let state = saves.saved.take().unwrap();
        assert_eq!((state.epoch(), state.step()), ((steps - 1) / 4, (steps - 1) % 4 + 1));
        let json = serde_json::from_str(&state.json.to_string()).unwrap();
        let state = TrainingState { json, tensors: state.tensors };
        let mut resumed = build();
        let again = resumed.fit((&x, &y), fit(&x, &y).callback(&mut saves).resume(state)).unwrap();
        assert!(same_bits(whole.weights(), resumed.weights()), "after {steps} steps");
        assert!(same_bits(&whole.optimizer_state(), &resumed.optimizer_state()), "after {steps} steps");
        assert_eq!(again, history, "after {steps} steps");
    }
}

#[test]
fn a_backup_goes_on_by_itself_also_with_fewer_steps_than_batches() {
    let (x, y) = (normal(&[30, 4], 1), labels(30, 3));
    let arguments = |epochs: usize| quiet(epochs).batch_size(8).seed(2).steps_per_epoch(3);
    let mut whole = build();
    let history = whole.fit((&x, &y), arguments(5).callback(Backup::default())).unwrap();
    let mut backup = Backup::default();
    for epochs in 1..=5 {
        let mut model = build();
        let again = model.fit((&x, &y), arguments(epochs).callback(&mut backup)).unwrap();
        if epochs == 5 {
            assert!(same_bits(whole.weights(), model.weights()));
            assert_eq!(again, history);
        }
    }
}

/// Averages overwrite the weights behind the last state that is saved.
#[test]
fn a_run_cut_off_after_its_last_epoch_still_takes_its_averages() {
    let (x, y) = (normal(&[30, 4], 1), labels(30, 3));
    let averaged: [(OptimizerRef, usize); 2] = [
        (SGD::new(0.1).use_ema(true).ema_momentum(0.5).into(), 2),
        (Adam::new(0.01).use_ema(true).into(), 3),
    ];
    for (optimizer, epochs) in averaged {
        let build = || classifier(Compile::new(optimizer.clone(), "sparse_categorical_crossentropy"));
        let (mut whole, mut resumed, mut backup) = (build(), build(), Backup::default());
        whole.fit((&x, &y), quiet(epochs).seed(2).callback(&mut backup)).unwrap();
        resumed.fit((&x, &y), quiet(epochs).seed(2).callback(&mut backup)).unwrap();
        assert!(same_bits(whole.weights(), resumed.weights()));
    }
}

#[test]
fn a_run_that_a_callback_ended_stays_ended() {
    let (x, y) = (normal(&[30, 4], 1), labels(30, 3));
    let early = || EarlyStopping::new("loss").min_delta(1e9);
    let mut backup = Backup::default();
    build().fit((&x, &y), quiet(9).seed(2).callback(early()).callback(&mut backup)).unwrap();
    let history = build().fit((&x, &y), quiet(9).seed(2).callback(early()).callback(&mut backup)).unwrap();
    assert_eq!(history.epoch, [0, 1]);
}

#[test]
fn states_of_other_models_and_other_callbacks_are_refused() {
    let (x, y) = (normal(&[30, 4], 1), labels(30, 3));
    let mut model = build();
    let history = model.fit((&x, &y), quiet(1)).unwrap();
    let state = model.training_state(&history).unwrap();
    let e = linear(&[1.0, 1.0, 1.0, 1.0], 0.0, Compile::new("sgd", "mse"))
        .fit((&x, &normal(&[30, 1], 3)), quiet(2).resume(state.clone()))
        .unwrap_err();
    assert!(
        e.to_string().starts_with("the state of training belongs to another model\n  in:       resume"),
        "{e}"
    );
    let e = build().fit((&x, &y), quiet(2).callback(TerminateOnNaN).resume(state.clone())).unwrap_err();
    assert!(e.to_string().starts_with("training was saved with 0 callbacks"), "{e}");
    let mut resumed = build();
    let more = resumed.fit((&x, &y), quiet(3).resume(state)).unwrap();
    let mut whole = build();
    assert_eq!(whole.fit((&x, &y), quiet(3)).unwrap().get("loss"), more.get("loss"));
    assert!(same_bits(whole.weights(), resumed.weights()));
}

/// Interrupts at the end of a step of training or validation or of an epoch, counted over all of them.
struct Interrupts(usize);

impl Interrupts {
    fn count(&mut self, cx: &mut Training<'_>) -> Result<()> {
        self.0 = self.0.wrapping_sub(1);
        if self.0 == 0 {
            cx.interrupt();
        }
        Ok(())
    }
}

impl Callback for Interrupts {
    fn on_train_batch_end(&mut self, _: usize, cx: &mut Training<'_>) -> Result<()> {
        self.count(cx)
    }
    fn on_test_batch_end(&mut self, _: usize, cx: &mut Training<'_>) -> Result<()> {
        self.count(cx)
    }
    fn on_epoch_end(&mut self, _: usize, cx: &mut Training<'_>) -> Result<()> {
        self.count(cx)
    }
}

/// Keeps the state of a training that is interrupted, and nothing else.
#[derive(Default)]
struct Kept(Option<TrainingState>);

impl Callback for Kept {
    fn wants_state(&mut self, at: SavePoint) -> bool {
        at == SavePoint::Interrupt
    }
    fn save(&mut self, state: &TrainingState) -> Result<()> {
        self.0 = Some(state.clone());
        Ok(())
    }
    fn resume(&mut self) -> Result<Option<TrainingState>> {
        Ok(self.0.take())
    }
}

#[test]
fn interrupted_anywhere_it_goes_on_in_the_same_bits() {
    let (x, y) = (normal(&[30, 4], 1), labels(30, 3));
    let run = |at: usize, kept: &mut Kept| {
        let mut model = build();
        let done = model.fit((&x, &y), fit(&x, &y).callback(Interrupts(at)).callback(kept));
        done.map(|history| (model, history))
    };
    let (whole, history) = run(0, &mut Kept::default()).unwrap();
    // Four steps of training, four of validation, and the end of an epoch, four times.
    for at in 1..36 {
        let mut kept = Kept::default();
        let text = run(at, &mut kept).map(drop).unwrap_err().to_string();
        let (epoch, within) = (at / 9, at % 9);
        let expected = match within {
            0 => format!("after epoch {epoch}"),
            n => format!("after step {} of epoch {}", n.min(4), epoch + 1),
        };
        assert!(text.starts_with(&format!("training was interrupted {expected}\n")), "{at}: {text}");
        let (resumed, again) = run(0, &mut kept).unwrap();
        assert!(same_bits(whole.weights(), resumed.weights()), "at {at}");
        assert!(same_bits(&whole.optimizer_state(), &resumed.optimizer_state()), "at {at}");
        assert_eq!(again, history, "at {at}");
    }
    // At the very end there is nothing to interrupt.
    assert!(run(36, &mut Kept::default()).is_ok());
}

#[test]
fn evaluation_and_prediction_can_be_interrupted() {
    let (x, y) = (normal(&[30, 4], 1), labels(30, 3));
    let how = || Evaluate::new().batch_size(8).verbose(0).callback(Interrupts(2));
    let e = build().evaluate_with((&x, &y), how()).unwrap_err();
    assert_eq!(e.to_string(), "the evaluation was interrupted");
    struct Now;
    impl Callback for Now {
        fn on_predict_batch_end(&mut self, _: usize, cx: &mut Training<'_>) -> Result<()> {
            cx.interrupt();
            Ok(())
        }
    }
    let how = Evaluate::new().batch_size(8).verbose(0).callback(Now);
    assert_eq!(build().predict_with(&x, how).unwrap_err().to_string(), "the prediction was interrupted");
}

#[test]
fn what_differs_from_the_beginning_is_named_and_stops() {
    let (x, y) = (normal(&[30, 4], 1), labels(30, 3));
    let mut backup = Backup::default();
    let arguments = |epochs: usize| quiet(epochs).seed(2).batch_size(8);
    build().fit((&x, &y), arguments(1).callback(&mut backup)).unwrap();
    let state = backup.0.clone().unwrap();
    let text = |model: &mut Compiled, x: &Tensor, y: &Tensor, fit: Fit<'_>| {
        let before = model.weights().to_vec();
        let e =
            model.fit((x, y), fit.resume(state.clone()).callback(Backup::default())).unwrap_err().to_string();
        assert!(e.starts_with("training would go on otherwise than it began: "), "{e}");
        assert!(e.contains("--resume-anyway") && same_bits(model.weights(), &before), "{e}");
        e
    };
    let mut other_x = x.clone();
    other_x.as_slice_mut::<f32>().unwrap()[100] += 1e-6;
    let labels = |e: String, parts: &[&str]| parts.iter().for_each(|p| assert!(e.contains(p), "{p} in {e}"));
    labels(text(&mut build(), &x, &y, arguments(2).seed(3)), &["began: seed was 2, is 3\n"]);
    labels(text(&mut build(), &x, &y, arguments(2).batch_size(9)), &["began: batch size was 8, is 9\n"]);
    labels(text(&mut build(), &x, &y, arguments(2).shuffle(false)), &["began: shuffle was true, is false\n"]);
    labels(
        text(&mut build(), &other_x, &y, arguments(2)),
        &["data.input 0 was float32 [30, 4] with checksum"],
    );
    let validated = arguments(2).validation((&x, &y));
    labels(text(&mut build(), &x, &y, validated), &["data.validation input 0 was nothing, is float32"]);
    let slow = Compile::new(Adam::new(0.02), "sparse_categorical_crossentropy").metrics(["accuracy"]);
    let optimizer = "optimizer.config.learning_rate was 0.01, is 0.02";
    labels(text(&mut classifier(slow), &x, &y, arguments(2)), &[optimizer]);
    let none = Compile::new(Adam::new(0.01), "sparse_categorical_crossentropy");
    labels(text(&mut classifier(none), &x, &y, arguments(2)), &["metrics was [\"accuracy\"], is nothing"]);
    let both = text(&mut build(), &other_x, &y, arguments(2).seed(3));
    labels(both, &["seed was 2, is 3; data.input 0 was"]);
    // More epochs are no difference, and neither is a seed that is not given.
    let go_on = |fit: Fit<'_>| {
        build()
            .fit((&other_x, &y), fit.resume(state.clone()).callback(Backup::default()))
            .map(|h| h.epoch.len())
    };
    assert!(go_on(arguments(3)).is_err());
    assert_eq!(go_on(arguments(3).resume_anyway(true)).unwrap(), 3);
    let same = quiet(4).batch_size(8).resume(state.clone()).callback(Backup::default());
    assert_eq!(build().fit((&x, &y), same).unwrap().epoch.len(), 4);
}

#[test]
fn an_epoch_that_a_callback_stopped_has_its_end_also_after_a_cut() {
    let (x, y) = (normal(&[30, 4], 1), labels(30, 3));
    struct Stops;
    impl Callback for Stops {
        fn on_train_batch_end(&mut self, batch: usize, cx: &mut Training<'_>) -> Result<()> {
            if batch == 1 {
                cx.stop();
            }
            Ok(())
        }
    }
    let mut saves = SavesAfter { steps: 2, seen: 0, saved: None };
    let run = || fit(&x, &y).callback(Stops);
    let history = build().fit((&x, &y), run().callback(&mut saves)).unwrap();
    assert_eq!(history.epoch, [0]);
    let state = saves.saved.take().unwrap();
    let again = build().fit((&x, &y), run().callback(&mut saves).resume(state)).unwrap();
    assert_eq!(again, history);
}
