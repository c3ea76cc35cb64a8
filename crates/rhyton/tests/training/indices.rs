//! Numbers that choose rows of a table or classes: a wrong one is an error wherever it comes from, and nothing has
//! changed then.

use super::sources::Stream;
use super::*;
use rhyton::graph::Expr;
use rhyton::nn::losses::custom;
use rhyton::nn::{Args, Cx, Layer, Outputs};
use rhyton::tensor::DType;
use rhyton::train::Step;

/// Two tokens a sample, 5 rows.
fn reader() -> Compiled {
    let model = Sequential::of(Input::new([2]).name("tokens"))
        .add(Embedding::new(5, 3).name("words"))
        .add(Flatten::new())
        .add(Dense::new(1));
    model.build().unwrap().compile(Compile::new("adam", "mse")).unwrap()
}

/// Tokens of four samples with `wrong` among those of sample 2.
fn tokens(wrong: f32) -> Tensor {
    Tensor::new([4, 2], vec![0.0, 1.0, 4.0, 3.0, 2.0, wrong, 0.0, 0.0]).unwrap()
}

fn targets() -> Tensor {
    Tensor::zeros(DType::F32, [4, 1])
}

fn refused<T: std::fmt::Debug>(result: rhyton::tensor::Result<T>) -> String {
    let text = result.unwrap_err().to_string();
    text.lines().filter(|l| !l.starts_with("  at:")).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_index_outside_the_table_is_refused_on_every_road() {
    let (x, y) = (tokens(5.0), targets());
    let what = "the index 5 of sample 2 is no row of the table\n  in:       input 'tokens' of layer \
                'sequential/words'\n  expected: whole numbers from 0 to 4\n  fix:      count from 0, or make \
                input_dim one larger";
    let mut model = reader();
    let before = model.weights().to_vec();
    assert_eq!(refused(model.fit((&x, &y), quiet(1))), what);
    let good = tokens(1.0);
    assert_eq!(refused(model.fit((&good, &y), quiet(1).validation((&x, &y)))), what);
    assert_eq!(refused(model.train_on_batch((&x, &y))), what);
    assert_eq!(refused(model.test_on_batch((&x, &y))), what);
    assert_eq!(refused(model.evaluate_with((&x, &y), Evaluate::new().verbose(0))), what);
    assert_eq!(refused(model.predict(&x)), what);
    assert_eq!(refused(model.predict_with(&x, Evaluate::new().verbose(0).batch_size(1))), what);
    assert_eq!(refused(model.fit(&mut Stream::new(&x, &y, 4, true), quiet(1))), what);
    assert!(same_bits(&before, model.weights()));
    let mut step = Step::build([reader().into_model()], 0, |s| {
        let (x, y) = (s.input("tokens", [2]), s.input("y", [1]));
        let loss = (&s.call(0, &[x])[0] - y).abs().mean_all();
        s.minimize(&loss, 0, SGD::new(0.1));
    })
    .unwrap();
    let before = step.state().unwrap();
    assert_eq!(refused(step.run(&[x, y.clone()]).map(<[Tensor]>::len)), what);
    assert_eq!(step.state().unwrap(), before);
    step.run(&[good, y]).unwrap();
}

#[test]
fn every_wrong_number_says_what_it_is() {
    let mut model = reader();
    let mut text = |x: &Tensor| refused(model.fit((x, &targets()), quiet(1)));
    assert!(text(&tokens(-1.0)).ends_with("fix:      count from 0: negative numbers choose no row"));
    assert!(text(&tokens(-1.0)).starts_with("the index -1 of sample 2"));
    assert!(text(&tokens(7.0)).ends_with("fix:      make input_dim the largest index and one"));
    assert!(text(&tokens(0.5)).starts_with("the index 0.5 of sample 2 is no row of the table"));
    assert!(text(&tokens(0.5)).ends_with("fix:      an embedding takes positions in its table: round them"));
    assert!(text(&tokens(f32::NAN)).starts_with("the data holds NaN"));
    assert!(text(&tokens(f32::INFINITY)).starts_with("the index inf of sample 2"));
    let wide = |x: i64| Tensor::new([4, 2], vec![0, 1, 4, 3, 2, x, 0, 0]).unwrap();
    assert!(text(&wide(1 << 40)).starts_with("the index 1099511627776 of sample 2"));
    for dtype in [DType::I64, DType::U8, DType::F64, DType::F32] {
        model.fit((&tokens(3.0).cast(dtype), &targets()), quiet(1)).unwrap();
    }
}

#[test]
fn numbers_that_do_not_fit_int32_are_refused() {
    let model = Sequential::of(Input::new([2]).int32()).add(Embedding::new(5, 1)).build().unwrap();
    let wide = Tensor::new([2, 2], vec![0i64, 1, (1 << 40) + 1, 2]).unwrap();
    let text = refused(model.predict(&wide));
    assert_eq!(
        text,
        "the number 1099511627777 of sample 1 does not fit int32\n  in:       input 'input_layer'\n  \
         expected: whole numbers from -2147483648 to 2147483647"
    );
    let half = Tensor::new([2, 2], vec![0.0f32, 1.0, 0.5, 2.0]).unwrap();
    assert!(refused(model.predict(&half)).starts_with("the number 0.5 of sample 1 is no whole number"));
    let mut line = linear(&[1.0], 0.0, Compile::new("sgd", "mse"));
    let x = Tensor::zeros(DType::F32, [2, 1]);
    let text = refused(line.fit((&x, &Tensor::vector(vec![0i64, 1 << 40])), quiet(1)));
    assert!(
        text.starts_with("the number 1099511627776 of sample 1 does not fit int32\n  in:       targets"),
        "{text}"
    );
    let mut step = Step::build(Vec::<Model>::new(), 0, |s| {
        let n = s.input_int("n", [1]);
        s.output("twice", &(&n + &n));
    })
    .unwrap();
    let text = refused(step.run(&[Tensor::new([2, 1], vec![1.0f32, 2.5]).unwrap()]).map(<[Tensor]>::len));
    assert!(
        text.starts_with("the number 2.5 of sample 1 is no whole number\n  in:       input 'n'"),
        "{text}"
    );
}

#[test]
fn embeddings_inside_other_models_and_at_every_step_are_checked() {
    let inner = Sequential::of(Input::new([2])).add(Embedding::new(5, 3).name("words")).build().unwrap();
    let outer = Sequential::of(Input::new([3, 2]).name("tokens"))
        .add(TimeDistributed::new(inner.into_layer()))
        .build()
        .unwrap();
    let x = |wrong: f32| Tensor::from_fn([5000, 3, 2], |i| if i == 4500 * 6 + 3 { wrong } else { 4.0 });
    let text = refused(outer.predict(&x(5.0)));
    assert!(
        text.starts_with("the index 5 of sample 4500 is no row of the table\n  in:       input 'tokens'"),
        "{text}"
    );
    assert!(text.contains("words'"), "{text}");
    outer.predict(&x(0.0)).unwrap();
}

#[test]
fn each_of_several_tables_has_its_own_range() {
    let x = Input::new([2]).name("tokens").symbolic();
    let large = Embedding::new(9, 2).name("large").apply(&x);
    let small = Embedding::new(6, 2).name("small").apply(&x);
    let model = Model::new(&[x], &[Add::new().apply([&large, &small])]).unwrap();
    assert!(refused(model.predict(&tokens(7.0))).contains("input 'tokens' of layer 'small'"));
    model.predict(&tokens(5.0)).unwrap();
}

rhyton::nn::layer! {
    /// The distance of every number from 3: what a network may make of its input before it looks it up.
    pub struct FromThree {}
}
impl Layer for FromThree {
    fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
        (args.x() - 3.0).into()
    }
}

#[test]
fn indices_computed_from_the_inputs_are_checked() {
    let net = Sequential::of(Input::new([2]).name("tokens")).add(FromThree::default());
    let mut model = net
        .add(Embedding::new(2, 3))
        .add(Flatten::new())
        .add(Dense::new(1))
        .build()
        .unwrap()
        .compile(Compile::new("sgd", "mse"))
        .unwrap();
    let x = |wrong: f32| Tensor::new([4, 2], vec![3.0, 3.0, 4.0, 3.0, 4.0, wrong, 3.0, 3.0]).unwrap();
    let text = refused(model.fit((&x(5.0), &targets()), quiet(1)));
    assert!(
        text.starts_with("the index 2 of sample 2 is no row of the table\n  in:       input 'tokens'"),
        "{text}"
    );
    model.fit((&x(4.0), &targets()), quiet(1)).unwrap();
}

rhyton::nn::layer! {
    /// Down to a whole number.
    pub struct Whole {}
}
impl Layer for Whole {
    fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
        args.x().cast(DType::I32).into()
    }
}

#[test]
fn indices_that_the_network_computes_are_checked_before_each_step() {
    // The index is the output of a layer that is trained: right at first, outside after some steps.
    let grow = Dense::new(1).use_bias(false).kernel_initializer("ones").name("grow");
    let x = Input::new([1]).name("x").symbolic();
    let index = grow.apply(&x);
    let row = Flatten::new().apply(Embedding::new(3, 1).apply(Whole::default().apply(&index)));
    let sum = Add::new().apply([&row, &index]);
    let model = Model::new(&[x], &[sum]).unwrap();
    let mut model = model.compile(Compile::new(SGD::new(0.5), "mae")).unwrap();
    let (x, y) = (Tensor::full([2, 1], 1.0f32), Tensor::full([2, 1], 100.0f32));
    let mut steps = 0;
    let text = loop {
        let before = model.weights().to_vec();
        match model.train_on_batch((&x, &y)) {
            Ok(_) => steps += 1,
            Err(e) => {
                assert!(same_bits(&before, model.weights()));
                break e.to_string();
            }
        }
    };
    // 1, 1.5, 2, 2.5, and then 3.
    assert_eq!(steps, 4);
    assert!(
        text.starts_with("the index 3 of sample 0 is no row of the table\n  in:       input 'x' of layer"),
        "{text}"
    );
    assert!(refused(model.predict(&x)).starts_with("the index 3 of sample 0"));
}

#[test]
fn labels_of_a_step_and_of_a_loss_of_ones_own_are_checked() {
    let sparse = |y: &Expr, p: &Expr| {
        let loss = SparseCategoricalCrossentropy::new().from_logits(true);
        rhyton::nn::losses::Loss::losses(&loss, y, p)
    };
    let net = || Sequential::new([2]).add(Dense::new(3)).build().unwrap();
    let mut step = Step::build([net()], 0, |s| {
        let (x, y) = (s.input("x", [2]), s.input_int("label", [1]));
        let loss = sparse(&y, &s.call(0, &[x])[0]).mean_all();
        s.minimize(&loss, 0, SGD::new(0.1));
    })
    .unwrap();
    let (x, y) = (normal(&[2, 2], 1), Tensor::new([2, 1], vec![1i32, 3]).unwrap());
    let text = refused(step.run(&[x.clone(), y.clone()]).map(<[Tensor]>::len));
    assert_eq!(
        text,
        "the label 3 of sample 1 is no class\n  in:       input 'label'\n  expected: whole numbers from 0 to 2\n  \
         fix:      count classes from 0, or give the last layer one unit more"
    );
    let mut model = net().compile(Compile::new("sgd", custom("own", sparse))).unwrap();
    let text = refused(model.fit((&x, &y), quiet(1)));
    assert!(text.starts_with("the label 3 of sample 1 is no class"), "{text}");
}

#[test]
fn labels_are_among_the_classes_along_the_axis_of_the_loss() {
    let loss = SparseCategoricalCrossentropy::new().axis(1);
    let model = Sequential::new([3, 10]).add(Dense::new(10).sigmoid()).build().unwrap();
    let mut model = model.compile(Compile::new("adam", loss)).unwrap();
    let x = Tensor::zeros(DType::F32, [2, 3, 10]);
    let wrong = Tensor::from_fn([2, 10], |i| if i == 14 { 5i32 } else { 2 });
    let text = refused(model.fit((&x, &wrong), quiet(1)));
    assert!(text.contains("the label 5 of sample 1 is no class"), "{text}");
    assert!(text.contains("whole numbers from 0 to 2"), "{text}");
}
