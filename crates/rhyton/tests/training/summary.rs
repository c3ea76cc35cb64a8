//! `summary()` is, character by character, what Keras 3.15.1 printed. The samples are in `summary/`.

use super::*;
use rhyton::train::Compile;

fn images() -> Model {
    Sequential::new([28, 28, 1])
        .add(Conv2D::new(32, 3).activation("relu"))
        .add(BatchNormalization::new())
        .add(MaxPooling2D::new(2))
        .add(Flatten::new())
        .add(Dropout::new(0.5))
        .add(Dense::new(10).activation("softmax"))
        .build()
        .unwrap()
}

#[test]
fn a_sequential() {
    assert_eq!(images().summary(), include_str!("summary/sequential.txt"));
    let compiled = images().compile(Compile::new("adam", "mse")).unwrap();
    assert_eq!(compiled.summarize().line_length(80).to_string(), include_str!("summary/compiled.txt"));
}

#[test]
fn a_graph_with_a_nested_model() {
    let build = |trainable: bool| {
        let inner = Sequential::new([10]).name("inner");
        let inner =
            inner.add(Dense::new(3).name("dense_2")).add(Dense::new(2).name("dense_3")).build().unwrap();
        let a = Input::new([4]).name("a").symbolic();
        let b = Input::new([3]).name("b").symbolic();
        let both = Concatenate::new().apply([&Dense::new(5).apply(&a), &Dense::new(5).apply(&b)]);
        let mut definition = inner.definition().clone();
        rhyton::nn::Based::base_mut(&mut definition).trainable = trainable;
        let y = rhyton::nn::LayerRef::from(definition).apply(&both);
        Model::new(&[a, b], &[y]).unwrap()
    };
    let named = |text: String| text.replacen("Model: \"functional\"", "Model: \"f\"", 1);
    let model = build(true);
    assert_eq!(named(model.summarize().line_length(96).to_string()), include_str!("summary/graph.txt"));
    let all = build(false);
    let all = all.summarize().line_length(96).expand_nested(true).show_trainable(true);
    assert_eq!(named(all.to_string()), include_str!("summary/nested.txt"));
}

#[test]
fn a_chain_of_calls_needs_no_column_for_connections() {
    let x = Input::new([4]).name("x").symbolic();
    let shared = Dense::new(4).shared();
    let chain = Model::new(&[x.clone()], &[Dense::new(1).apply(shared.apply(&x))]).unwrap();
    assert!(!chain.summary().contains("Connected to"));
    let twice = Model::new(&[x.clone()], &[shared.apply(shared.apply(&x))]).unwrap();
    assert!(twice.summary().contains("dense[0][0]"), "{}", twice.summary());
}
