//! Pooling over channels-last windows. Like convolution, the family is closed under differentiation.

use super::Class;
use crate::expr::{Expr, Type};
use crate::interp::{Value, coordinates};
use rhyton_tensor::{Bindings, DType, Dim, Error, Result, Shape};
use serde::{Deserialize, Serialize};

/// Window operations on float32 `[batch, spatial.., channels]`; those of the largest element on bfloat16 too. Positions
/// outside the input are left out.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Window {
    /// What happens in a window.
    pub kind: PoolKind,
    /// Spatial sizes of the pooled side.
    pub pooled: Vec<Dim>,
    /// Spatial sizes of the full side.
    pub full: Vec<Dim>,
    /// Window sizes.
    pub window: Vec<usize>,
    /// Steps between windows.
    pub strides: Vec<usize>,
    /// Positions before the input that the first window covers.
    pub pad_lo: Vec<Dim>,
}

/// What happens in a window.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolKind {
    /// Input x (full): the largest element; NaN wins.
    Max,
    /// Inputs (x full, y pooled): each y is added at the position of its window's first largest x; full result.
    MaxSpread,
    /// Inputs (x full, z full): z at the position of each window's first largest x; pooled result.
    MaxTake,
    /// Input x (full): the sum.
    Sum,
    /// Input y (pooled): each y is added to all positions of its window; full result.
    SumSpread,
}

impl PoolKind {
    /// For each input whether it has the full sizes.
    pub fn inputs_full(self) -> &'static [bool] {
        match self {
            PoolKind::Max | PoolKind::Sum => &[true],
            PoolKind::MaxSpread => &[true, false],
            PoolKind::MaxTake => &[true, true],
            PoolKind::SumSpread => &[false],
        }
    }

    /// True when the result has the full sizes.
    pub fn result_full(self) -> bool {
        matches!(self, PoolKind::MaxSpread | PoolKind::SumSpread)
    }
}

names!(Window {
    Window { kind: PoolKind::Max, .. } => "max_pool",
    Window { kind: PoolKind::MaxSpread, .. } => "max_pool_spread",
    Window { kind: PoolKind::MaxTake, .. } => "max_pool_take",
    Window { kind: PoolKind::Sum, .. } => "sum_pool",
    Window { kind: PoolKind::SumSpread, .. } => "sum_pool_spread",
});

impl Window {
    /// The same windows with another kind.
    pub fn with(&self, kind: PoolKind) -> Window {
        Window { kind, ..self.clone() }
    }

    fn sizes(&self, full: bool) -> &[Dim] {
        if full { &self.full } else { &self.pooled }
    }

    pub(crate) fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>> {
        let (n, wanted) = (self.window.len(), self.kind.inputs_full());
        let lists = [self.pooled.len(), self.full.len(), self.strides.len(), self.pad_lo.len()];
        let positive = self.window.iter().chain(&self.strides).all(|s| *s > 0);
        if n == 0 || lists.iter().any(|l| *l != n) || !positive || inputs.len() != wanted.len() {
            return Err(Error::new("the sizes of a pooling window do not fit together"));
        }
        let sums = matches!(self.kind, PoolKind::Sum | PoolKind::SumSpread);
        let dtype = if sums || inputs[0].dtype != DType::BF16 { DType::F32 } else { DType::BF16 };
        for (t, full) in inputs.iter().zip(wanted) {
            if t.dtype != dtype || t.shape.rank() != n + 2 || t.shape[1..=n] != *self.sizes(*full) {
                return Err(Error::new(format!("pooling over {n} spatial dims does not fit {t}"))
                    .expected(format!("{dtype}[batch, {}, channels]", Shape(self.sizes(*full).to_vec()))));
            }
        }
        let x = &inputs[0].shape;
        let mut shape = vec![x[0].clone()];
        shape.extend_from_slice(self.sizes(self.kind.result_full()));
        shape.push(x[n + 1].clone());
        Ok(vec![Type::new(dtype, shape)])
    }

    pub(crate) fn vjp(&self, y: &Expr, cotangents: &[Option<Expr>]) -> Vec<Option<Expr>> {
        let x = y.inputs();
        let Some(g) = cotangents.first().cloned().flatten() else { return vec![None; x.len()] };
        let g = g.cast(x[0].dtype());
        let apply = |kind, inputs| Some(Expr::apply(self.with(kind), inputs));
        match self.kind {
            PoolKind::Max => vec![apply(PoolKind::MaxSpread, vec![x[0].clone(), g])],
            PoolKind::MaxSpread => vec![None, apply(PoolKind::MaxTake, vec![x[0].clone(), g])],
            PoolKind::MaxTake => vec![None, apply(PoolKind::MaxSpread, vec![x[0].clone(), g])],
            PoolKind::Sum => vec![apply(PoolKind::SumSpread, vec![g])],
            PoolKind::SumSpread => vec![apply(PoolKind::Sum, vec![g])],
        }
    }

    pub(crate) fn interp(&self, inputs: &[&Value], outs: &[Type], bindings: &Bindings) -> Result<Vec<Value>> {
        let mut out = Value::zeros(&outs[0], bindings)?;
        let known = |dims: &[Dim]| dims.iter().map(|d| d.eval(bindings)).collect::<Option<Vec<usize>>>();
        let (Some(pads), Some(full), Some(pooled)) =
            (known(&self.pad_lo), known(&self.full), known(&self.pooled))
        else {
            return Err(Error::new("the sizes of a pooling window are not known"));
        };
        let n = self.window.len();
        rhyton_tensor::memory::elements(&self.window)?;
        let reach = |d: usize| crate::bounds::reach(pooled[d], self.strides[d], self.window[d], 1, pads[d]);
        (0..n).try_for_each(reach)?;
        let mut pooled_shape = vec![out.shape[0]];
        pooled_shape.extend(&pooled);
        pooled_shape.push(out.shape[n + 1]);
        let mut full_shape = pooled_shape.clone();
        full_shape[1..=n].copy_from_slice(&full);
        for (p, at) in coordinates(&pooled_shape).enumerate() {
            let positions = coordinates(&self.window).filter_map(|k| {
                let mut full_at = at.clone();
                for d in 0..n {
                    full_at[d + 1] = (at[d + 1] * self.strides[d] + k[d]).checked_sub(pads[d])?;
                }
                (0..n).all(|d| full_at[d + 1] < full[d]).then(|| crate::interp::offset(&full_shape, &full_at))
            });
            self.window_interp(p, &positions.collect::<Vec<_>>(), inputs, &mut out.data);
        }
        Ok(vec![out])
    }

    fn window_interp(&self, p: usize, positions: &[usize], inputs: &[&Value], out: &mut [f64]) {
        let largest = || {
            let x = &inputs[0].data;
            positions.iter().copied().reduce(|best, i| {
                let better = x[i] > x[best] || (x[i].is_nan() && !x[best].is_nan());
                if better { i } else { best }
            })
        };
        match self.kind {
            PoolKind::Max => out[p] = largest().map_or(f64::NEG_INFINITY, |i| inputs[0].data[i]),
            PoolKind::MaxSpread => {
                if let Some(i) = largest() {
                    out[i] += inputs[1].data[p];
                }
            }
            PoolKind::MaxTake => out[p] = largest().map_or(0.0, |i| inputs[1].data[i]),
            PoolKind::Sum => out[p] = positions.iter().map(|i| inputs[0].data[*i]).sum(),
            PoolKind::SumSpread => positions.iter().for_each(|i| out[*i] += inputs[0].data[p]),
        }
    }

    pub(crate) fn class(&self) -> Class {
        Class::Anchor
    }
}

impl Expr {
    /// Channels-last pooling of the largest (`PoolKind::Max`) or the sum (`PoolKind::Sum`) of windows.
    #[track_caller]
    pub fn pool(
        &self,
        kind: PoolKind,
        sizes: &[Dim],
        window: &[usize],
        strides: &[usize],
        pad_lo: &[Dim],
    ) -> Expr {
        if self.is_poisoned() {
            return self.clone();
        }
        let full = self.shape().get(1..self.rank().saturating_sub(1)).unwrap_or_default().to_vec();
        let op = Window {
            kind,
            pooled: sizes.to_vec(),
            full,
            window: window.to_vec(),
            strides: strides.to_vec(),
            pad_lo: pad_lo.to_vec(),
        };
        let sums = matches!(kind, PoolKind::Sum | PoolKind::SumSpread);
        let x = if sums { self.cast(DType::F32) } else { self.clone() };
        Expr::apply(op, vec![x]).cast(self.dtype())
    }
}
