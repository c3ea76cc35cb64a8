//! Partial dependence and individual conditional expectation: the score while a feature takes other values.

use crate::features::{Features, table};
use crate::{Explainer, Place};
use rhyton_graph::Expr;
use rhyton_graph::function::for_each;
use rhyton_model::Tensors;
use rhyton_tensor::{Error, Result, Tensor};

/// The score while features take the values of a grid.
#[derive(Clone, Debug)]
pub struct Dependence {
    /// The points of the grid: a value for each feature.
    pub points: Vec<Vec<f32>>,
    /// The score of each sample at each point, `[samples, points]`: individual conditional expectations (Goldstein et
    /// al. 2015).
    pub individual: Tensor,
    /// The mean over the samples at each point: partial dependence (Friedman 2001).
    pub mean: Vec<f32>,
}

/// Values of a feature at even shares of its samples, from the smallest to the largest, each once.
///
/// ```
/// let x = rhyton_tensor::Tensor::new([4, 2], vec![1.0f32, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 0.0])?;
/// assert_eq!(rhyton_explain::quantiles(&x, 0, 3)?, [1.0, 2.5, 4.0]);
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
///
/// # Errors
/// When there is no such feature, or no samples.
pub fn quantiles(x: &Tensor, feature: usize, points: usize) -> Result<Vec<f32>> {
    let size: usize = x.shape().get(1..).unwrap_or_default().iter().product();
    if feature >= size || x.is_empty() {
        return Err(Error::new(format!("there is no feature {feature} in data of shape {:?}", x.shape())));
    }
    let mut column: Vec<f32> = x.to_vec::<f32>().chunks(size).map(|row| row[feature]).collect();
    column.sort_by(f32::total_cmp);
    let last = (column.len() - 1) as f64;
    let at = |k: usize| {
        let place = last * k as f64 / points.saturating_sub(1).max(1) as f64;
        let (low, high) = (column[place.floor() as usize], column[place.ceil() as usize]);
        low + (high - low) * place.fract() as f32
    };
    let mut grid: Vec<f32> = (0..points).map(at).collect();
    grid.dedup();
    Ok(grid)
}

/// All points of several grids, the last one running fastest.
fn product(grids: &[Vec<f32>]) -> Vec<Vec<f32>> {
    grids.iter().fold(vec![vec![]], |points, grid| {
        points.iter().flat_map(|p| grid.iter().map(move |x| [&p[..], &[*x]].concat())).collect()
    })
}

impl Explainer<'_> {
    /// The score of every sample while `features` (positions in a sample, in row-major order, over all inputs) take all
    /// values of their `grids`, one for each feature.
    ///
    /// ```
    /// # use rhyton_explain::{Explainer, Target};
    /// # use rhyton_model::Sequential;
    /// # use rhyton_nn::layers::Dense;
    /// # let reference = std::sync::Arc::<rhyton_graph::reference::ReferenceBackend>::default();
    /// # rhyton_model::backend::set_backend(reference);
    /// let mut model = Sequential::new([2]).add(Dense::new(1)).build()?;
    /// let weights = [vec![2.0f32, 5.0], vec![1.0]];
    /// let [kernel, bias] = weights.map(rhyton_tensor::Tensor::vector);
    /// model.set_weights(&[kernel.reshape([2, 1])?, bias])?;
    /// let x = rhyton_tensor::Tensor::new([2, 2], vec![9.0f32, 0.0, 9.0, 1.0])?;
    /// let first = Explainer::new(&model).dependence(&[0], &[vec![0.0, 10.0]], &x, None)?;
    /// assert_eq!(first.individual.to_vec::<f32>(), [1.0, 21.0, 6.0, 26.0]);
    /// assert_eq!(first.mean, [3.5, 23.5]);
    /// # Ok::<(), rhyton_tensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there is no such feature, grids are missing or empty, or the inputs do not fit the model.
    pub fn dependence<'a>(
        &self,
        features: &[usize],
        grids: &[Vec<f32>],
        x: impl Into<Tensors<'a>>,
        labels: Option<&Tensor>,
    ) -> Result<Dependence> {
        if features.is_empty() || features.len() != grids.len() || grids.iter().any(Vec::is_empty) {
            return Err(Error::new(format!("{} features and {} grids", features.len(), grids.len()))
                .expected("a grid with values for each feature"));
        }
        let points = product(grids);
        let runner = self.aimed(labels).program("dependence", &Place::Inputs, |scene| {
            let inputs = scene.inputs();
            let all = Features::each(&inputs)?;
            if let Some(f) = features.iter().find(|f| **f >= all.count) {
                return Err(Error::new(format!("there is no feature {f}"))
                    .expected(format!("a number below {}", all.count)));
            }
            let points = table([points.len(), features.len()], points.concat())?;
            let scores = for_each("grid", &[points], |point| {
                let each = |(x, of): (&Expr, &Expr)| {
                    features.iter().enumerate().fold(x.clone(), |x, (i, f)| {
                        let new = point[0].entry(0, i).cast(x.dtype());
                        of.equal(&Expr::scalar(*f as i32)).select(&new, &x)
                    })
                };
                let moved: Vec<Expr> = inputs.iter().zip(&all.of).map(each).collect();
                vec![scene.score_of_inputs(&moved)]
            });
            Ok(vec![scores[0].transpose(&[1, 0])])
        })?;
        let individual = runner.run(x.into(), labels)?.swap_remove(0);
        let (scores, n) = (individual.to_vec::<f32>(), points.len());
        let mean = |p: usize| {
            let column = scores.chunks(n).map(|row| f64::from(row[p]));
            (column.sum::<f64>() / (scores.len() / n) as f64) as f32
        };
        let mean = (0..n).map(mean).collect();
        Ok(Dependence { points, individual, mean })
    }
}
