//! Training that stops at any step and goes on from what was saved ends in the same bits.

use super::*;
use rhyton::nn::callbacks::{Callback, SavePoint};
use rhyton::nn::training::TrainingState;

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
        assert!(same_bits(whole.optimizer_state(), resumed.optimizer_state()), "after {steps} steps");
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
    let optimizer = || SGD::new(0.1).use_ema(true).ema_momentum(0.5);
    let build = || classifier(Compile::new(optimizer(), "sparse_categorical_crossentropy"));
    let (mut whole, mut resumed, mut backup) = (build(), build(), Backup::default());
    whole.fit((&x, &y), quiet(2).seed(2).callback(&mut backup)).unwrap();
    resumed.fit((&x, &y), quiet(2).seed(2).callback(&mut backup)).unwrap();
    assert!(same_bits(whole.weights(), resumed.weights()));
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
    let state = model.training_state(&history);
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
