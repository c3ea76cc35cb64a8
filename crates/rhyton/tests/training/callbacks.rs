//! Callbacks and their rules.

use super::*;
use rhyton::train::Training;
use rhyton::train::callbacks::{Callback, LambdaCallback, Mode};

/// Puts given values into the logs, as if they had been measured.
struct Plays(&'static str, Vec<f64>);

impl Callback for Plays {
    fn on_epoch_end(&mut self, epoch: usize, cx: &mut Training<'_>) -> Result<()> {
        let value = self.1.get(epoch).copied().unwrap_or(f64::MAX);
        cx.log(self.0, value);
        Ok(())
    }
}

fn data() -> (Tensor, Tensor) {
    (normal(&[6, 1], 1), normal(&[6, 1], 2))
}

fn model() -> Compiled {
    linear(&[1.0], 0.0, Compile::new(SGD::new(0.1), "mse"))
}

/// Epochs that ran while `loss` took these values.
fn epochs(early: EarlyStopping, values: &[f64]) -> usize {
    let (x, y) = data();
    let fit = quiet(values.len()).callback(Plays("loss", values.to_vec())).callback(early);
    model().fit((&x, &y), fit).unwrap().epoch.len()
}

#[test]
fn early_stopping_waits_as_keras_does() {
    let early = || EarlyStopping::new("loss");
    assert_eq!(epochs(early(), &[3.0, 2.0, 2.0, 1.0]), 3);
    assert_eq!(epochs(early().patience(2), &[3.0, 2.0, 2.0, 1.0, 1.0, 1.0, 0.0]), 6);
    // Never after the first epoch.
    assert_eq!(epochs(early().baseline(1.0), &[3.0, 3.0, 3.0]), 2);
    assert_eq!(epochs(early().min_delta(0.5), &[3.0, 2.8, 2.0]), 2);
    assert_eq!(epochs(early().mode(Mode::Max), &[3.0, 2.0, 4.0]), 2);
    assert_eq!(epochs(early().start_from_epoch(3), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), 5);
}

#[test]
fn early_stopping_takes_back_the_best_weights() {
    let (x, y) = data();
    let mut weights = vec![];
    let watch = LambdaCallback::new().on_epoch_end(|_, cx| {
        weights.push(cx.model.weights().to_vec());
        Ok(())
    });
    let mut early = EarlyStopping::new("loss").patience(2).restore_best_weights(true);
    let mut trained = model();
    let fit = quiet(9).callback(Plays("loss", vec![3.0, 1.0, 2.0, 2.0])).callback(watch).callback(&mut early);
    trained.fit((&x, &y), fit).unwrap();
    assert_eq!(early.stopped_epoch, Some(3));
    assert_eq!(weights.len(), 4);
    assert!(same_bits(trained.weights(), &weights[1]));
}

#[test]
fn the_learning_rate_falls_on_plateaus() {
    let (x, y) = data();
    let values = vec![1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
    let plateau = ReduceLROnPlateau::new("loss").factor(0.5).patience(2).cooldown(1).min_lr(0.03);
    let history = model().fit((&x, &y), quiet(6).callback(Plays("loss", values)).callback(plateau)).unwrap();
    // Lowered at the ends of epochs 3 and 5 (the fourth cools down, and counts again as its cooldown ends).
    let rates = history.get("learning_rate");
    let expected = [0.1, 0.1, 0.1, 0.05, 0.05, 0.03];
    rates.iter().zip(expected).for_each(|(r, e)| close(*r, e));
    let e = model().fit((&x, &y), quiet(1).callback(ReduceLROnPlateau::new("loss").factor(1.0))).unwrap_err();
    assert!(e.to_string().starts_with("ReduceLROnPlateau got factor=1\n  "), "{e}");
}

#[test]
fn a_scheduler_sets_the_learning_rate_of_every_epoch() {
    let (x, y) = data();
    let mut asked = vec![];
    let scheduler = LearningRateScheduler::new(|epoch, rate| {
        asked.push((epoch, rate));
        rate * 0.5
    });
    let mut trained = model();
    let history = trained.fit((&x, &y), quiet(3).callback(scheduler)).unwrap();
    close(history.get("learning_rate")[2], 0.0125);
    close(trained.learning_rate().unwrap(), 0.0125);
    assert_eq!(asked.iter().map(|a| a.0).collect::<Vec<_>>(), [0, 1, 2]);
    let e =
        trained.fit((&x, &y), quiet(1).callback(LearningRateScheduler::new(|_, _| f64::NAN))).unwrap_err();
    assert!(e.to_string().starts_with("a learning rate of NaN\n  in:       LearningRateScheduler"), "{e}");
}

#[test]
fn an_infinite_loss_ends_training() {
    let (x, y) = (Tensor::full([64, 1], 1e20f32), Tensor::full([64, 1], 0.0f32));
    let mut steps = 0;
    let count = LambdaCallback::new().on_train_batch_end(|_, _| {
        steps += 1;
        Ok(())
    });
    let history = model()
        .fit(
            (&x, &y),
            quiet(3).batch_size(8).callback(TerminateOnNaN).callback(count).output(std::io::sink()),
        )
        .unwrap();
    assert_eq!((steps, history.epoch.len()), (1, 1));
    assert!(!history.get("loss")[0].is_finite());
    assert_eq!(history.to_json()["loss"][0], "inf");
}

/// Writes down every hook.
#[derive(Default)]
struct Diary(Vec<String>);

macro_rules! diary {
    ($($hook:ident),*; $($numbered:ident),*) => {
        impl Callback for Diary {
            $(fn $hook(&mut self, _: &mut Training<'_>) -> Result<()> {
                self.0.push(stringify!($hook).into());
                Ok(())
            })*
            $(fn $numbered(&mut self, n: usize, _: &mut Training<'_>) -> Result<()> {
                self.0.push(format!("{} {n}", stringify!($numbered)));
                Ok(())
            })*
        }
    };
}
diary! {
    on_train_begin, on_train_end, on_test_begin, on_test_end, on_predict_begin, on_predict_end;
    on_epoch_begin, on_epoch_end, on_train_batch_begin, on_train_batch_end, on_test_batch_begin,
    on_test_batch_end, on_predict_batch_begin, on_predict_batch_end
}

#[test]
fn hooks_run_in_keras_order() {
    let (x, y) = data();
    let mut diary = Diary::default();
    model().fit((&x, &y), quiet(1).batch_size(4).validation((&x, &y)).callback(&mut diary)).unwrap();
    let expected = [
        "on_train_begin",
        "on_epoch_begin 0",
        "on_train_batch_begin 0",
        "on_train_batch_end 0",
        "on_train_batch_begin 1",
        "on_train_batch_end 1",
        "on_test_begin",
        "on_test_batch_begin 0",
        "on_test_batch_end 0",
        "on_test_batch_begin 1",
        "on_test_batch_end 1",
        "on_test_end",
        "on_epoch_end 0",
        "on_train_end",
    ];
    assert_eq!(diary.0, expected);
    let mut diary = Diary::default();
    let how = Evaluate::new().batch_size(4).verbose(0).callback(&mut diary);
    let predictions = model().predict_with(&x, how).unwrap();
    assert!(predictions[0].same_bits(&model().predict(&x).unwrap()));
    let batch = ["on_predict_batch_begin", "on_predict_batch_end"];
    let hooks = diary.0.iter().filter(|h| batch.iter().any(|b| h.starts_with(b))).count();
    assert_eq!((hooks, diary.0.len()), (4, 6));
}

#[test]
fn a_figure_that_cannot_appear_is_an_error() {
    let (x, y) = data();
    let e = model().fit((&x, &y), quiet(1).callback(EarlyStopping::new("val_loss"))).unwrap_err();
    let text = e.to_string();
    assert!(text.starts_with("there is no figure 'val_loss' to watch\n  in:       EarlyStopping"), "{text}");
    assert!(text.contains("fix:      give fit validation data, or watch a figure of training"), "{text}");
    let rare = quiet(3).validation((&x, &y)).validation_freq(2).callback(EarlyStopping::new("val_loss"));
    assert_eq!(model().fit((&x, &y), rare).unwrap().epoch.len(), 3);
    let unknown = quiet(1).callback(Plays("mood", vec![1.0])).callback(EarlyStopping::new("mood"));
    let e = model().fit((&x, &y), unknown).unwrap_err();
    assert!(e.to_string().contains("say mode(Mode::Min) or mode(Mode::Max)"), "{e}");
}

#[test]
fn figures_of_a_batch_can_be_read_in_the_middle_of_an_epoch() {
    let (x, y) = data();
    let mut seen = vec![];
    let watch = LambdaCallback::new().on_train_batch_end(|_, cx| {
        seen.extend(cx.batch_logs().get("loss"));
        Ok(())
    });
    let history = model().fit((&x, &y), quiet(1).batch_size(2).callback(watch)).unwrap();
    assert_eq!(seen.len(), 3);
    assert_eq!(Some(seen[2]), history.last("loss"));
}
