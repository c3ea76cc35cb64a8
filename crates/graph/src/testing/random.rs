//! Random functions.

use super::bindings;
use crate::expr::{Expr, Type};
use crate::function::{Function, named, scan};
use crate::ops::{ConvKind, Distribution, Op, PoolKind, Running};
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{DType, Dim, Shape, Tensor};

/// A value with what the generator knows of it.
#[derive(Clone)]
struct Item {
    e: Expr,
    /// Its elements are at most so large.
    bound: f64,
    /// Float32 and double precision agree on it: comparing and rounding it is safe.
    exact: bool,
}

/// Grows a random function.
struct Generator {
    rng: Stream,
    params: Vec<Expr>,
    pool: Vec<Item>,
    depth: usize,
}

/// A random function over all families of primitives, the same for the same seed. Its parameters have the
/// symbolic size `batch` in places; values stay small. `steps` operations are chosen.
pub fn random_function(seed: u64, steps: usize) -> Function {
    let mut g = Generator { rng: Stream::new(seed, 0, 77), params: vec![], pool: vec![], depth: 0 };
    let b = Dim::symbol("batch");
    let shapes = [vec![b.clone(), 3.into()], vec![b.clone(), 3.into()], vec![3.into(), 4.into()]];
    for shape in shapes.into_iter().chain([vec![b.clone(), 2.into(), 3.into()], vec![4.into()], vec![]]) {
        g.param(DType::F32, shape);
    }
    g.param(DType::I32, vec![b.clone()]);
    g.param(DType::Bool, vec![b, 3.into()]);
    for _ in 0..steps {
        g.step();
    }
    let mut results: Vec<Expr> = g.pool.iter().rev().take(3).map(|i| i.e.clone()).collect();
    for _ in 0..2 {
        results.push(g.any().e);
    }
    Function::new(&format!("random_{seed}"), g.params, results)
}

impl Generator {
    fn below(&mut self, n: usize) -> usize {
        self.rng.below(n.max(1) as u32) as usize
    }

    fn param(&mut self, dtype: DType, shape: impl Into<Shape>) -> Item {
        let e = Expr::param(&format!("p{}", self.params.len()), Type::new(dtype, shape));
        self.params.push(e.clone());
        let item = Item { e, bound: 3.0, exact: true };
        self.pool.push(item.clone());
        item
    }

    /// A fresh parameter, or a random computation in loop bodies, which may not make parameters.
    fn weight(&mut self, shape: Vec<Dim>) -> Option<Item> {
        if self.depth == 0 { Some(self.param(DType::F32, shape)) } else { None }
    }

    fn any(&mut self) -> Item {
        // Recent values more often: graphs become deep.
        let n = self.pool.len();
        let i = if self.below(3) == 0 { self.below(n) } else { n - 1 - self.below(n.min(8)) };
        self.pool[i].clone()
    }

    fn pick(&mut self, fits: impl Fn(&Item) -> bool) -> Option<Item> {
        (0..30).map(|_| self.any()).find(|i| fits(i))
    }

    fn float(&mut self) -> Option<Item> {
        self.pick(|i| i.e.dtype() == DType::F32)
    }

    fn exact(&mut self) -> Option<Item> {
        self.pick(|i| i.exact && i.e.dtype() != DType::Bool)
    }

    fn partner(&mut self, x: &Item) -> Option<Item> {
        let shape = x.e.shape().clone();
        self.pick(move |i| {
            i.e.dtype() == x.e.dtype()
                && crate::broadcast_shapes(i.e.shape(), &shape).as_ref() == Some(&shape)
        })
    }

    fn push(&mut self, e: Expr, bound: f64, exact: bool) {
        assert!(!e.is_poisoned(), "the generator made a bad expression: {:?}", e.error());
        let few = e.shape().eval(&bindings(5)).is_some_and(|s| s.iter().product::<usize>() <= 4000);
        if !few {
            return;
        }
        let item = if bound > 20.0 && e.dtype() == DType::F32 {
            Item { e: e.tanh(), bound: 1.0, exact: false }
        } else {
            Item { e, bound, exact }
        };
        self.pool.push(item);
    }

    fn step(&mut self) {
        // A choice without fitting values is skipped.
        let _ = match self.below(18) {
            0 | 1 => self.unary(),
            2 | 3 => self.binary(),
            4 => self.logic(),
            5 | 6 => self.view(),
            7 => self.joined(),
            8 => self.reduce(),
            9 => self.dot(),
            10 => self.conv(),
            11 => self.pooling(),
            12 => self.index(),
            13 => self.source(),
            14 => self.call(),
            15 => self.cumulative(),
            16 => self.sort(),
            _ => self.looped(),
        };
    }

    fn unary(&mut self) -> Option<()> {
        let x = self.float()?;
        let (e, b) = (&x.e, x.bound);
        let (y, bound) = match self.below(14) {
            0 => (e.tanh(), 1.0),
            1 => (e.sigmoid(), 1.0),
            2 => (e.erf(), 1.0),
            3 => (e.sin(), 1.0),
            4 => (e.cos(), 1.0),
            5 => (e.minimum(&Expr::scalar(1.0f32)).exp(), 3.0),
            6 => (e.minimum(&Expr::scalar(1.0f32)).expm1(), 3.0),
            7 => ((e.abs() + 0.5).log(), b.max(1.0)),
            8 => (e.abs().log1p(), b),
            9 => ((e.abs() + 0.5).sqrt(), b + 1.0),
            10 => ((e * e + 0.5).rsqrt(), 2.0),
            11 => (-e, b),
            12 => (e.stop_gradient(), b),
            _ => (e.abs(), b),
        };
        let exact = x.exact
            && matches!(y.op(), crate::ops::Op::Elementwise(crate::ops::Elementwise::Unary(u))
            if matches!(u, crate::ops::Unary::Neg | crate::ops::Unary::Abs | crate::ops::Unary::StopGradient));
        self.push(y, bound, exact);
        Some(())
    }

    fn binary(&mut self) -> Option<()> {
        let x = self.float()?;
        let y = self.partner(&x)?;
        let (a, b) = (&x.e, &y.e);
        let both = x.exact && y.exact;
        let (z, bound, exact) = match self.below(10) {
            0 | 1 => (a + b, x.bound + y.bound, false),
            2 => (a - b, x.bound + y.bound, false),
            3 | 4 => (a * b, x.bound * y.bound, false),
            5 => (a / (b.abs() + 0.5), x.bound * 2.0, false),
            6 => (a.maximum(b), x.bound.max(y.bound), both),
            7 => (a.minimum(b), x.bound.max(y.bound), both),
            8 => ((a.abs() + 0.5).pow(&b.tanh()), x.bound + 2.0, false),
            _ => (a.pow(&Expr::scalar([1.0f32, 2.0, 3.0][self.below(3)])), x.bound.powi(3), false),
        };
        self.push(z, bound, exact);
        Some(())
    }

    /// Comparisons, selections, conversions: only of values that float32 holds exactly.
    fn logic(&mut self) -> Option<()> {
        let x = self.exact()?;
        let y = self.partner(&x)?;
        let (a, b) = (&x.e, &y.e);
        let condition = match self.below(6) {
            0 if y.exact => a.less(b),
            1 if y.exact => a.less_equal(b),
            2 if y.exact => a.equal(b).not(),
            3 if y.exact => a.less(b).and(&a.less(&Expr::scalar(1.0f32)).not()),
            4 => a.greater(&Expr::scalar(0.25f32)).or(&a.less(&Expr::scalar(-1.0f32))),
            _ => a.cast(DType::F32).is_finite(),
        };
        match self.below(5) {
            0 => self.push(condition.select(a, b), x.bound.max(y.bound), x.exact && y.exact),
            1 => self.push(condition.cast(DType::F32), 1.0, true),
            2 => self.push(condition, 1.0, true),
            3 => self.push((a.cast(DType::F32) * 2.0).floor().cast(DType::I32), x.bound * 2.0, true),
            _ => self.push((a.cast(DType::F32) * 3.0).round().sign(), 1.0, true),
        }
        Some(())
    }

    fn view(&mut self) -> Option<()> {
        let x = self.any();
        let (e, rank) = (&x.e, x.e.rank());
        let axis = self.below(rank);
        let y = match self.below(7) {
            0 => e.expand_dims(&[self.below(rank + 1)]),
            1 if rank > 1 => {
                let mut axes: Vec<usize> = (0..rank).collect();
                self.rng.shuffle(&mut axes);
                e.transpose(&axes)
            }
            2 if rank > 1 => {
                // Merges two neighbours, whatever lies between them in memory.
                let mut s = e.shape().0.clone();
                let at = self.below(rank - 1);
                let next = s.remove(at + 1);
                s[at] = s[at].clone() * next;
                e.reshape(s)
            }
            3 if rank > 0 => e.flip(axis),
            4 if rank > 0 && e.shape()[axis].as_fixed().is_some_and(|n| n > 2) => {
                let step = 1 + self.below(2);
                e.slice_step(axis, Dim::fixed(self.below(2)), 1.into(), step)
            }
            5 if rank > 0 && rank < 4 => {
                let mut s = e.shape().0.clone();
                s.insert(axis, Dim::fixed(2));
                e.expand_dims(&[axis]).broadcast_to(s)
            }
            _ if rank > 0 && rank < 5 => {
                let n = e.shape()[axis].clone();
                let half = n.exact_div(&2.into())?;
                let mut s = e.shape().0.clone();
                s[axis] = half;
                s.insert(axis + 1, 2.into());
                e.reshape(s)
            }
            _ => e.expand_dims(&[0]),
        };
        self.push(y, x.bound, x.exact);
        Some(())
    }

    fn joined(&mut self) -> Option<()> {
        let x = self.pick(|i| i.e.rank() > 0)?;
        let axis = self.below(x.e.rank());
        if self.below(2) == 0 {
            let mut parts = vec![x.clone(), x.clone()];
            let (shape, dtype) = (x.e.shape().clone(), x.e.dtype());
            if let Some(y) = self.pick(|i| *i.e.shape() == shape && i.e.dtype() == dtype) {
                parts[1] = y;
            }
            let exact = parts.iter().all(|p| p.exact);
            let bound = parts.iter().fold(0.0, |b, p| p.bound.max(b));
            let parts: Vec<Expr> = parts.into_iter().map(|p| p.e).collect();
            self.push(Expr::concat(&parts, axis), bound, exact);
        } else {
            let (lo, hi, between) = (self.below(3), self.below(3), self.below(3) / 2);
            let y = x.e.pad(axis, lo, hi, between, self.below(2) as f64);
            self.push(y, x.bound.max(1.0), x.exact);
        }
        Some(())
    }

    fn reduce(&mut self) -> Option<()> {
        let x = self.pick(|i| i.e.dtype() != DType::Bool && i.e.rank() > 0)?;
        let mut axes: Vec<usize> = (0..x.e.rank()).filter(|_| self.rng.below(2) == 0).collect();
        if axes.is_empty() {
            axes.push(self.below(x.e.rank()));
        }
        let n: f64 = axes.iter().map(|a| x.e.shape()[*a].eval(&bindings(5)).unwrap_or(1) as f64).product();
        match self.below(4) {
            0 => self.push(x.e.max(&axes), x.bound, x.exact),
            1 => self.push(x.e.min(&axes), x.bound, x.exact),
            2 if x.exact => self.push(x.e.argmax(axes[0]), 10.0, true),
            _ if x.e.dtype() == DType::I32 => self.push(x.e.sum(&axes), x.bound * n, true),
            _ => self.push(x.e.mean(&axes), x.bound, false),
        }
        Some(())
    }

    fn dot(&mut self) -> Option<()> {
        let x = self.pick(|i| i.e.dtype() == DType::F32 && (1..4).contains(&i.e.rank()))?;
        let axis = self.below(x.e.rank());
        let k = x.e.shape()[axis].clone();
        if self.below(3) == 0 {
            // Every axis but one is a batch axis.
            let y = self.pick(|i| i.e.shape() == x.e.shape() && i.e.dtype() == DType::F32)?;
            let batch: Vec<usize> = (0..x.e.rank()).filter(|a| *a != axis).collect();
            self.push(x.e.dot_general(&y.e, &batch, &batch, &[axis], &[axis]), 25.0, false);
            return Some(());
        }
        let known = self.pick(|i| i.e.dtype() == DType::F32 && i.e.rank() < 3 && i.e.shape().contains(&k));
        let y = match known {
            Some(y) => y,
            None => self.weight(vec![k.clone(), 5.into()])?,
        };
        let at = y.e.shape().iter().position(|d| *d == k)?;
        self.push(x.e.dot(&y.e, &[axis], &[at]), 25.0, false);
        Some(())
    }

    fn conv(&mut self) -> Option<()> {
        let spatial = 1 + self.below(2);
        let mut shape: Vec<Dim> = vec![Dim::symbol("batch")];
        shape.extend(vec![Dim::fixed(5); spatial]);
        shape.push(4.into());
        let known = self.pick(|i| i.e.dtype() == DType::F32 && i.e.shape().0 == shape);
        let x = match known {
            Some(x) => x,
            None => self.weight(shape)?,
        };
        let (stride, dilation, lo, groups) =
            (1 + self.below(2), 1 + self.below(2), self.below(2), 1 + self.below(2));
        let out = (5 + 2 * lo - dilation * 2 - 1) / stride + 1;
        let mut w = vec![Dim::fixed(3); spatial];
        w.extend([Dim::fixed(4 / groups), Dim::fixed(4)]);
        let w = self.weight(w)?;
        let fixed = |n: usize| vec![Dim::fixed(n); spatial];
        let (strides, dilations) = (vec![stride; spatial], vec![dilation; spatial]);
        let y = x.e.conv(&w.e, ConvKind::Forward, &fixed(out), &strides, &dilations, &fixed(lo), groups);
        if self.below(2) == 0 {
            let bias = self.weight(vec![4.into()])?;
            self.push((&y + &bias.e).maximum(&Expr::scalar(0.0f32)), 25.0, false);
        }
        self.push(y, 25.0, false);
        Some(())
    }

    fn pooling(&mut self) -> Option<()> {
        let x = self.pick(|i| {
            let s = i.e.shape();
            i.e.dtype() == DType::F32
                && i.exact
                && (3..5).contains(&s.rank())
                && s[1..s.rank() - 1].iter().all(|d| d.as_fixed().is_some_and(|n| n > 1))
        })?;
        let n = x.e.rank() - 2;
        let (stride, lo) = (1 + self.below(2), self.below(2));
        let sizes: Vec<Dim> =
            x.e.shape()[1..=n].iter().map(|d| (d.clone() + lo - 2).floor_div(stride) + 1).collect();
        let kind = [PoolKind::Max, PoolKind::Sum][self.below(2)];
        let y = x.e.pool(kind, &sizes, &vec![2; n], &vec![stride; n], &vec![lo.into(); n]);
        self.push(y.clone(), x.bound * 4.0, kind == PoolKind::Max);
        let z = self.pick(|i| i.e.ty() == x.e.ty())?;
        if let (PoolKind::Max, Op::Window(w)) = (kind, y.op()) {
            self.push(Expr::apply(w.with(PoolKind::MaxTake), vec![x.e, z.e]), z.bound, z.exact);
        }
        Some(())
    }

    fn index(&mut self) -> Option<()> {
        let indices = self.pick(|i| i.e.dtype() == DType::I32 && i.bound <= 3.0)?;
        let fixed = |e: &Expr, a: usize| e.shape()[a].as_fixed().is_some_and(|n| n >= 3);
        let x = self.pick(|i| i.e.dtype() == DType::F32 && (0..i.e.rank()).any(|a| fixed(&i.e, a)))?;
        let axis = (0..x.e.rank()).find(|a| fixed(&x.e, *a))?;
        if x.e.rank() + indices.e.rank() < 6 {
            self.push(x.e.gather(axis, &indices.e), x.bound, x.exact);
        }
        let same = self.pick(|i| i.e.dtype() == DType::F32 && i.e.shape().starts_with(indices.e.shape()))?;
        if let Some(axis) = (indices.e.rank()..same.e.rank()).find(|a| fixed(&same.e, *a)) {
            let each = indices.e.expand_dims(&[indices.e.rank()]);
            self.push(same.e.gather_within(indices.e.rank(), axis, &each), same.bound, same.exact);
        }
        let updates = self.pick(|i| {
            i.e.dtype() == DType::F32
                && i.e.rank() >= indices.e.rank()
                && i.e.shape()[..indices.e.rank()] == **indices.e.shape()
        })?;
        let mut shape = vec![Dim::fixed(4)];
        shape.extend_from_slice(&updates.e.shape()[indices.e.rank()..]);
        let op = crate::ops::Index::ScatterAdd { axis: 0, batch: 0, shape: shape.into() };
        self.push(Expr::apply(op, vec![updates.e, indices.e]), updates.bound * 5.0, false);
        Some(())
    }

    fn cumulative(&mut self) -> Option<()> {
        let x = self.pick(|i| i.e.dtype() == DType::F32 && i.e.rank() > 0)?;
        let (axis, exclusive, reverse) = (self.below(x.e.rank()), self.below(2) == 0, self.below(2) == 0);
        let n = x.e.shape()[axis].eval(&bindings(5)).unwrap_or(1) as f64;
        let (x, bound, kind) = match self.below(5) {
            0 => (x.e, x.bound * n, Running::Sum),
            1 => (x.e.sin(), 1.0, Running::Product),
            2 if x.exact => (x.e, x.bound, Running::Max),
            3 if x.exact => (x.e, x.bound, Running::Min),
            _ => {
                let y = self.pick(|i| i.e.ty() == x.e.ty())?;
                self.push(x.e.linear_recurrence(&y.e.cos(), axis), x.bound * n, false);
                return Some(());
            }
        };
        // An exclusive extreme begins with infinity.
        let exclusive = exclusive && kind.start().is_finite();
        let exact = matches!(kind, Running::Max | Running::Min);
        self.push(x.cumulative(kind, axis, exclusive, reverse), bound, exact);
        Some(())
    }

    /// Only of values that float32 holds exactly: near ones would change places.
    fn sort(&mut self) -> Option<()> {
        let x = self.pick(|i| i.exact && i.e.dtype() != DType::Bool && i.e.rank() > 0)?;
        let (axis, descending) = (self.below(x.e.rank()), self.below(2) == 0);
        let (values, places) = x.e.sorted(axis, descending);
        if x.e.dtype() == DType::F32 {
            self.push(x.e.take_along_axis(axis, &places), x.bound, true);
        }
        self.push(values, x.bound, true);
        self.push(places, 100.0, true);
        Some(())
    }

    fn source(&mut self) -> Option<()> {
        let like = self.any().e;
        let rank = like.rank();
        match self.below(5) {
            0 if rank > 0 => {
                let axis = self.below(rank);
                self.push(Expr::iota(like.shape().clone(), axis), 5.0, true);
            }
            1 => self.push(Expr::full(like.shape().clone(), 0.75), 1.0, true),
            2 => self.push(1.0 / Expr::size(&Dim::symbol("batch")), 1.0, false),
            3 => {
                let t = Tensor::from_fn([3], |i| i as f32 - 0.5);
                self.push(Expr::constant(&t), 2.0, true);
            }
            _ => {
                let key = Expr::constant(&Tensor::vector(vec![7i32, self.below(3) as i32]));
                let kind = [Distribution::Uniform, Distribution::Normal][self.below(2)];
                let y = Expr::random(&key, kind, self.below(3) as u32, like.shape().clone());
                self.push(y, 4.0, false);
            }
        }
        Some(())
    }

    fn call(&mut self) -> Option<()> {
        let x = self.float()?;
        let y = named("twist", serde_json::json!({"by": 2}), std::slice::from_ref(&x.e), |p| {
            let inner = named("inner", serde_json::Value::Null, &[p[0].clone()], |q| (&q[0] * 0.5).sin());
            &inner * &p[0] + inner.sigmoid()
        });
        self.push(y, x.bound + 1.0, false);
        Some(())
    }

    fn looped(&mut self) -> Option<()> {
        let short = |d: Option<&Dim>| d.and_then(|d| d.eval(&bindings(5))).is_some_and(|n| n < 8);
        let x = self.pick(|i| {
            i.e.dtype() == DType::F32 && (1..4).contains(&i.e.rank()) && short(i.e.shape().first())
        })?;
        let entry: Shape = x.e.shape()[1..].into();
        let constant = self.float()?;
        let init = Expr::full(entry.clone(), 0.1);
        let (reverse, seed) = (self.below(2) == 0, self.rng.next_u32());
        let deep = self.depth;
        let xs = [x.e.clone()];
        let (states, ys) =
            scan("loop", &[init], &xs, std::slice::from_ref(&constant.e), reverse, |c, x, k| {
                let items = [&c[0], &x[0], &k[0]].map(|e| Item { e: e.clone(), bound: 3.0, exact: false });
                let rng = Stream::new(seed.into(), 0, 79);
                let mut inner = Generator { rng, params: vec![], pool: items.to_vec(), depth: deep + 1 };
                for _ in 0..if deep < 1 { 6 } else { 2 } {
                    inner.step();
                }
                let last = inner.pool.pop().map(|i| i.e).unwrap_or_else(|| x[0].clone());
                let all: Vec<usize> = (0..last.rank()).collect();
                let mixed = (&c[0] * 0.5 + &x[0] + last.cast(DType::F32).mean(&all)).tanh();
                (vec![mixed.clone()], vec![last, mixed])
            });
        self.push(states.first()?.clone(), 1.0, false);
        for y in ys {
            self.push(y, 25.0, false);
        }
        Some(())
    }
}
