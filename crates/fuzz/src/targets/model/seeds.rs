//! Models to start from: one around every layer, one for every loss, metric and optimizer, and the ways to connect.

use super::layers;
use crate::targets::written;
use rhyton::io::save_keras;
use rhyton::nn::Kind;
use rhyton::nn::initializers::Initialize;
use rhyton::nn::losses::Loss;
use rhyton::nn::metrics::Metric;
use rhyton::nn::optimizers::Optimizer;
use rhyton::prelude::*;
use rhyton::train::Compile;
use rhyton_nn::LayerRef;

pub fn seeds() -> Result<Vec<Vec<u8>>> {
    let mut seeds = vec![];
    for (i, case) in layers::cases().iter().enumerate() {
        seeds.push(file(&layers::model_of(case, i).0)?);
    }
    for model in [connected()?, shared()?, nested()?, initialized()?, quantized()?] {
        seeds.push(file(&model)?);
    }
    seeds.extend(compiled()?);
    Ok(seeds)
}

fn file(model: &Model) -> Result<Vec<u8>> {
    written(".keras", |path| save_keras(model, path))
}

fn names<T: Kind + ?Sized>() -> impl Iterator<Item = &'static str> {
    T::rows().into_iter().map(|row| row.class_name)
}

fn classifier() -> Result<Model> {
    Sequential::new([4])
        .add(Dense::new(3).kernel_regularizer("l2").bias_constraint("non_neg").softmax())
        .build()
}

/// Compiled with each loss, metric and optimizer that needs no further argument. A metric goes with the first loss
/// whose targets it takes.
fn compiled() -> Result<Vec<Vec<u8>>> {
    let mut seeds = vec![];
    for loss in names::<dyn Loss>() {
        seeds.extend(trained(Compile::new("sgd", loss))?);
    }
    for optimizer in names::<dyn Optimizer>() {
        seeds.extend(trained(Compile::new(optimizer, "mse").metrics(["mae"]))?);
    }
    for metric in names::<dyn Metric>() {
        for loss in ["mse", "sparse_categorical_crossentropy"] {
            let seed = trained(Compile::new("sgd", loss).metrics([metric]))?;
            let found = seed.is_some();
            seeds.extend(seed);
            if found {
                break;
            }
        }
    }
    Ok(seeds)
}

/// The file of the classifier compiled so, if it can be trained.
fn trained(arguments: Compile) -> Result<Option<Vec<u8>>> {
    let Ok(model) = classifier()?.compile(arguments) else { return Ok(None) };
    let file = written(".keras", |path| save_keras(&model, path))?;
    Ok(super::train(model).is_ok().then_some(file))
}

/// Two inputs, two outputs, a mask, attention and a loop.
fn connected() -> Result<Model> {
    let words = Input::new([7]).int32().symbolic();
    let image = Input::new([6, 6, 1]).symbolic();
    let x = Embedding::new(9, 4).mask_zero(true).apply(&words);
    let x = LSTM::new(4).return_sequences(true).apply(&x);
    let x = GlobalAveragePooling1D::new().apply(MultiHeadAttention::new(1, 2).apply([&x, &x]));
    let y = BatchNormalization::new().apply(Conv2D::new(2, 3).padding("same").relu().apply(&image));
    let y = Flatten::new().apply(MaxPooling2D::new(2).apply(&y));
    let both = Concatenate::new().apply([&x, &y]);
    let a = Dense::new(3).softmax().apply(&both);
    let b = Dense::new(1).apply(&both);
    Model::new(&[words, image], &[a, b])
}

/// One layer called twice.
fn shared() -> Result<Model> {
    let (a, b) = (Input::new([4]).symbolic(), Input::new([4]).symbolic());
    let layer: LayerRef = Dense::new(3).tanh().into();
    let y = Add::new().apply([&layer.apply(&a), &layer.apply(&b)]);
    Model::new(&[a, b], &[y])
}

/// Models in a model.
fn nested() -> Result<Model> {
    let inner = classifier()?.into_layer();
    let x = Input::new([4]).symbolic();
    let wrapped = TimeDistributed::new(Dense::new(2)).apply(RepeatVector::new(3).apply(inner.apply(&x)));
    let y = Bidirectional::new(GRU::new(2)).apply(&wrapped);
    Model::new(&[x], &[y])
}

/// A layer for each initializer.
fn initialized() -> Result<Model> {
    let mut model = Sequential::new([4]);
    for name in names::<dyn Initialize>() {
        model = model.add(Dense::new(4).kernel_initializer(name));
    }
    model.build()
}

fn quantized() -> Result<Model> {
    let mut model = Sequential::new([4]).add(Dense::new(5).relu()).add(Dense::new(3)).build()?;
    model.quantize("int8")?;
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_every_loss_metric_and_optimizer_is_among_the_seeds() {
        let all =
            names::<dyn Loss>().count() + names::<dyn Metric>().count() + names::<dyn Optimizer>().count();
        let have = compiled().unwrap().len();
        // Some take arguments without a default.
        assert!(have + 8 >= all, "{have} of {all}");
    }
}
