//! Feature ablation.

use crate::features::{Features, Groups, Sizes};
use crate::{Attribution, Baseline, Scene};
use rhyton_graph::Expr;
use rhyton_graph::function::for_each;
use rhyton_model::program::per_sample;
use rhyton_tensor::{DType, Result};

rhyton_nn::object! {
    /// How much the score falls when a value, or a group of them, is replaced by the baseline.
    pub struct FeatureAblation {
        /// Which elements go together; each on its own when left out.
        groups: Groups = Groups::default(),
        /// Blocks of these sizes go together.
        patch: Sizes = Sizes::default(),
        /// What takes their place.
        baseline: Baseline = Baseline::default(),
    }
}

impl Attribution for FeatureAblation {
    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
        let (values, baseline) = (scene.values(), scene.baseline(&self.baseline)?);
        let features = Features::new(scene, &self.groups, self.patch.given())?;
        let score = scene.score(&values);
        let fell = for_each("features", &[scene.count(features.count)], |x| {
            let each = |((v, v0), of): ((&Expr, &Expr), &Expr)| of.equal(&x[0]).select(v0, v);
            let without: Vec<Expr> = values.iter().zip(&baseline).zip(&features.of).map(each).collect();
            vec![&score - scene.score(&without)]
        });
        Ok(features.spread(&fell[0]))
    }
}

rhyton_nn::object! {
    /// How much the score falls, on average over the windows that hold a value, when a whole window is replaced by the
    /// baseline (Zeiler, Fergus 2014). Windows that reach over the end are cut off.
    pub struct Occlusion {
        /// Sizes of the window, for each axis of a sample.
        window: Vec<usize> = vec![],
        /// Steps between windows; the sizes when left out.
        stride: Sizes = Sizes::default(),
        /// What takes their place.
        baseline: Baseline = Baseline::default(),
    }
}

impl Attribution for Occlusion {
    fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
        let (values, baseline) = (scene.values(), scene.baseline(&self.baseline)?);
        let score = scene.score(&values);
        let mut found = vec![];
        for (i, value) in values.iter().enumerate() {
            let windows = Windows::new(value, &self.window, self.stride.given())?;
            let sum = Scene::sum_over(&windows.starts(), &[value.clone()], |starts| {
                let inside = windows.inside(starts);
                let mut without = values.clone();
                without[i] = inside.select(&baseline[i], value);
                let fell = &score - scene.score(&without);
                vec![per_sample(&fell, value) * inside.cast(DType::F32)]
            });
            let covered =
                Scene::sum_over(&windows.starts(), &[Expr::full(windows.shape.clone(), 0.0)], |starts| {
                    vec![windows.inside(starts).cast(DType::F32)]
                });
            found.push(&sum[0] / covered[0].maximum(&Expr::scalar(1.0f32)));
        }
        Ok(found)
    }
}

/// All places of a window in a sample.
struct Windows {
    shape: Vec<usize>,
    window: Vec<usize>,
    /// Where windows start along each axis, window after window.
    places: Vec<Vec<usize>>,
}

impl Windows {
    fn new(value: &Expr, window: &[usize], stride: Option<&[usize]>) -> Result<Windows> {
        let shape = crate::features::sample_shape(value)?;
        let stride = stride.unwrap_or(window);
        let fits = window.len() == shape.len() && stride.len() == shape.len();
        if !fits || window.contains(&0) || stride.contains(&0) {
            return Err(rhyton_tensor::Error::new(format!(
                "windows of {window:?}, {stride:?} apart, in samples of {shape:?}"
            ))
            .expected("a size and a step of at least 1 for each axis of a sample"));
        }
        let counts: Vec<usize> = shape
            .iter()
            .zip(window)
            .zip(stride)
            .map(|((n, w), s)| n.saturating_sub(*w).div_ceil(*s) + 1)
            .collect();
        let total: usize = counts.iter().product();
        // Windows count along the last axis first.
        let before = |axis: usize| counts[axis + 1..].iter().product::<usize>();
        let along = |axis: usize| {
            let place = |number: usize| number / before(axis) % counts[axis] * stride[axis];
            (0..total).map(place).collect()
        };
        let places = (0..shape.len()).map(along).collect();
        Ok(Windows { shape, window: window.to_vec(), places })
    }

    fn starts(&self) -> Vec<Expr> {
        self.places.iter().map(|p| crate::features::list(p.clone())).collect()
    }

    /// Whether each element lies in the window that starts here.
    fn inside(&self, starts: &[Expr]) -> Expr {
        let along = |axis: usize| {
            let at = Expr::iota(self.shape.clone(), axis);
            let size = Expr::scalar(self.window[axis] as i32);
            at.greater_equal(&starts[axis]).and(&at.less(&(&starts[axis] + size)))
        };
        (0..self.shape.len())
            .map(along)
            .reduce(|a, b| a.and(&b))
            .unwrap_or_else(|| Expr::scalar(1i32).cast(DType::Bool))
    }
}
