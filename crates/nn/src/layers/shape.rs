//! The same elements in another arrangement or on another scale: Identity, Rescaling, Flatten, Reshape,
//! Permute, RepeatVector.

use crate::layers::check;
use crate::{Args, Cx, Layer, Object, Outputs};
use rhyton_graph::Expr;
use rhyton_tensor::{Dim, Error, Result, Shape};

crate::layer! {
    /// Its input.
    pub struct Identity {}
}

impl Identity {
    /// Its input.
    #[track_caller]
    pub fn new() -> Identity {
        Identity::default()
    }
}

impl Layer for Identity {
    fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
        args.x().into()
    }
    fn supports_masking(&self) -> bool {
        true
    }
}

crate::layer! {
    /// `x * scale + offset`: pixels from 0 to 255 as numbers from 0 to 1, for instance.
    pub struct Rescaling {
        /// The factor.
        scale: f64 = 1.0,
        /// Added afterwards.
        offset: f64 = 0.0,
    }
}

impl Rescaling {
    /// `x * scale`.
    #[track_caller]
    pub fn new(scale: f64) -> Rescaling {
        Rescaling::default().scale(scale)
    }
}

impl Layer for Rescaling {
    fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
        (args.x() * self.scale as f32 + self.offset as f32).into()
    }
    fn supports_masking(&self) -> bool {
        true
    }
}

crate::layer! {
    /// `[batch, ..]` as `[batch, features]`, in row-major order.
    pub struct Flatten {
        /// `channels_last`.
        data_format: String = "channels_last".into(),
    }
}

impl Flatten {
    /// All axes but the first become one.
    #[track_caller]
    pub fn new() -> Flatten {
        Flatten::default()
    }

    fn output(&self, x: &Expr) -> Result<Expr> {
        check::channels_last(self.class_name(), &self.data_format)?;
        let [batch, rest @ ..] = &x.shape()[..] else {
            return Err(Error::new("Flatten takes [batch, ..], got a single number"));
        };
        Ok(x.reshape(vec![batch.clone(), Shape::from(rest).elements()]))
    }
}

impl Layer for Flatten {
    fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
        self.output(&args.x()).into()
    }
}

crate::layer! {
    /// `[batch, ..]` under other sizes, in row-major order.
    pub struct Reshape {
        /// The sizes of a sample; one of them may be -1 and is worked out.
        target_shape: Target = Target(vec![]),
    }
}

/// Sizes of a sample, one of which may be -1.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Target(pub Vec<i64>);

impl<const N: usize> From<[i64; N]> for Target {
    fn from(sizes: [i64; N]) -> Target {
        Target(sizes.to_vec())
    }
}
impl From<Vec<i64>> for Target {
    fn from(sizes: Vec<i64>) -> Target {
        Target(sizes)
    }
}
impl<X: Into<Target>> crate::Setting<Target> for X {
    fn setting(self) -> Target {
        self.into()
    }
}

impl Reshape {
    /// Samples of these sizes: `Reshape::new([28, 28, 1])`, `Reshape::new([-1, 4])`.
    #[track_caller]
    pub fn new(target_shape: impl crate::Setting<Target>) -> Reshape {
        Reshape::default().target_shape(target_shape)
    }

    fn output(&self, x: &Expr) -> Result<Expr> {
        let target = &self.target_shape.0;
        let [batch, rest @ ..] = &x.shape()[..] else {
            return Err(Error::new("Reshape takes [batch, ..], got a single number"));
        };
        let elements = Shape::from(rest).elements();
        let misfit = |fix: &str| {
            Error::new(format!(
                "Reshape cannot make samples of {target:?} from samples of {}",
                Shape::from(rest)
            ))
            .expected(format!("{elements} elements in a sample"))
            .fix(fix.to_string())
        };
        let open = target.iter().filter(|n| **n == -1).count();
        if open > 1 || target.iter().any(|n| *n < -1) {
            return Err(misfit("use -1 at most once, and no other negative size"));
        }
        let product = target.iter().filter(|n| **n >= 0).try_fold(1i64, |a, n| a.checked_mul(*n));
        let Some(known) = product.map(Dim::from) else { return Err(misfit("use smaller sizes")) };
        let missing = if open == 1 { elements.exact_div(&known) } else { Some(Dim::fixed(1)) };
        let Some(missing) = missing else { return Err(misfit("the sizes must divide the elements")) };
        if open == 0 && known != elements {
            return Err(misfit("the product of the sizes must be the number of elements"));
        }
        let sizes = target.iter().map(|n| if *n == -1 { missing.clone() } else { Dim::from(*n) });
        Ok(x.reshape(std::iter::once(batch.clone()).chain(sizes).collect::<Shape>()))
    }
}

impl Layer for Reshape {
    fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
        self.output(&args.x()).into()
    }
}

crate::layer! {
    /// The axes of a sample in another order.
    pub struct Permute {
        /// Which axis comes where, counted from 1: `[2, 1]` exchanges the two axes of a sample.
        dims: Target = Target(vec![]),
    }
}

impl Permute {
    /// Axis `dims[i]` of a sample comes at place `i + 1`.
    #[track_caller]
    pub fn new(dims: impl crate::Setting<Target>) -> Permute {
        Permute::default().dims(dims)
    }
}

impl Layer for Permute {
    fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
        let (x, dims) = (args.x(), &self.dims.0);
        let mut sorted = dims.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(1..x.rank() as i64) {
            return Error::new(format!("Permute got the axes {dims:?} for an input {}", x.shape()))
                .expected(format!("each of 1 to {} once; the batch axis stays", x.rank().max(1) - 1))
                .into();
        }
        let axes: Vec<usize> = std::iter::once(0).chain(dims.iter().map(|d| *d as usize)).collect();
        x.transpose(&axes).into()
    }
}

crate::layer! {
    /// `[batch, features]` repeated as `[batch, n, features]`.
    pub struct RepeatVector {
        /// How often.
        n: usize = 1,
    }
}

impl RepeatVector {
    /// `n` times.
    #[track_caller]
    pub fn new(n: usize) -> RepeatVector {
        RepeatVector::default().n(n)
    }
}

impl Layer for RepeatVector {
    fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
        let x = args.x();
        let [batch, features] = &x.shape()[..] else {
            return Error::new(format!("RepeatVector takes [batch, features], got {}", x.shape()))
                .fix("Flatten the samples first")
                .into();
        };
        if let Err(e) = check::positive(self.class_name(), "n", self.n) {
            return e.into();
        }
        x.expand_dims(&[1]).broadcast_to(vec![batch.clone(), self.n.into(), features.clone()]).into()
    }
}
