//! The policy mixed_bfloat16 end to end: it learns as float32 does, with weights of float32, for a layer or a model,
//! and through files.

use rhyton::data::datasets;
use rhyton::mixed_precision::DTypePolicy;
use rhyton::prelude::*;
use rhyton::tensor::DType;
use rhyton::train::Verbose;

fn network(policy: &str) -> Sequential {
    Sequential::new([8, 8, 1])
        .seed(1)
        .dtype_policy(policy)
        .add(Conv2D::new(16, 3).padding("same").relu())
        .add(BatchNormalization::new())
        .add(MaxPooling2D::new(2))
        .add(Flatten::new())
        .add(Dropout::new(0.1))
        .add(Dense::new(32).relu())
        .add(Dense::new(10).softmax())
}

fn compiled(model: Model) -> Compiled {
    let compile = Compile::new(Adam::new(2e-3), "sparse_categorical_crossentropy").metrics(["accuracy"]);
    model.compile(compile).unwrap()
}

fn digits() -> (Tensor, Tensor) {
    let ((x, y), _) = datasets::digits().unwrap();
    let x = rhyton::data::rescale(&x, 1.0 / 16.0, 0.0).unwrap();
    (x.reshape([x.shape()[0], 8, 8, 1]).unwrap(), y)
}

#[test]
fn it_learns_as_float32_does() {
    let (x, y) = digits();
    let figures = ["float32", "mixed_bfloat16"].map(|policy| {
        let mut model = compiled(network(policy).build().unwrap());
        let fit = Fit::epochs(6).batch_size(32).seed(2).validation_split(0.2).verbose(Verbose::Silent);
        let history = model.fit((&x, &y), fit).unwrap();
        assert!(history.last("loss").unwrap() < 0.3 * history.get("loss")[0], "{policy}");
        let all = [model.weights(), &model.optimizer_state()].concat();
        assert!(all.iter().all(|t| t.dtype() != DType::BF16), "{policy}: state is float32");
        assert_eq!(model.predict(&x.slice_rows(0..3).unwrap()).unwrap().dtype(), DType::F32);
        history.last("val_accuracy").unwrap()
    });
    assert!(figures[0] > 0.9 && (figures[0] - figures[1]).abs() < 0.03, "{figures:?}");
}

#[test]
fn a_file_keeps_the_policy_of_every_layer() {
    let (x, _) = digits();
    let x = x.slice_rows(0..20).unwrap();
    let inner = Sequential::new([64]).add(Dense::new(8).relu()).add(Dense::new(8).dtype("float32"));
    let model = Sequential::new([8, 8, 1])
        .dtype_policy("mixed_bfloat16")
        .add(TimeDistributed::new(Dense::new(4).relu()))
        .add(Reshape::new([256]))
        .add(Dense::new(64))
        .add(inner.definition().unwrap())
        .add(Dense::new(10).softmax().dtype("float32"))
        .build()
        .unwrap();
    let record =
        |m: &Model| rhyton::model::json::model_record(m.definition(), serde_json::Value::Null).to_string();
    let text = record(&model);
    let count = |name: &str| text.matches(&format!(r#""name":"{name}""#)).count();
    assert_eq!((count("mixed_bfloat16"), count("float32")), (7, 2), "{text}");
    let path = std::env::temp_dir().join(format!("rhyton-policy-{}.keras", std::process::id()));
    compiled(model).save(&path).unwrap();
    let loaded = Compiled::load(&path).unwrap();
    let again = Compiled::load(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let y = loaded.predict(&x).unwrap();
    assert!(y.same_bits(&again.predict(&x).unwrap()));
    assert_eq!(text, record(&loaded));
}

#[test]
fn precision_is_that_of_the_layer() {
    let x = Tensor::vector(vec![1.003_906_3f32]).reshape([1, 1]).unwrap();
    let through = |policy: &str| {
        let model =
            Sequential::new([1]).add(Dense::new(1).kernel_initializer("ones").dtype(policy)).build().unwrap();
        model.predict(&x).unwrap().to_vec::<f32>()[0]
    };
    assert_eq!(through("float32"), 1.003_906_3);
    assert!([1.0, 1.007_812_5].contains(&through("mixed_bfloat16")));
}

#[test]
fn unknown_policies_are_errors() {
    let of_layer = Sequential::new([3]).add(Dense::new(2).dtype("mixed_float17")).build();
    let of_model = Sequential::new([3]).dtype_policy("mixed_float17").add(Dense::new(2)).build();
    for failed in [of_layer, of_model] {
        let text = failed.unwrap_err().to_string();
        assert!(text.contains("'mixed_float17'") && text.contains("mixed_bfloat16"), "{text}");
    }
    assert!(rhyton::mixed_precision::set_global_policy("half").is_err());
    assert_eq!(rhyton::config::dtype_policy(), DTypePolicy::Float32);
}
