//! Rules on the walks over a model's graph: other gradients ([`Backward`]) and other values ([`Forward`]), on layers
//! as people use them.

mod support;

use rhyton_graph::named::RELU;
use rhyton_graph::testing::assert_close;
use rhyton_graph::transform::{Backward, Occurrence, Walked, backward, forward};
use rhyton_graph::{Expr, Function, interpret};
use rhyton_model::{Applicable, Input, Model, Sequential, Symbolic};
use rhyton_nn::layers::*;
use rhyton_tensor::{DType, Tensor};
use support::interval::{Bounds, Interval};
use support::normal;

/// Guided backpropagation (Springenberg et al. 2015): a ReLU passes on what is positive, where it was positive.
struct Guided;

impl Backward for Guided {
    fn rule(&self, at: &Occurrence, cotangents: &[Option<Expr>]) -> Option<Vec<Option<Expr>>> {
        if at.named != Some(&RELU) {
            return None;
        }
        let zero = Expr::scalar(0.0f32);
        let g = cotangents[0].as_ref()?.maximum(&zero);
        Some(vec![Some(at.results[0].greater(&zero).select(&g, &zero))])
    }
}

/// Gradient times input (Shrikumar et al. 2016): every occurrence keeps its gradient.
struct Plain;

impl Backward for Plain {
    fn rule(&self, _: &Occurrence, _: &[Option<Expr>]) -> Option<Vec<Option<Expr>>> {
        None
    }
}

/// What `rules` make of the sum of the model's output, at the input `x`.
fn attributed(model: &Model, rules: &dyn Backward, x: &Tensor) -> Tensor {
    let traced = model.trace(false).unwrap();
    let y = traced.outputs[0].expr.sum_all();
    let back = backward(rules, &[y], &[Some(Expr::scalar(1.0f32))], &traced.inputs);
    let params = traced.trace.params().into_iter().chain(traced.inputs).collect();
    let f = Function::new("attribution", params, vec![back[0].clone().unwrap()]);
    let args: Vec<Tensor> = model.weights().iter().cloned().chain([x.clone()]).collect();
    interpret(&f, &args).unwrap().remove(0)
}

fn close(have: &Tensor, want: &[f64]) {
    let want =
        Tensor::new(have.shape().to_vec(), want.iter().map(|x| *x as f32).collect::<Vec<_>>()).unwrap();
    assert_close(&[have.cast(DType::F32)], &[want], 1e-5, "attribution");
}

fn relu(x: f64) -> f64 {
    x.max(0.0)
}

#[test]
fn a_relu_used_twice_is_two_occurrences() {
    let x = Input::new([3]).symbolic();
    let rectify: rhyton_nn::LayerRef = ReLU::new().into();
    let first = rectify.clone().apply(&x);
    let second = rectify.apply(Rescaling::new(-1.0).offset(1.0).apply(&first));
    let model = Model::new(&[x], &[second]).unwrap();
    // y = relu(1 - relu(x)): the slope that reaches the first ReLU is negative everywhere.
    let at = Tensor::new([1, 3], vec![0.5f32, -1.0, 2.0]).unwrap();
    close(&attributed(&model, &Plain, &at), &[-1.0, 0.0, 0.0]);
    close(&attributed(&model, &Guided, &at), &[0.0, 0.0, 0.0]);
}

/// An LSTM of one unit over one feature with ReLU as activation, by hand: the input's attribution, guided or not.
fn lstm_by_hand(weights: &[Tensor], x: &[f64], guided: bool) -> Vec<f64> {
    let [k, u, b] =
        [0, 1, 2].map(|i| weights[i].to_vec::<f32>().into_iter().map(f64::from).collect::<Vec<_>>());
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let (mut h, mut c) = (0.0, 0.0);
    let mut steps = vec![];
    for x in x {
        let z: Vec<f64> = (0..4).map(|g| x * k[g] + h * u[g] + b[g]).collect();
        let (i, f, o, a) = (sigmoid(z[0]), sigmoid(z[1]), sigmoid(z[3]), relu(z[2]));
        let old = c;
        c = f * c + i * a;
        h = o * relu(c);
        steps.push((i, f, o, a, old, c));
    }
    let through = |g: f64, y: f64| if y > 0.0 { if guided { g.max(0.0) } else { g } } else { 0.0 };
    let (mut dh, mut dc, mut dx) = (1.0, 0.0, vec![0.0; x.len()]);
    for (t, (i, f, o, a, old, c)) in steps.into_iter().enumerate().rev() {
        let dz_o = dh * relu(c) * o * (1.0 - o);
        dc += through(dh * o, relu(c));
        let dz = [dc * a * i * (1.0 - i), dc * old * f * (1.0 - f), through(dc * i, a), dz_o];
        dx[t] = (0..4).map(|g| dz[g] * k[g]).sum();
        dh = (0..4).map(|g| dz[g] * u[g]).sum();
        dc *= f;
    }
    dx
}

#[test]
fn rules_reach_into_the_loop_of_an_lstm() {
    let model = Sequential::new([4, 1]).add(LSTM::new(1).activation("relu")).build().unwrap();
    let mut model = model;
    let weights = [
        Tensor::new([1, 4], vec![0.5f32, -0.4, 1.2, 0.7]).unwrap(),
        Tensor::new([1, 4], vec![0.6f32, -0.9, -1.5, 0.8]).unwrap(),
        Tensor::vector(vec![0.1f32, 1.0, 0.3, -0.2]),
    ];
    model.set_weights(&weights).unwrap();
    let x = [0.8, -0.1, 1.5, 0.4];
    let at = Tensor::new([1, 4, 1], x.iter().map(|x| *x as f32).collect::<Vec<_>>()).unwrap();
    let (plain, guided) = (lstm_by_hand(&weights, &x, false), lstm_by_hand(&weights, &x, true));
    assert!(plain.iter().zip(&guided).any(|(a, b)| (a - b).abs() > 1e-3), "the rule must make a difference");
    close(&attributed(&model, &Plain, &at), &plain);
    close(&attributed(&model, &Guided, &at), &guided);
}

/// Bounds of the model's output for inputs within `radius` of `x`.
fn bounds(model: &Model, x: &Tensor, radius: f32) -> Vec<Tensor> {
    let traced = model.trace(false).unwrap();
    let input = traced.inputs[0].clone();
    let given = Interval(&input - radius, &input + radius);
    let walked = forward(&Bounds, &[traced.outputs[0].expr.clone()], &[(input, given)]).unwrap();
    let Walked::Image(Interval(low, high)) = walked[0].clone() else { panic!("the output has no bounds") };
    let params = traced.trace.params().into_iter().chain(traced.inputs).collect();
    let args: Vec<Tensor> = model.weights().iter().cloned().chain([x.clone()]).collect();
    interpret(&Function::new("bounds", params, vec![low, high]), &args).unwrap()
}

fn output(model: &Model, x: &Tensor) -> Vec<f64> {
    let traced = model.trace(false).unwrap();
    let params = traced.trace.params().into_iter().chain(traced.inputs).collect();
    let args: Vec<Tensor> = model.weights().iter().cloned().chain([x.clone()]).collect();
    interpret(&Function::new("output", params, vec![traced.outputs[0].expr.clone()]), &args).unwrap()[0]
        .to_vec()
}

#[test]
fn intervals_hold_every_output_of_what_they_allow() {
    let dense = Sequential::new([5]).add(Dense::new(6).relu()).add(Dense::new(4).tanh()).add(Dense::new(3));
    let convolutional = Sequential::new([6, 6, 2])
        .add(Conv2D::new(3, 3).padding("same").relu())
        .add(BatchNormalization::new())
        .add(MaxPooling2D::new(2))
        .add(Conv2D::new(2, 2).sigmoid())
        .add(AveragePooling2D::new(2))
        .add(Flatten::new())
        .add(Dense::new(3));
    let recurrent = Sequential::new([4, 3]).add(LSTM::new(3).return_sequences(true)).add(GRU::new(2));
    let shapes: [&[usize]; 3] = [&[1, 5], &[1, 6, 6, 2], &[1, 4, 3]];
    for (network, shape) in [dense, convolutional, recurrent].into_iter().zip(shapes) {
        let model = network.build().unwrap();
        let x = normal(shape, 7);
        let [low, high] = <[Tensor; 2]>::try_from(bounds(&model, &x, 0.1)).unwrap();
        let (low, high) = (low.to_vec::<f64>(), high.to_vec::<f64>());
        assert!(low.iter().zip(&high).all(|(l, h)| h - l > 1e-4 && h - l < 20.0), "{low:?} {high:?}");
        for k in 0..40u64 {
            let noise = normal(shape, 100 + k).to_vec::<f32>();
            let moved = x.to_vec::<f32>().into_iter().zip(noise);
            let moved =
                moved.map(|(x, n)| x + if k % 2 == 0 { 0.1 * n.signum() } else { n.clamp(-0.1, 0.1) });
            let y = output(&model, &Tensor::new(shape.to_vec(), moved.collect::<Vec<f32>>()).unwrap());
            let inside =
                y.iter().zip(low.iter().zip(&high)).all(|(y, (l, h))| l - 1e-6 <= *y && *y <= h + 1e-6);
            assert!(inside, "{y:?} outside {low:?} .. {high:?}");
        }
        // Without room the bounds are the output itself.
        let none = bounds(&model, &x, 0.0);
        close(&none[0], &output(&model, &x));
        close(&none[1], &output(&model, &x));
    }
}

#[test]
fn an_operation_without_a_rule_is_named_with_its_layer() {
    let x: Symbolic = Input::new([3]).symbolic();
    let model = Model::new(&[x.clone()], &[GaussianNoise::new(0.1).apply(Softmax::new().apply(&x))]).unwrap();
    let traced = model.trace(false).unwrap();
    let input = traced.inputs[0].clone();
    let walked = forward(
        &Bounds,
        &[traced.outputs[0].expr.clone()],
        &[(input.clone(), Interval(input.clone(), input))],
    );
    let error = walked.err().unwrap().to_string();
    assert!(error.contains("no rule says what div does here") && error.contains("softmax"), "{error}");
}
