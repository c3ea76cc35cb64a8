//! What models add to the registry of layers: inputs, and models themselves.

use super::json::build_definition;
use super::{Applicable, Definition, Input, Model, Sequential};
use rhyton_nn::layers::Dense;
use rhyton_nn::registry::{Example, Row};
use rhyton_nn::{Layer, LayerRef};
use std::any::TypeId;

/// An example for samples of five numbers.
fn example(model: rhyton_tensor::Result<Definition>) -> Vec<Example<dyn Layer>> {
    let object = model.map_or_else(LayerRef::bad, LayerRef::from);
    vec![Example { object, inputs: &[&[5]] }]
}

inventory::submit! {
    Row::<dyn Layer> {
        class_name: "InputLayer",
        names: &[],
        package: None,
        doc: "Where data enters a model.",
        build: Input::build,
        examples: || vec![Example { object: Input::new([4]).into(), inputs: &[] }],
        of: TypeId::of::<Input>,
    }
}

inventory::submit! {
    Row::<dyn Layer> {
        class_name: "Sequential",
        names: &[],
        package: None,
        doc: "Layers one after the other.",
        build: build_definition,
        examples: || example(Sequential::new([5]).add(Dense::new(3).tanh()).add(Dense::new(2)).definition()),
        of: TypeId::of::<Definition>,
    }
}

inventory::submit! {
    Row::<dyn Layer> {
        class_name: "Functional",
        names: &["Model"],
        package: None,
        doc: "Layers connected as a graph.",
        build: build_definition,
        examples: || {
            let x = Input::new([5]).symbolic();
            let y = Dense::new(2).apply(Dense::new(3).tanh().apply(&x));
            example(Model::new(&[x], &[y]).map(|m| m.definition().clone()))
        },
        of: TypeId::of::<Definition>,
    }
}
