//! What is legal and almost surely a mistake is said in one line, once.

use super::*;
use rhyton::nn::losses::custom;
use rhyton::nn::{Args, Cx, Layer, Outputs};
use rhyton::train::callbacks::Callback;
use rhyton::train::{Step, Training};

/// The warnings that `fit` writes, each without `warning: `, two calls of it together.
fn warnings(model: &mut Compiled, x: &Tensor, y: &Tensor, weights: &[(i64, f64)]) -> Vec<String> {
    let mut text = vec![];
    for _ in 0..2 {
        let fit = Fit::epochs(2).batch_size(4).verbose(0).shuffle(false);
        let fit = fit.class_weight(weights.iter().copied()).output(&mut text);
        model.fit((x, y), fit).unwrap();
    }
    let text = String::from_utf8(text).unwrap();
    text.lines().map(|l| l.strip_prefix("warning: ").unwrap_or(l).to_string()).collect()
}

fn net(units: usize, activation: &str, loss: impl Into<rhyton::train::Losses>) -> Compiled {
    let net = Sequential::new([2])
        .add(Dense::new(4).relu())
        .add(Dense::new(units).activation(activation).name("end"));
    net.build().unwrap().compile(Compile::new(Adam::new(0.01), loss)).unwrap()
}

fn of(units: usize, activation: &str, loss: impl Into<rhyton::train::Losses>, y: &Tensor) -> Vec<String> {
    warnings(&mut net(units, activation, loss), &normal(&[y.shape()[0], 2], 1), y, &[])
}

fn column(values: &[f32]) -> Tensor {
    Tensor::new([values.len(), 1], values.to_vec()).unwrap()
}

const NOTHING: [&str; 0] = [];

#[test]
fn labels_that_one_unit_cannot_tell_apart() {
    assert_eq!(
        of(1, "sigmoid", "binary_crossentropy", &labels(8, 3)),
        [
            "the targets of 'end' go up to 2, but its one unit decides between 0 and 1: for 3 classes give it 3 units \
          with softmax, and the loss sparse_categorical_crossentropy"
        ]
    );
    let logits = BinaryCrossentropy::new().from_logits(true);
    assert_eq!(
        of(1, "linear", logits, &column(&[-1.0, 1.0, 1.0, -1.0])),
        [
            "the targets of 'end' go down to -1, but its one unit decides between 0 and 1: bring the targets to 0 and 1"
        ]
    );
    assert_eq!(
        of(1, "sigmoid", "mse", &column(&[0.0, 25.5])),
        [
            "the targets of 'end' go up to 25.5, but its one unit decides between 0 and 1: bring the targets to 0 and 1"
        ]
    );
    assert_eq!(of(1, "sigmoid", "binary_crossentropy", &labels(8, 2)), NOTHING);
    assert_eq!(of(1, "linear", "mse", &column(&[0.0, 25.5])), NOTHING);
    assert_eq!(of(3, "softmax", "sparse_categorical_crossentropy", &labels(8, 3)), NOTHING);
}

#[test]
fn ends_that_do_not_fit_their_loss() {
    assert_eq!(
        of(1, "softmax", "mse", &labels(8, 2).cast(rhyton::tensor::DType::F32)),
        ["softmax over the one unit of 'end' is always 1: use sigmoid, or one unit for each class"]
    );
    assert_eq!(
        of(3, "linear", "sparse_categorical_crossentropy", &labels(8, 3)),
        [
            "the output 'end' is linear, but sparse_categorical_crossentropy takes probabilities: end it with softmax, or \
          give the loss from_logits=true"
        ]
    );
    assert_eq!(
        of(1, "linear", "binary_crossentropy", &labels(8, 2)),
        [
            "the output 'end' is linear, but binary_crossentropy takes probabilities: end it with sigmoid, or give the \
          loss from_logits=true"
        ]
    );
    let logits = SparseCategoricalCrossentropy::new().from_logits(true);
    assert_eq!(of(3, "linear", logits, &labels(8, 3)), NOTHING);
    // Softmax as a layer of its own, and of a convolution.
    let ended = Sequential::new([4, 4, 1])
        .add(Conv2D::new(3, 4))
        .add(Flatten::new())
        .add(Softmax::new())
        .build()
        .unwrap();
    let mut ended = ended.compile(Compile::new("sgd", "sparse_categorical_crossentropy")).unwrap();
    assert_eq!(warnings(&mut ended, &normal(&[8, 4, 4, 1], 1), &labels(8, 3), &[]), NOTHING);
}

#[test]
fn weights_of_classes_that_do_not_occur() {
    let mut model = net(3, "softmax", "sparse_categorical_crossentropy");
    let weights = [(0, 1.0), (2, 2.0), (3, 2.0)];
    assert_eq!(
        warnings(&mut model, &normal(&[8, 2], 1), &labels(8, 3), &weights),
        ["class_weight has a weight for the class 3, which does not occur in the targets"]
    );
}

#[test]
fn averages_that_do_not_decay() {
    let line = "Adam got beta_1=1.5: a running average decays by at least 0 and less than 1";
    let optimizers: [rhyton::nn::optimizers::OptimizerRef; 2] =
        [Adam::new(0.01).beta_1(1.5).into(), LossScaleOptimizer::new(Adam::new(0.01).beta_1(1.5)).into()];
    for optimizer in optimizers {
        let mut model = linear(&[1.0], 0.0, Compile::new(optimizer, "mse"));
        let mut text = vec![];
        let x = column(&[1.0, 2.0]);
        model.fit((&x, &x), Fit::epochs(1).verbose(0).output(&mut text)).unwrap();
        assert!(String::from_utf8(text).unwrap().starts_with(&format!("warning: {line}\n")));
    }
    let step = Step::build([Sequential::new([1]).add(Dense::new(1)).build().unwrap()], 0, |s| {
        let x = s.input("x", [1]);
        let loss = s.call(0, &[x])[0].mean_all();
        s.minimize(&loss, 0, Adam::new(0.01).beta_1(1.5));
    });
    assert_eq!(step.unwrap().warnings(), [line]);
}

rhyton::nn::layer! {
    /// The root of what is below zero.
    pub struct Root {}
}
impl Layer for Root {
    fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
        args.x().sqrt().into()
    }
}

/// A model of one weight whose third batch of four samples holds -1.
fn rooted(end: impl Layer) -> (Compiled, Tensor) {
    let net = Sequential::new([1])
        .add(Dense::new(1).use_bias(false).kernel_initializer("ones").name("scale"))
        .add(end)
        .build()
        .unwrap();
    let x = Tensor::from_fn([20, 1], |i| if i == 9 { -1.0 } else { 1.0f32 });
    (net.compile(Compile::new(Adam::new(1e-3), "mse").metrics(["mae"])).unwrap(), x)
}

#[test]
fn a_loss_that_is_no_number_any_more() {
    let (mut model, x) = rooted(Root::default().name("root"));
    assert_eq!(
        warnings(&mut model, &x, &x, &[]),
        [
            "the loss of step 3 of epoch 1 turned NaN, first in the layer 'sequential/root': lower the learning rate, \
             or set clipnorm",
            "the loss of step 1 of epoch 1 turned NaN, the weight 'sequential/scale/kernel' was not finite after the \
             step before"
        ]
    );
    let (mut model, x) = rooted(Activation::new("linear"));
    let mut infinite = x.clone();
    infinite.as_slice_mut::<f32>().unwrap()[6] = f32::INFINITY;
    let text = warnings(&mut model, &infinite, &x, &[]);
    assert_eq!(
        text[0],
        "the loss of step 2 of epoch 1 turned infinite, the input 'input_layer' held an infinite number"
    );
    let own = custom("own", |t, p| (t - p).log().mean(&[1]));
    let mut model = linear(&[1.0], 0.0, Compile::new("sgd", own));
    let text = warnings(&mut model, &x, &(column(&[2.0; 20])), &[]);
    assert_eq!(text, NOTHING);
    let text = warnings(&mut model, &x, &(column(&[-20.0; 20])), &[]);
    assert_eq!(
        text[0],
        "the loss of step 1 of epoch 1 turned NaN, first in the loss itself: what the layers gave was finite"
    );
}

#[test]
fn training_goes_on_as_in_keras_after_a_loss_that_is_no_number() {
    let (mut model, x) = rooted(Root::default());
    let history = model.fit((&x, &x), quiet(2).batch_size(4).warnings(false)).unwrap();
    assert!(history.get("loss").iter().all(|l| l.is_nan()));
    assert!(model.weights()[0].to_vec::<f32>()[0].is_nan());
    assert_eq!(model.iterations(), 10);
    // The step that was done again counts once, also in metrics.
    let (mut model, x) = rooted(Activation::new("linear"));
    let y = Tensor::from_fn([20, 1], |i| if i == 9 { f32::INFINITY } else { 1.0f32 });
    let mut steps = 0;
    let count = LambdaCallback::new().on_train_batch_end(|_, _| {
        steps += 1;
        Ok(())
    });
    model.fit((&x, &y), quiet(1).batch_size(4).warnings(false).callback(count)).unwrap();
    assert_eq!((steps, model.iterations()), (5, 5));
}

#[derive(Default)]
struct Heard(Vec<String>);
impl Callback for Heard {
    fn on_warning(&mut self, warning: &str, _: &mut Training<'_>) -> rhyton::tensor::Result<()> {
        self.0.push(warning.into());
        Ok(())
    }
}

#[test]
fn warnings_can_be_heard_and_silenced() {
    let mut heard = Heard::default();
    let mut text = vec![];
    let (x, y) = (normal(&[8, 2], 1), labels(8, 3));
    let fit = Fit::epochs(1).verbose(0).warnings(false).callback(&mut heard).output(&mut text);
    net(1, "sigmoid", "binary_crossentropy").fit((&x, &y), fit).unwrap();
    assert!(text.is_empty());
    assert_eq!(heard.0.len(), 1);
    assert!(heard.0[0].starts_with("the targets of 'end' go up to 2"));
}
