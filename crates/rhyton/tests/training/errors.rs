//! Wrong programs and what they are told.

use super::*;
use rhyton::tensor::DType;

/// The error without the line of the program.
fn text<T>(result: Result<T>) -> String {
    let Err(e) = result else { panic!("no error") };
    let lines =
        e.to_string().lines().filter(|l| !l.starts_with("  at:")).map(String::from).collect::<Vec<_>>();
    lines.join("\n")
}

fn build() -> Model {
    Sequential::new([4]).add(Dense::new(3).activation("softmax")).build().unwrap()
}

fn trained() -> Compiled {
    build().compile(Compile::new("sgd", "sparse_categorical_crossentropy")).unwrap()
}

#[test]
fn every_unknown_name_is_reported_at_once() {
    let arguments = Compile::new("adamm", "means_squared_error").metrics(["acuracy", "mae"]);
    let e = build().compile(arguments).unwrap_err();
    assert!(
        e.problems.iter().all(|p| p
            .source
            .as_ref()
            .and_then(|s| s.line())
            .is_some_and(|s| s.file().ends_with("errors.rs"))),
        "{e}"
    );
    assert_eq!(
        text::<()>(Err(e)),
        "there is no loss 'means_squared_error'\n  in:       compile\n  \
         fix:      did you mean 'MeanSquaredError'?\n\
         there is no metric 'acuracy'\n  in:       compile\n  fix:      did you mean 'Accuracy'?\n\
         there is no optimizer 'adamm'\n  in:       compile\n  fix:      did you mean 'Adam'?"
    );
}

#[test]
fn compile_checks_its_arguments() {
    let none = rhyton::train::Losses::none();
    assert_eq!(
        text(build().compile(Compile::new("sgd", none))),
        "the model has no loss to train with\n  in:       compile\n  \
         fix:      give a loss, for example \"mse\" or \"sparse_categorical_crossentropy\""
    );
    assert_eq!(
        text(build().compile(Compile::new("sgd", "mse").metrics(by_output([("price", "mae")])))),
        "metrics names 'price', which is no output\n  in:       compile\n  expected: one of dense"
    );
    assert_eq!(
        text(build().compile(Compile::new(SGD::new(0.1).clipnorm(1.0).clipvalue(0.5), "mse"))),
        "SGD clips gradients in two ways: clipnorm and clipvalue\n  in:       compile\n  \
         expected: at most one of clipnorm, global_clipnorm and clipvalue"
    );
    assert!(
        text(build().compile(Compile::new(Adam::new(-0.1), "mse")))
            .starts_with("Adam got learning_rate=-0.1")
    );
    assert_eq!(
        text(build().compile(Compile::new("sgd", ["mse", "mae"]))),
        "the output 'dense' got 2 losses\n  in:       compile\n  expected: one loss for each output"
    );
}

#[test]
fn fit_checks_its_arguments_all_at_once() {
    let (x, y) = (normal(&[6, 4], 1), labels(6, 3));
    let wrong = quiet(2).initial_epoch(5).batch_size(0).validation_split(1.5).validation_freq(0);
    assert_eq!(
        text(trained().fit((&x, &y), wrong)),
        "epochs=2 is less than initial_epoch=5\n  in:       fit\n  \
         expected: the number of the last epoch, counted from the very first\n  \
         fix:      for 2 more epochs give epochs=7\n\
         batch_size=0\n  in:       fit\n  expected: at least 1\n\
         validation_freq=0\n  in:       fit\n  expected: at least 1\n\
         validation_split=1.5\n  in:       fit\n  \
         expected: at least 0 and below 1: the part of the samples to validate on"
    );
    assert_eq!(
        text(trained().fit((&x, &y), quiet(1).validation_split(0.9999))),
        "a validation_split of 0.9999 leaves no samples\n  in:       fit\n  \
         expected: at least one of 6 samples in each part"
    );
    let weights = Tensor::full([6], 1.0f32);
    assert_eq!(
        text(trained().fit((&x, &y, &weights), quiet(1).class_weight([(0, 2.0)]))),
        "class weights and sample weights cannot both be given\n  in:       class_weight\n  \
         expected: one of them\n  fix:      multiply the sample weights by the weights of the classes"
    );
    assert_eq!(
        text(trained().evaluate_with((&x, &y), Evaluate::new().batch_size(0))),
        "batch_size=0\n  in:       evaluate\n  expected: at least 1"
    );
}

#[test]
fn data_is_checked_before_anything_runs() {
    let (x, y) = (normal(&[6, 4], 1), labels(6, 3));
    let fit = |x: &Tensor, y: &Tensor| {
        let mut model = trained();
        let before = model.weights().to_vec();
        let text = text(model.fit((x, y), quiet(1)));
        assert!(same_bits(&before, model.weights()));
        text
    };
    assert_eq!(
        fit(&normal(&[6, 5], 1), &y),
        "the data has the shape [6, 5]\n  in:       input 'input_layer'\n  \
         expected: (None, 4) (any number of samples first)"
    );
    assert_eq!(
        fit(&x, &labels(5, 3)),
        "5 samples, but the inputs have 6\n  in:       targets of 'dense'\n  \
         fix:      give as many targets and weights as inputs"
    );
    let label = |l: f32| Tensor::vector(vec![0.0, 1.0, l, 0.0, 1.0, 2.0]);
    assert_eq!(
        fit(&x, &label(3.0).cast(DType::I64)),
        "the label 3 of sample 2 is no class\n  in:       targets of 'dense'\n  \
         expected: whole numbers from 0 to 2\n  \
         fix:      count classes from 0, or give the last layer one unit more"
    );
    assert!(fit(&x, &label(-1.0)).starts_with("the label -1 of sample 2 is no class"));
    assert!(fit(&x, &label(0.5)).contains("use another loss if the targets are no labels"));
    let with_nan = Tensor::from_fn([6, 4], |i| if i == 9 { f32::NAN } else { 0.0 });
    assert_eq!(
        fit(&with_nan, &y),
        "the data holds NaN\n  in:       input 'input_layer'\n  \
         expected: numbers; the first NaN is in sample 2\n  fix:      drop or fill missing values first"
    );
    assert!(fit(&x, &label(f32::NAN)).starts_with("the data holds NaN\n  in:       targets of 'dense'"));
    let empty = Tensor::zeros(DType::F32, [0, 4]);
    assert_eq!(
        fit(&empty, &Tensor::zeros(DType::I32, [0])),
        "there are no samples\n  in:       input 'input_layer'"
    );
}

#[test]
fn targets_that_do_not_fit_the_loss_are_told_the_way_out() {
    let x = normal(&[6, 4], 1);
    let mut model = build().compile(Compile::new("sgd", "categorical_crossentropy")).unwrap();
    let e = text(model.fit((&x, &labels(6, 3)), quiet(1)));
    assert!(e.contains("expected: targets of shape"), "{e}");
    assert!(e.contains("use sparse_categorical_crossentropy"), "{e}");
    let e = text(trained().fit((&x, [&labels(6, 3), &labels(6, 3)]), quiet(1)));
    assert_eq!(
        e,
        "2 tensors of targets for a model with 1 outputs\n  expected: targets for dense\n  \
         fix:      give the targets as a list in the order of the outputs"
    );
    let weights = Tensor::full([6, 2, 2], 1.0f32);
    let e = text(trained().fit((&x, &labels(6, 3), &weights), quiet(1)));
    assert!(e.contains("one weight for each sample, or one for each step of each sample"), "{e}");
}

#[test]
fn state_that_does_not_fit_changes_nothing() {
    let mut model = trained();
    let before = model.optimizer_state();
    assert_eq!(
        text(model.set_optimizer_state(&[])),
        "0 tensors of optimizer state\n  in:       optimizer\n  expected: 2"
    );
    let wrong = [Tensor::scalar(1i32), Tensor::vector(vec![0.1f32, 0.1])];
    assert_eq!(
        text(model.set_optimizer_state(&wrong)),
        "'learning_rate' has the shape [2]\n  in:       optimizer\n  expected: []"
    );
    assert!(same_bits(&before, &model.optimizer_state()));
    assert!(text(model.set_learning_rate(f64::INFINITY)).starts_with("a learning rate of inf"));
    let schedule = rhyton::nn::optimizers::schedules::ExponentialDecay::new(0.1, 10, 0.9);
    let mut scheduled = build().compile(Compile::new(SGD::new(schedule), "mse")).unwrap();
    assert_eq!(
        text(scheduled.set_learning_rate(0.1)),
        "the learning rate follows a schedule and cannot be set\n  in:       optimizer\n  \
         fix:      compile with a number as learning rate"
    );
    close(scheduled.learning_rate().unwrap(), 0.1);
}
