//! Where data comes from.

use super::*;
use rhyton::train::{Batch, Batches, Source};

/// Rows of tensors, dealt out by a user's own code; a length may be unknown.
pub(super) struct Stream {
    x: Tensor,
    y: Tensor,
    size: usize,
    known: bool,
    at: usize,
    batch: Batch,
    passes: Vec<usize>,
}

impl Stream {
    pub(super) fn new(x: &Tensor, y: &Tensor, size: usize, known: bool) -> Stream {
        Stream { x: x.clone(), y: y.clone(), size, known, at: 0, batch: Batch::default(), passes: vec![] }
    }
}

impl Batches for Stream {
    fn len(&self) -> Option<usize> {
        self.known.then(|| self.x.shape()[0].div_ceil(self.size))
    }
    fn start(&mut self, pass: usize) -> Result<()> {
        self.at = 0;
        self.passes.push(pass);
        Ok(())
    }
    fn next(&mut self) -> Result<Option<&Batch>> {
        let n = self.x.shape()[0];
        if self.at >= n {
            return Ok(None);
        }
        let rows = self.at..n.min(self.at + self.size);
        self.at = rows.end;
        self.batch =
            Batch::new(vec![self.x.slice_rows(rows.clone())?], vec![self.y.slice_rows(rows)?], vec![]);
        Ok(Some(&self.batch))
    }
}

fn build() -> Compiled {
    classifier(Compile::new(Adam::new(0.01), "sparse_categorical_crossentropy").metrics(["accuracy"]))
}

/// A source of the crate `data`, which knows nothing of training.
#[test]
fn windows_over_a_series_train_like_the_windows_side_by_side() {
    let series = normal(&[60, 2], 4);
    let (x, y) = rhyton::data::timeseries_windows(&series, 5, 1).unwrap();
    let build = || {
        let model = Sequential::new([5, 2]).add(LSTM::new(3)).add(Dense::new(2)).add(Reshape::new([1, 2]));
        model.build().unwrap().compile(Compile::new(Adam::new(0.01), "mse")).unwrap()
    };
    let (mut a, mut b) = (build(), build());
    let expected = a.fit((&x, &y), quiet(2).batch_size(8).shuffle(false)).unwrap();
    let mut windows = rhyton::data::WindowBatches::new(&series, 5, 1, 8).unwrap();
    assert_eq!(b.fit(&mut windows, quiet(2)).unwrap(), expected);
    assert!(same_bits(a.weights(), b.weights()));
}

#[test]
fn a_stream_trains_like_tensors() {
    let (x, y) = (normal(&[50, 4], 1), labels(50, 3));
    let (mut a, mut b, mut c) = (build(), build(), build());
    let expected = a.fit((&x, &y), quiet(3).batch_size(8).shuffle(false)).unwrap();
    let mut stream = Stream::new(&x, &y, 8, true);
    assert_eq!(b.fit(&mut stream, quiet(3)).unwrap(), expected);
    assert_eq!(stream.passes, [0, 1, 2]);
    let unknown = Stream::new(&x, &y, 8, false);
    let history = c.fit(Source::batches(unknown), quiet(3)).unwrap();
    assert_eq!(history.get("loss"), expected.get("loss"));
    assert!(same_bits(a.weights(), b.weights()) && same_bits(a.weights(), c.weights()));
}

#[test]
fn streams_in_other_types_are_converted_and_checked() {
    let x = Tensor::from_fn([20, 4], |i| (i * 37 % 256) as u8);
    let y = Tensor::from_fn([20], |i| (i % 3) as i64);
    let (mut a, mut b) = (build(), build());
    let expected = a.fit((&x, &y), quiet(2).batch_size(8).shuffle(false)).unwrap();
    let history = b.fit(&mut Stream::new(&x, &y, 8, true), quiet(2)).unwrap();
    assert_eq!(history, expected);
    let wrong = Tensor::from_fn([20], |i| i as i64);
    let e = a.fit(&mut Stream::new(&x, &wrong, 8, true), quiet(1)).unwrap_err();
    assert!(e.to_string().starts_with("the label 3 of sample 3 is no class"), "{e}");
}

#[test]
fn fewer_steps_than_batches_go_on_in_the_next_epoch() {
    let (x, y) = (normal(&[50, 4], 1), labels(50, 3));
    let (mut a, mut b) = (build(), build());
    // 7 batches: epochs of 4, 3 and 4 steps.
    let mut seen = vec![];
    let count = rhyton::train::callbacks::LambdaCallback::new().on_train_batch_end(|batch, _| {
        seen.push(batch);
        Ok(())
    });
    a.fit((&x, &y), quiet(3).batch_size(8).steps_per_epoch(4).callback(count)).unwrap();
    assert_eq!(seen, [0, 1, 2, 3, 0, 1, 2, 0, 1, 2, 3]);
    let mut stream = Stream::new(&x, &y, 8, false);
    b.fit(&mut stream, quiet(3).steps_per_epoch(4)).unwrap();
    assert_eq!(stream.passes, [0, 1]);
}

#[test]
fn validation_may_be_split_off_given_or_left_out_now_and_then() {
    let (x, y) = (normal(&[50, 4], 1), labels(50, 3));
    let mut model = build();
    let history = model.fit((&x, &y), quiet(4).validation_split(0.3).validation_freq(2)).unwrap();
    assert_eq!(history.get("loss").len(), 4);
    assert_eq!(history.get("val_loss").len(), 2);
    let tail = (x.slice_rows(35..50).unwrap(), y.slice_rows(35..50).unwrap());
    let logs = model.evaluate_with((&tail.0, &tail.1), Evaluate::new().verbose(0)).unwrap();
    assert_eq!(logs.get("loss"), history.last("val_loss"));
    let epochs = quiet(4).validation((&x, &y)).validation_epochs(&[1, 4]);
    assert_eq!(model.fit((&x, &y), epochs).unwrap().get("val_loss").len(), 2);
    let mut stream = Stream::new(&x, &y, 16, true);
    let history = model.fit((&x, &y), quiet(1).validation(&mut stream)).unwrap();
    assert_eq!(history.get("val_accuracy").len(), 1);
}

#[test]
fn sequences_may_differ_in_length_from_batch_to_batch() {
    let build = || {
        let x = Input::new([rhyton::tensor::Dim::symbol("time"), 2.into()]).symbolic();
        let y = Dense::new(1).apply(LSTM::new(3).return_sequences(true).apply(&x));
        Model::new(&[x], &[y]).unwrap().compile(Compile::new("adam", "mse").metrics(["mae"])).unwrap()
    };
    let mut model = build();
    for time in [3, 5, 3] {
        let (x, y) = (normal(&[4, time, 2], 1), normal(&[4, time, 1], 2));
        let weights = normal(&[4, time], 3);
        let logs = model.train_on_batch((&x, &y, &weights)).unwrap();
        assert!(logs.get("loss").is_some_and(f64::is_finite));
    }
}

#[test]
fn a_state_that_claims_more_batches_than_there_are_is_refused() {
    let (x, y) = (normal(&[8, 2], 1), normal(&[8, 1], 2));
    let build = || linear(&[1.0, 1.0], 0.0, Compile::new("sgd", "mse"));
    let mut model = build();
    let history = model.fit((&x, &y), quiet(1)).unwrap();
    let mut state = model.training_state(&history).unwrap();
    for seen in [5u64, u64::MAX / 2, u64::MAX] {
        state.json["seen"] = seen.into();
        let e = build().fit((&x, &y), quiet(2).batch_size(4).resume(state.clone())).unwrap_err().to_string();
        assert!(e.starts_with("the data ends after 2 batches"), "{e}");
    }
}
