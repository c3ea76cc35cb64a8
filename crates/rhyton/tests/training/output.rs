//! What is written while training.

use super::*;

/// The text with times, which differ from run to run, replaced.
fn without_times(text: &[u8]) -> String {
    let text = String::from_utf8(text.to_vec()).unwrap();
    let word = |w: &str| {
        let mut unit = ["ms/step", "us/step", "s/step", "s"].into_iter();
        let unit = unit.find(|u| w.strip_suffix(u).is_some_and(|n| n.parse::<u32>().is_ok()));
        unit.map_or(w.to_string(), |u| format!("_{}", if u == "s" { "s" } else { "s/step" }))
    };
    text.split('\n')
        .map(|l| l.split(' ').map(word).collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join("\n")
}

fn model() -> Compiled {
    linear(&[1.0], 0.0, Compile::new(SGD::new(0.0), "mse").metrics(["mae"]))
}

fn data() -> (Tensor, Tensor) {
    (Tensor::from_fn([10, 1], |i| i as f32), Tensor::zeros(rhyton::tensor::DType::F32, [10, 1]))
}

#[test]
fn epochs_and_evaluations_are_lines_as_in_keras() {
    let (x, y) = data();
    let mut text = vec![];
    let fit = Fit::epochs(2).batch_size(4).verbose(2).validation((&x, &y)).output(&mut text);
    model().fit((&x, &y), fit).unwrap();
    let line = "3/3 - _s - _s/step - loss: 28.5000 - mae: 4.5000 - val_loss: 28.5000 - val_mae: 4.5000";
    assert_eq!(without_times(&text), format!("Epoch 1/2\n{line}\nEpoch 2/2\n{line}\n"));
    let mut text = vec![];
    model().fit((&x, &y), Fit::epochs(1).verbose(2).output(&mut text)).unwrap();
    assert_eq!(without_times(&text), "1/1 - _s - _s/step - loss: 28.5000 - mae: 4.5000\n");
    let mut text = vec![];
    model().evaluate_with((&x, &y), Evaluate::new().batch_size(3).verbose(1).output(&mut text)).unwrap();
    assert_eq!(without_times(&text), "4/4 - _s - _s/step - loss: 28.5000 - mae: 4.5000\n");
    let mut text = vec![];
    model().predict_with(&x, Evaluate::new().batch_size(3).output(&mut text)).unwrap();
    assert_eq!(without_times(&text), "4/4 - _s - _s/step\n");
    let mut text = vec![];
    model().fit((&x, &y), Fit::epochs(2).verbose(0).output(&mut text)).unwrap();
    assert!(text.is_empty());
}

#[test]
fn callbacks_say_what_they_do_in_keras_words() {
    let (_, y) = data();
    let mut text = vec![];
    let fit = Fit::epochs(5)
        .verbose(2)
        .callback(LearningRateScheduler::new(|_, rate| rate).verbose(true))
        .callback(EarlyStopping::new("loss").restore_best_weights(true).verbose(true))
        .callback(ReduceLROnPlateau::new("loss").patience(1).verbose(true))
        .output(&mut text);
    let mut model = linear(&[1.0], 0.0, Compile::new(SGD::new(0.001), "mse"));
    let zero = Tensor::zeros(rhyton::tensor::DType::F32, [10, 1]);
    model.fit((&zero, &y), fit).unwrap();
    let rate = "0.0010000000474974513";
    let expected = format!(
        "\nEpoch 1: LearningRateScheduler setting learning rate to {rate}.\nEpoch 1/5\n\
         1/1 - _s - _s/step - loss: 0.0000e+00 - learning_rate: 0.0010\n\
         \nEpoch 2: LearningRateScheduler setting learning rate to {rate}.\nEpoch 2/5\n\
         \nEpoch 2: ReduceLROnPlateau reducing learning rate to 0.00010000000474974513.\n\
         1/1 - _s - _s/step - loss: 0.0000e+00 - learning_rate: 0.0010\n\
         Epoch 2: early stopping\n\
         Restoring model weights from the end of the best epoch: 1.\n"
    );
    assert_eq!(without_times(&text), expected);
    let mut text = vec![];
    let infinite = Tensor::full([4, 1], 1e30f32);
    let fit = Fit::epochs(1).verbose(0).callback(TerminateOnNaN).output(&mut text);
    model.fit((&infinite, &y.slice_rows(0..4).unwrap()), fit).unwrap();
    assert_eq!(
        String::from_utf8(text).unwrap(),
        "warning: the loss of step 1 of epoch 1 turned infinite, first in the loss itself: what the layers gave was \
         finite\nBatch 0: Invalid loss, terminating training\n"
    );
}

#[test]
fn an_epoch_cut_short_by_the_data_is_said() {
    let (x, y) = data();
    let mut text = vec![];
    let fit = Fit::epochs(1).batch_size(4).steps_per_epoch(5).verbose(2).output(&mut text);
    model().fit((&x, &y), fit).unwrap();
    assert!(
        without_times(&text).starts_with("warning: the data ended after 3 of 5 steps of the epoch\n3/3 - ")
    );
}
