//! Pooling over windows and over everything.

use crate::layers::windows::Windows;
use crate::layers::{Sizes, check};
use crate::{Args, Cx, Layer, Object, Outputs, Setting};
use rhyton_graph::ops::PoolKind;
use rhyton_graph::{Expr, named};
use rhyton_tensor::{Dim, Result};
use serde_json::json;

/// The largest or the mean element of each window. Positions outside the input do not count.
fn pool(x: &Expr, windows: &Windows<'_>, padding: &str, kind: PoolKind) -> Result<Expr> {
    let spatial = &x.shape()[1..x.rank() - 1];
    let placed = windows.place(spatial, padding, false)?;
    let over = |x: &Expr| x.pool(kind, &placed.sizes, windows.kernel, windows.strides, &placed.before);
    if kind == PoolKind::Max {
        let (size, strides, before) = (windows.kernel, windows.strides, &placed.before);
        let attrs = json!({ "pool_size": size, "strides": strides, "before": before });
        return Ok(named::MAX_POOL.apply(attrs, std::slice::from_ref(x), |p| over(&p[0])));
    }
    if !placed.outside {
        let elements: usize = windows.kernel.iter().product();
        return Ok(over(x) * (1.0 / elements as f32));
    }
    let mut one = vec![Dim::fixed(1)];
    one.extend_from_slice(spatial);
    one.push(Dim::fixed(1));
    Ok(over(x) / over(&Expr::full(one, 1.0)))
}

macro_rules! pooling {
    ($name:ident, $n:literal, $kind:ident, $doc:literal) => {
        crate::layer! {
            #[doc = $doc]
            pub struct $name {
                /// Sizes of the window.
                pool_size: Sizes<$n> = 2usize.into(),
                /// `valid` stays inside the input; `same` gives `ceil(size / strides)` windows.
                padding: String = "valid".into(),
                /// Steps between windows; the sizes of the window when not set.
                strides: Option<Sizes<$n>> = None,
                /// `channels_last`.
                data_format: String = "channels_last".into(),
            }
        }

        impl $name {
            /// Windows of `pool_size`, side by side unless [`strides`](Self::strides) says otherwise.
            #[track_caller]
            pub fn new(pool_size: impl Setting<Sizes<$n>>) -> $name {
                let size: Sizes<$n> = pool_size.setting();
                $name::default().pool_size(size).strides(size)
            }

            fn output(&self, x: &Expr) -> Result<Expr> {
                let class = self.class_name();
                check::channels_last(class, &self.data_format)?;
                check::spatial(class, x, $n)?;
                let strides = self.strides.unwrap_or(self.pool_size);
                let windows =
                    Windows { class, kernel: &self.pool_size, strides: &strides, dilation: &[1; $n] };
                pool(x, &windows, &self.padding, PoolKind::$kind)
            }
        }

        impl Layer for $name {
            fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
                self.output(&args.x()).into()
            }
        }
    };
}
pooling!(MaxPooling1D, 1, Max, "The largest element of windows over `[batch, steps, channels]`.");
pooling!(MaxPooling2D, 2, Max, "The largest element of windows over `[batch, height, width, channels]`.");
pooling!(
    MaxPooling3D,
    3,
    Max,
    "The largest element of windows over `[batch, depth, height, width, channels]`."
);
pooling!(AveragePooling1D, 1, Sum, "The mean of windows over `[batch, steps, channels]`, padding left out.");
pooling!(
    AveragePooling2D,
    2,
    Sum,
    "The mean of windows over `[batch, height, width, channels]`, padding left out."
);
pooling!(
    AveragePooling3D,
    3,
    Sum,
    "The mean of windows over `[batch, depth, height, width, channels]`, padding left out."
);

/// `[batch, channels]`: the largest or the mean over all spatial axes.
fn global(x: &Expr, n: usize, kind: PoolKind, keepdims: bool) -> Expr {
    let axes: Vec<usize> = (1..=n).collect();
    let y = match kind {
        PoolKind::Max => {
            named::LARGEST.apply(json!({ "axes": axes }), std::slice::from_ref(x), |p| p[0].max(&axes))
        }
        _ => x.mean(&axes),
    };
    if keepdims { y.expand_dims(&axes) } else { y }
}

/// The mean over the steps that the mask keeps.
fn masked_mean(x: &Expr, mask: &Expr, keepdims: bool) -> Expr {
    let kept = mask.cast(x.dtype()).expand_dims(&[2]);
    let y = (x * &kept).sum(&[1]) / kept.sum(&[1]);
    if keepdims { y.expand_dims(&[1]) } else { y }
}

macro_rules! global_pooling {
    ($name:ident, $n:literal, $kind:ident, $doc:literal) => {
        crate::layer! {
            #[doc = $doc]
            pub struct $name {
                /// `channels_last`.
                data_format: String = "channels_last".into(),
                /// Keeps the pooled axes, with size 1.
                keepdims: bool = false,
            }
        }

        impl $name {
            /// One number per channel.
            #[track_caller]
            pub fn new() -> $name {
                $name::default()
            }

            fn output(&self, x: &Expr, mask: Option<Expr>) -> Result<Expr> {
                let class = self.class_name();
                check::channels_last(class, &self.data_format)?;
                check::spatial(class, x, $n)?;
                Ok(match mask {
                    Some(mask) => masked_mean(x, &mask, self.keepdims),
                    None => global(x, $n, PoolKind::$kind, self.keepdims),
                })
            }
        }

        impl Layer for $name {
            fn call(&self, _: &mut Cx<'_>, args: &Args) -> Outputs {
                let mask = args.mask(0).filter(|_| $n == 1 && PoolKind::$kind == PoolKind::Sum);
                self.output(&args.x(), mask).into()
            }
        }
    };
}
global_pooling!(GlobalMaxPooling1D, 1, Max, "The largest element over all steps: `[batch, channels]`.");
global_pooling!(GlobalMaxPooling2D, 2, Max, "The largest element over an image: `[batch, channels]`.");
global_pooling!(GlobalMaxPooling3D, 3, Max, "The largest element over a volume: `[batch, channels]`.");
global_pooling!(
    GlobalAveragePooling1D,
    1,
    Sum,
    "The mean over all steps that the mask keeps: `[batch, channels]`."
);
global_pooling!(GlobalAveragePooling2D, 2, Sum, "The mean over an image: `[batch, channels]`.");
global_pooling!(GlobalAveragePooling3D, 3, Sum, "The mean over a volume: `[batch, channels]`.");
