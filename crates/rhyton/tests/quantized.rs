//! Models in int8: what they compute, what they refuse, what they are in files.

use rhyton::nn::quantizers::{QuantizationConfig, quantize_weight};
use rhyton::prelude::*;
use rhyton::tensor::DType;
use rhyton::tensor::rng::Stream;

fn values(seed: u64, shape: &[usize]) -> Tensor {
    let mut s = Stream::new(seed, 0, 0);
    Tensor::from_fn(shape.to_vec(), |_| s.uniform() * 2.0 - 1.0)
}

/// The largest difference, as a part of the largest value.
fn difference(a: &Tensor, b: &Tensor) -> f32 {
    let (a, b) = (a.to_vec::<f32>(), b.to_vec::<f32>());
    let largest = b.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    a.iter().zip(&b).fold(0.0f32, |m, (x, y)| m.max((x - y).abs())) / largest
}

/// Quantizes; the outputs for `x` stay near those of float32, but are not the same.
fn near(mut model: Model, x: &Tensor, tolerance: f32) -> Model {
    let before = model.predict(x).unwrap();
    model.quantize("int8").unwrap();
    let after = model.predict(x).unwrap();
    let error = difference(&after, &before);
    assert!(error > 0.0 && error < tolerance, "differs by {error}");
    model
}

fn convolutional() -> Model {
    Sequential::new([12, 12, 4])
        .add(Conv2D::new(20, 3).relu())
        .add(Conv2D::new(8, (3, 2)).strides(2).padding("same").relu())
        .add(Flatten::new())
        .add(Dense::new(17).tanh())
        .add(Dense::new(5).use_bias(false))
        .build()
        .unwrap()
}

#[test]
fn images_stay_near_float32() {
    let model = near(convolutional(), &values(1, &[5, 12, 12, 4]), 0.05);
    let names: Vec<&str> = model.variables().iter().map(|v| v.weight.name.as_str()).collect();
    assert_eq!(names[..3], ["kernel", "kernel_scale", "bias"]);
    assert_eq!(model.weights()[0].dtype(), DType::I8);
    let text = model.summary();
    assert!(text.contains("conv2d (Conv2D, int8)") && text.contains("flatten (Flatten)"), "{text}");
}

#[test]
fn sequences_volumes_and_words_stay_near_float32() {
    let sound = Sequential::new([30, 8]).add(Conv1D::new(6, 5).padding("causal").dilation_rate(2));
    near(sound.build().unwrap(), &values(2, &[3, 30, 8]), 0.05);
    let grouped = Sequential::new([4, 5, 6, 4]).add(Conv3D::new(6, 3).groups(2).gelu());
    near(grouped.build().unwrap(), &values(3, &[2, 4, 5, 6, 4]), 0.05);
    let each = Sequential::new([6, 10]).add(TimeDistributed::new(Dense::new(4)));
    near(each.build().unwrap(), &values(4, &[3, 6, 10]), 0.05);
    let input = Input::new([7]).dtype("int32").symbolic();
    let words = Dense::new(3).apply(LSTM::new(6).apply(Embedding::new(50, 8).apply(&input)));
    let x = Tensor::from_fn([4, 7], |i| (i * 13 % 50) as i32);
    near(Model::new(&[input], &[words]).unwrap(), &x, 0.05);
}

#[test]
fn small_filters_stay_in_float32() {
    let mut model = Sequential::new([9, 9, 3]).add(Conv2D::new(8, 3)).build().unwrap();
    let x = values(12, &[2, 9, 9, 3]);
    let before = model.predict(&x).unwrap();
    model.quantize("int8").unwrap();
    assert!(model.predict(&x).unwrap().same_bits(&before) && !model.is_quantized());
}

#[test]
fn inputs_may_stay_in_float32() {
    let x = values(13, &[9, 40]);
    let model = |layer: Dense| Sequential::new([40]).add(layer).build().unwrap();
    let weights_only = Dense::new(7).quantization_config(QuantizationConfig::weights_only());
    let mut models = [model(Dense::new(7)), model(weights_only)];
    let weights = models[0].weights().to_vec();
    models[1].set_weights(&weights).unwrap();
    let before = models[0].predict(&x).unwrap();
    let [both, weights] = models.each_mut().map(|m| {
        m.quantize("int8").unwrap();
        difference(&m.predict(&x).unwrap(), &before)
    });
    assert!(0.0 < weights && weights < both, "{weights}, {both} with inputs");
}

#[test]
fn nested_models_are_quantized_inside() {
    let inner = Sequential::new([6]).name("inner").add(Dense::new(5).relu()).build().unwrap();
    let outer = Sequential::new([6]).add(inner.into_layer()).add(Dense::new(2)).build().unwrap();
    let model = near(outer, &values(5, &[9, 6]), 0.05);
    assert_eq!(model.variables().iter().filter(|v| v.weight.dtype == DType::I8).count(), 2);
}

#[test]
fn a_sample_does_not_depend_on_the_others() {
    let mut model = convolutional();
    model.quantize("int8").unwrap();
    let x = values(6, &[40, 12, 12, 4]);
    let all = model.predict(&x).unwrap();
    for i in [0, 7, 39] {
        let one = model.predict(&x.rows(&[i]).unwrap()).unwrap();
        assert!(one.same_bits(&all.rows(&[i]).unwrap()), "sample {i}");
    }
}

/// Sums of products of what Keras's formulas give, in double precision.
#[test]
fn dense_follows_the_formula() {
    let mut model = Sequential::new([33]).add(Dense::new(9)).build().unwrap();
    let (w, x) = (model.weights()[0].clone(), values(7, &[4, 33]));
    let bias = values(8, &[9]);
    model.set_weights(&[w.clone(), bias.clone()]).unwrap();
    model.quantize("int8").unwrap();
    let got = model.predict(&x).unwrap().to_vec::<f32>();
    let (wq, ws) = quantize_weight(&w, 1).unwrap();
    let (xq, xs) = quantize_weight(&x, 0).unwrap();
    let (wq, ws, xq, xs) = (wq.to_vec::<i32>(), ws.to_vec::<f32>(), xq.to_vec::<i32>(), xs.to_vec::<f32>());
    for (o, y) in got.iter().enumerate() {
        let (i, j) = (o / 9, o % 9);
        let sum: i32 = (0..33).map(|p| xq[i * 33 + p] * wq[p * 9 + j]).sum();
        let want = f64::from(sum) / f64::from(ws[j] * xs[i]) + f64::from(bias.to_vec::<f32>()[j]);
        assert!((f64::from(*y) - want).abs() < 1e-6, "{y} is not {want}");
    }
}

#[test]
fn zeros_give_the_bias_and_infinity_stays_in_its_row() {
    let mut model = Sequential::new([8]).add(Dense::new(3)).build().unwrap();
    let w = model.weights()[0].clone();
    model.set_weights(&[w, Tensor::vector(vec![1.0f32, -2.0, 0.5])]).unwrap();
    model.quantize("int8").unwrap();
    let mut x = vec![0.0f32; 16];
    x[11] = f32::INFINITY;
    let y = model.predict(&Tensor::new([2, 8], x).unwrap()).unwrap().to_vec::<f32>();
    assert_eq!(y[..3], [1.0, -2.0, 0.5]);
    assert!(y[3..].iter().all(|v| v.is_nan()), "{y:?}");
}

#[test]
fn an_index_out_of_range_is_refused_as_before() {
    let input = Input::new([2]).dtype("int32").symbolic();
    let rows = Embedding::new(4, 3).apply(&input);
    let mut model = Model::new(&[input], &[rows]).unwrap();
    model.quantize("int8").unwrap();
    let e = model.predict(&Tensor::new([1, 2], vec![1i32, 4]).unwrap()).unwrap_err().to_string();
    assert!(e.starts_with("the index 4 of sample 0 is no row of the table"), "{e}");
}

fn compiled() -> Compiled {
    let how = Compile::new(Adam::new(1e-2), "mse").metrics(["mae"]);
    Sequential::new([6]).add(Dense::new(8).relu()).add(Dense::new(1)).build().unwrap().compile(how).unwrap()
}

#[test]
fn quantized_models_are_evaluated_but_not_trained() {
    let mut model = compiled();
    let (x, y) = (values(9, &[50, 6]), values(10, &[50, 1]));
    model.fit((&x, &y), Fit::epochs(2).verbose(0)).unwrap();
    let before = model.evaluate_with((&x, &y), Evaluate::new().verbose(0)).unwrap();
    model.quantize("int8").unwrap();
    let after = model.evaluate_with((&x, &y), Evaluate::new().verbose(0)).unwrap();
    let mae = |logs: &rhyton::train::Logs| logs.get("mae").unwrap();
    assert!((mae(&before) - mae(&after)).abs() < 0.02, "{before} {after}");
    let weights = model.weights().to_vec();
    for e in [
        model.fit((&x, &y), Fit::epochs(1).verbose(0)).unwrap_err(),
        model.train_on_batch((&x, &y)).unwrap_err(),
    ] {
        assert!(e.to_string().contains("quantized to int8 cannot be trained"), "{e}");
    }
    assert!(weights.iter().zip(model.weights()).all(|(a, b)| a.same_bits(b)));
    let twice = model.quantize("int8").unwrap_err().to_string();
    assert!(twice.contains("quantized already"), "{twice}");
}

#[test]
fn what_cannot_be_quantized_is_said() {
    for (mode, words) in [("int4", "int4 is not supported"), ("int16", "no quantization 'int16'")] {
        let e = convolutional().quantize(mode).unwrap_err().to_string();
        assert!(e.contains(words), "{e}");
    }
    let mut model = Sequential::new([2]).add(Dense::new(2)).build().unwrap();
    let bias = model.weights()[1].clone();
    model.set_weights(&[Tensor::full([2, 2], f32::NAN), bias]).unwrap();
    let e = model.quantize("int8").unwrap_err().to_string();
    assert!(e.contains("NaN") && e.contains("sequential/dense/kernel"), "{e}");
    assert!(!model.is_quantized());
    let mut long = Sequential::new([131_072]).add(Dense::new(1)).build().unwrap();
    let e = long.quantize("int8").unwrap_err().to_string();
    assert!(e.contains("sums of 131072 products"), "{e}");
}

/// Keras wrote the model and its outputs (`data/quantized.py`); they are the same here.
#[test]
fn a_model_that_keras_quantized() {
    let data = |name: &str| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    let model = Model::load(data("quantized.keras")).unwrap();
    assert_eq!(model.variables().iter().filter(|v| v.weight.dtype == DType::I8).count(), 3);
    let arrays = rhyton::io::read_npz(data("quantized.npz")).unwrap();
    let array = |name: &str| &arrays.iter().find(|(n, _)| n == name).unwrap().1;
    let error = difference(&model.predict(array("x")).unwrap(), array("y"));
    assert!(error < 1e-6, "differs by {error}");
}

#[test]
fn files_keep_the_bits_and_are_four_times_smaller() {
    let folder = std::env::temp_dir().join(format!("rhyton-quantized-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let x = values(11, &[3, 12, 12, 4]);
    let wide = Sequential::new([12, 12, 4]).add(Conv2D::new(128, 3)).add(Flatten::new()).add(Dense::new(32));
    let mut model = wide.build().unwrap();
    let (large, small) = (folder.join("large.keras"), folder.join("small.keras"));
    model.save(&large).unwrap();
    model.quantize("int8").unwrap();
    model.save(&small).unwrap();
    let loaded = Model::load(&small).unwrap();
    assert!(loaded.is_quantized());
    assert!(loaded.predict(&x).unwrap().same_bits(&model.predict(&x).unwrap()));
    let size = |path| std::fs::metadata(path).unwrap().len() as f64;
    let ratio = size(&large) / size(&small);
    assert!(ratio > 3.5, "{ratio}");
    for name in ["w.weights.h5", "w.safetensors", "w.npz"] {
        let path = folder.join(name);
        model.save_weights(&path).unwrap();
        let mut other = Model::load(&small).unwrap();
        other.initialize(3).unwrap();
        other.load_weights(&path).unwrap();
        assert!(other.predict(&x).unwrap().same_bits(&model.predict(&x).unwrap()), "{name}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
