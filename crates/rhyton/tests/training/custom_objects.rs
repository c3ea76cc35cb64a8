//! A layer, an activation, a loss and a metric of one's own: saved, loaded in a new process and trained on.

use super::*;
use rhyton::graph::{Expr, Type};
use rhyton::nn::activations::Activate;
use rhyton::nn::metrics::{Metric, mean_result, mean_start, mean_update};
use rhyton::nn::registry::register;
use rhyton::nn::{Args, Cx, Layer, LayerRef, Outputs};

rhyton::nn::layer! {
    /// Multiplies by a number and a learned factor.
    pub struct Scale {
        /// The number.
        by: f64 = 1.0,
    }
}
impl Layer for Scale {
    fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
        (args.x() * cx.weight("factor", [1], &"ones".into()) * self.by as f32).into()
    }
}

rhyton::nn::object! {
    /// `sin(x)`, stretched.
    pub struct Wave {
        /// The wave number.
        number: f64 = 1.0,
    }
}
impl Activate for Wave {
    fn apply(&self, x: &Expr) -> Expr {
        (x * self.number as f32).sin()
    }
}

rhyton::nn::object! {
    /// Fourth powers of errors.
    pub struct Quartic {}
}
impl Loss for Quartic {
    fn name(&self) -> String {
        "quartic".into()
    }
    fn losses(&self, y_true: &Expr, y_pred: &Expr) -> Expr {
        let d = y_true - y_pred;
        (&d * &d * &d * &d).mean(&[1])
    }
}

rhyton::nn::object! {
    /// The mean of the worst error of each sample.
    pub struct Worst {}
}
impl Metric for Worst {
    fn name(&self) -> String {
        "worst".into()
    }
    fn start(&self, _: &Type) -> Result<Vec<Tensor>> {
        mean_start()
    }
    fn update(&self, state: &[Expr], t: &Expr, p: &Expr, weight: Option<&Expr>) -> Vec<Expr> {
        mean_update(state, &(t - p).abs().max(&[1]), weight)
    }
    fn result(&self, state: &[Tensor]) -> f64 {
        mean_result(state)
    }
}

const PACKAGE: &str = "my_package";

fn registered() -> Result<()> {
    register::<dyn Layer, Scale>(PACKAGE, "Multiplies by a number and a learned factor.")?;
    register::<dyn Activate, Wave>(PACKAGE, "sin(x), stretched.")?;
    register::<dyn Loss, Quartic>(PACKAGE, "Fourth powers of errors.")?;
    register::<dyn Metric, Worst>(PACKAGE, "The mean of the worst error of each sample.")
}

fn trained_on(model: &mut Compiled) -> Vec<Tensor> {
    let (x, y) = (normal(&[24, 4], 1), normal(&[24, 2], 2));
    model.fit((&x, &y), quiet(2).batch_size(8).seed(5)).unwrap();
    model.weights().to_vec()
}

fn trained_file(folder: &Path) -> PathBuf {
    folder.join("trained.keras")
}

#[test]
fn a_model_of_ones_own_objects_goes_on_in_a_new_process() {
    registered().unwrap();
    let model = Sequential::new([4])
        .add(Dense::new(3).activation(Wave::default().number(1.5)))
        .add(Scale::default().by(0.5))
        .add(Dense::new(2))
        .build()
        .unwrap();
    let mut model =
        model.compile(Compile::new(Adam::new(0.01), Quartic::default()).metrics([Worst::default()])).unwrap();
    trained_on(&mut model);
    let folder = std::env::temp_dir().join(format!("rhyton-custom-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    rhyton::io::save_keras(&model, folder.join("model.keras")).unwrap();

    let child = second_process("custom_objects::the_second_process", &folder).output().unwrap();
    let text = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && text.contains("1 passed"), "{text}");

    let there = load_keras(trained_file(&folder)).unwrap().into_model();
    assert!(same_bits(&trained_on(&mut model), there.weights()));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
#[ignore = "a_model_of_ones_own_objects_goes_on_in_a_new_process starts it"]
fn the_second_process() {
    let folder = place();
    let path = folder.join("model.keras");
    let e = load_keras(&path).unwrap_err().to_string();
    let file = path.display();
    assert_eq!(
        e,
        format!(
            "there is no activation 'my_package>Wave': it is not one of Rhyton's, and this program has not registered \
             it\n  \
             in:       {file} / dense\n  at:       config.json, layers[1]\n  \
             expected: a program that knows its type: a configuration never brings code along\n  \
             fix:      call rhyton::nn::registry::register for the type Wave before the file is read"
        )
    );
    registered().unwrap();
    let (mut model, warnings) = load_keras(&path).unwrap().into_compiled().unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    trained_on(&mut model);
    rhyton::io::save_keras(&model, trained_file(&folder)).unwrap();
}

#[test]
fn ones_own_objects_take_no_name_of_ours() {
    rhyton::nn::layer! {
        /// A layer of the name of another.
        pub struct Dense {}
    }
    impl Layer for Dense {
        fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
            args.x().into()
        }
    }
    let own = LayerRef::from(Dense::default());
    assert_eq!(own.to_json()["registered_name"], "Custom>Dense");
    let e = LayerRef::from_json(&own.to_json()).unwrap_err().to_string();
    assert!(e.starts_with("there is no layer 'Custom>Dense': it is not one of Rhyton's"), "{e}");

    register::<dyn Layer, Dense>("mine", "A layer of the name of another.").unwrap();
    let record = own.to_json();
    assert_eq!((&record["class_name"], &record["registered_name"]), (&"Dense".into(), &"mine>Dense".into()));
    let is_own = |name: &str| {
        LayerRef::named(name).unwrap().get().unwrap().type_key() == own.get().unwrap().type_key()
    };
    assert!(is_own("mine>Dense") && !is_own("Dense") && !is_own("dense"));
    assert!(LayerRef::from_json(&record).unwrap().to_json() == record);

    let again = register::<dyn Layer, Dense>("mine", "");
    assert!(again.is_ok(), "{again:?}");
    let package = register::<dyn Layer, Dense>("a>b", "").unwrap_err().to_string();
    assert!(package.starts_with("the layer Dense is registered for the package \"a>b\""), "{package}");
}
