//! The contract between a plan and its backend, checked for given sizes when the plan is prepared. A backend may
//! rely on it afterwards:
//!
//! 1. Every array has at most [`MOST_ELEMENTS`] elements, every index space of a launch no more than the memory limit
//!    has bytes, though not all of it may be stored; no launch does more than [`MOST_WORK`] operations. So distances
//!    and sums of a few of them do not wrap around, and a launch ends.
//! 2. Every view lies inside its buffer.
//! 3. What a kernel takes as contiguous is contiguous.
//! 4. The types of a primitive follow from each other. The sides of convolutions, of pooling windows and of loops fit
//!    together, and the positions that their windows reach are machine numbers. The stages of a `Rows` kernel see of
//!    what another one writes only their own row, and nobody else sees what lives in its rows.
//! 5. Parameters, constants and updated state have the sizes of their buffers, and each parameter has a buffer of its
//!    own.
//! 6. What a launch or a stage reads, or the plan returns, is given or was written by one before.
//! 7. What a launch or a stage writes, it reads at the same elements alone, and only where it computes one element after
//!    the other. State is written once, by the result that updates it; what else is given is never written.
//!
//! [`MOST_ELEMENTS`]: rhyton_tensor::memory::MOST_ELEMENTS

use crate::expr::Type;
use crate::ops::{Class, Convolution};
use crate::plan::{Buffer, Kernel, Launch, Place, Plan, View};
use rhyton_tensor::memory::{self, MOST_ELEMENTS};
use rhyton_tensor::{Bindings, Dim, Error, Result};
use std::collections::HashSet;

/// Most operations of one launch: more than a machine does in years.
pub const MOST_WORK: usize = 1 << 62;

/// Checks the contract; bodies of loops are plans of their own.
///
/// # Errors
/// The first thing that does not hold.
pub fn check(plan: &Plan, bindings: &Bindings) -> Result<()> {
    let known = |b: &usize| *b < plan.buffers.len();
    let named = plan.launches.iter().flat_map(|l| l.reads.iter().chain(&l.writes)).map(|v| &v.buffer);
    if !named.chain(&plan.inputs).chain(&plan.outputs).all(known) {
        return Err(misfit("a launch names a buffer that the plan lacks").place(&plan.name));
    }
    handed_on(plan)?;
    let at = At { plan, bindings };
    let buffers: Vec<usize> = (0..plan.buffers.len()).map(|b| at.buffer(b)).collect::<Result<_>>()?;
    at.given(&buffers).and_then(|()| at.order()).map_err(|e| e.place(&plan.name))?;
    plan.launches.iter().try_for_each(|l| at.launch(l, &buffers).map_err(|e| e.place(&l.label)))
}

/// That what lives in a `Rows` kernel is used by that kernel alone.
fn handed_on(plan: &Plan) -> Result<()> {
    let inside = |b: &usize| plan.buffers[*b].place == Place::Rows;
    if plan.inputs.iter().chain(&plan.outputs).any(inside) {
        return Err(misfit("a parameter or a result lives in a kernel's rows").place(&plan.name));
    }
    let mut owner: Vec<Option<usize>> = vec![None; plan.buffers.len()];
    for (i, launch) in plan.launches.iter().enumerate() {
        for v in launch.reads.iter().chain(&launch.writes) {
            let own = *owner[v.buffer].get_or_insert(i) == i && matches!(launch.kernel, Kernel::Rows { .. });
            if inside(&v.buffer) && !own {
                return Err(misfit("a value of a kernel's rows is used elsewhere").place(&launch.label));
            }
        }
    }
    Ok(())
}

/// The sizes under `bindings`.
///
/// # Errors
/// When a size is not known, negative or too large.
pub fn sizes(dims: &[Dim], bindings: &Bindings) -> Result<Vec<usize>> {
    let size = |d: &Dim| {
        d.eval(bindings).ok_or_else(|| {
            Error::new(format!("the size {d} is not known, negative or too large"))
                .fix("give inputs whose shapes say it, large enough for the windows and slices of the model")
        })
    };
    dims.iter().map(size).collect()
}

/// That the last position which windows reach along an axis, the padding before them counted too, is one that an array
/// could have.
///
/// # Errors
/// When it is not.
pub fn reach(windows: usize, stride: usize, window: usize, dilation: usize, before: usize) -> Result<()> {
    let last = |n: usize, step: usize| n.saturating_sub(1).checked_mul(step);
    let sum = last(windows, stride).zip(last(window, dilation)).and_then(|(a, b)| a.checked_add(b));
    match sum.and_then(|s| s.checked_add(before)) {
        Some(end) if end <= MOST_ELEMENTS && stride.max(dilation) <= MOST_ELEMENTS => Ok(()),
        _ => Err(Error::new(format!(
            "{windows} windows of {window} with steps of {stride} and gaps of {dilation} reach too far"
        ))
        .expected(format!("at most {MOST_ELEMENTS} positions"))),
    }
}

/// Whether `len` entries from `start` on, each `step` further, lie among `size`.
///
/// # Errors
/// When they do not.
pub fn inside(start: usize, len: usize, step: usize, size: usize) -> Result<()> {
    let last = len.saturating_sub(1).checked_mul(step).and_then(|n| n.checked_add(start));
    if len == 0 || last.is_some_and(|last| last < size) { Ok(()) } else { Err(outside()) }
}

/// Slices of symbolic sizes may ask for more than there is.
fn outside() -> Error {
    Error::new("an element is read that an array of these sizes does not have")
        .fix("give at least one sample, step or pixel")
}

fn misfit(what: &str) -> Error {
    Error::new(what).fix("this is a fault of Rhyton: please report it")
}

struct At<'a> {
    plan: &'a Plan,
    bindings: &'a Bindings,
}

impl At<'_> {
    fn sizes(&self, dims: &[Dim]) -> Result<Vec<usize>> {
        sizes(dims, self.bindings)
    }

    /// Elements of a buffer.
    fn buffer(&self, b: usize) -> Result<usize> {
        let sizes = self.sizes(&self.plan.buffers[b].shape);
        sizes.and_then(|s| memory::elements(&s)).map_err(|e| match self.plan.writer(b) {
            Some(launch) => e.place(&launch.label),
            None => e.place(&self.plan.name),
        })
    }

    /// Parameters, constants and state.
    fn given(&self, buffers: &[usize]) -> Result<()> {
        let plan = self.plan;
        for (i, b) in plan.buffers.iter().enumerate() {
            let owner = match b.place {
                Place::Input(p) => plan.inputs.get(p),
                Place::Output(r) => plan.outputs.get(r),
                Place::Constant(_) | Place::Temp | Place::Rows => continue,
            };
            if owner != Some(&i) {
                return Err(misfit("a buffer belongs to a parameter or result that has another"));
            }
        }
        let own = |(p, b): (usize, &usize)| plan.buffers[*b].place == Place::Input(p);
        if !plan.inputs.iter().enumerate().all(own) {
            return Err(misfit("a parameter has no buffer of its own"));
        }
        for (p, b) in plan.params.iter().zip(&plan.inputs) {
            if p.ty.dtype != plan.buffers[*b].dtype || p.ty.shape != plan.buffers[*b].shape {
                return Err(misfit("a parameter differs from its buffer"));
            }
        }
        for (b, n) in plan.buffers.iter().zip(buffers) {
            if let Place::Constant(c) = &b.place
                && (c.0.len() != *n || c.0.dtype() != b.dtype)
            {
                return Err(misfit("a constant differs from its buffer"));
            }
        }
        for (result, param) in &plan.updates {
            let same = |a: usize, b: usize| {
                buffers[a] == buffers[b] && plan.buffers[a].dtype == plan.buffers[b].dtype
            };
            let pair = plan.outputs.get(*result).zip(plan.inputs.get(*param));
            if !pair.is_some_and(|(r, p)| same(*r, *p)) {
                return Err(misfit("a result differs from the state that it replaces"));
            }
        }
        Ok(())
    }

    /// The order of the launches, and what each reads and writes.
    fn order(&self) -> Result<()> {
        let plan = self.plan;
        let given = |b: &Buffer| matches!(b.place, Place::Input(_) | Place::Constant(_));
        let mut written: Vec<bool> = plan.buffers.iter().map(given).collect();
        let updated = |p: usize| plan.updates.iter().any(|(_, u)| *u == p);
        let mut replaced = HashSet::new();
        for launch in &plan.launches {
            for stage in launch.stages().iter() {
                let at = |what: &str| misfit(what).place(&launch.label);
                if stage.reads.iter().any(|v| !written[v.buffer]) {
                    return Err(at("a value is read before it is written"));
                }
                if !apart(stage) {
                    return Err(at("a value is read elsewhere than it is written"));
                }
                for write in &stage.writes {
                    match plan.buffers[write.buffer].place {
                        Place::Constant(_) => return Err(at("a constant is written")),
                        Place::Input(p) if !(updated(p) && replaced.insert(p)) => {
                            return Err(at("a parameter is written that no result updates, or twice"));
                        }
                        _ => written[write.buffer] = true,
                    }
                }
            }
        }
        if plan.outputs.iter().all(|b| written[*b]) { Ok(()) } else { Err(misfit("a result is not written")) }
    }

    fn launch(&self, launch: &Launch, buffers: &[usize]) -> Result<()> {
        let (reads, writes) = launch.shapes();
        if reads.len() != launch.reads.len() || writes.len() != launch.writes.len() {
            return Err(misfit("a kernel does not fit its reads and writes"));
        }
        self.kernel(launch)?;
        let (fixed, written) = contiguous(&launch.kernel);
        for (i, (view, shape)) in launch.reads.iter().zip(&reads).enumerate() {
            self.view(view, shape, buffers, i < fixed)?;
        }
        for (view, shape) in launch.writes.iter().zip(&writes) {
            self.view(view, shape, buffers, written)?;
        }
        Ok(())
    }

    /// That a view lies inside its buffer.
    fn view(&self, view: &View, shape: &[Dim], buffers: &[usize], contiguous: bool) -> Result<()> {
        let sizes = self.sizes(shape)?;
        let (n, most) = (memory::elements(&sizes)?, memory::limit()?);
        if n > most {
            return Err(Error::new(format!("{n} elements are computed at once, of the sizes {sizes:?}"))
                .expected(format!("at most {most}, as many as the memory limit has bytes"))
                .fix("use smaller sizes or a smaller batch, or allow more memory: RHYTON_MEMORY=16G"));
        }
        if view.strides.len() != sizes.len() {
            return Err(misfit("a view does not fit its index space"));
        }
        let number = |d: &Dim| {
            d.eval_signed(self.bindings)
                .ok_or_else(|| Error::new(format!("the distance {d} is not known or too large")))
        };
        if sizes.contains(&0) {
            // Nothing is read, and yet kernels compute with these numbers.
            number(&view.offset)?;
            let far = |(d, n): (&Dim, &usize)| -> Result<()> {
                let far = number(d)?.checked_mul(*n.max(&1) as i64);
                if far.is_some_and(|f| f.unsigned_abs() <= MOST_ELEMENTS as u64) {
                    Ok(())
                } else {
                    Err(outside())
                }
            };
            return view.strides.iter().zip(&sizes).try_for_each(far);
        }
        let mut ends = (number(&view.offset)?, number(&view.offset)?);
        let mut unit = 1i64;
        for (stride, n) in view.strides.iter().zip(&sizes).rev() {
            let stride = number(stride)?;
            if contiguous && *n > 1 && stride != unit {
                return Err(misfit("a kernel takes a view as contiguous that is not"));
            }
            unit = unit.saturating_mul(*n as i64);
            let far = stride.checked_mul(*n as i64 - 1);
            let end = |at: i64, far: i64| at.checked_add(far).ok_or_else(outside);
            match far {
                Some(far) if far < 0 => ends.0 = end(ends.0, far)?,
                Some(far) => ends.1 = end(ends.1, far)?,
                None => return Err(outside()),
            }
        }
        if ends.0 < 0 || ends.1 >= buffers[view.buffer] as i64 {
            return Err(outside());
        }
        Ok(())
    }

    /// What the kernels ask of their sizes.
    fn kernel(&self, launch: &Launch) -> Result<()> {
        match &launch.kernel {
            Kernel::Rows { rows, .. } => self.rows(launch, rows),
            Kernel::Reduce { shape, folded, .. } if *folded > shape.len() => {
                Err(misfit("a reduction folds more axes than there are"))
            }
            Kernel::Dot { batch, m, n, k, .. } => self.work(&[batch, m, n, k]),
            Kernel::Conv { .. } => self.conv(&launch.kernel),
            Kernel::Pool { window: w, .. } => {
                let n = w.window.len();
                if [w.full.len(), w.pooled.len(), w.strides.len(), w.pad_lo.len()].iter().any(|l| *l != n) {
                    return Err(misfit("the sizes of a pooling window do not fit together"));
                }
                memory::elements(&w.window)?;
                self.windows([&w.full, &w.pooled], (&w.strides, &w.window), (&vec![1; n], &w.pad_lo))
            }
            Kernel::Scan { length, carries, xs, body, .. } => self.scan(length, [*carries, *xs], body),
            Kernel::Primitive { op, inputs, outputs } => {
                let given: Vec<&Type> = inputs.iter().collect();
                let views = launch.reads.iter().chain(&launch.writes);
                let stored = |(v, t): (&View, &Type)| self.plan.buffers[v.buffer].dtype == t.dtype;
                let fits = op.class() == Class::Kernel && op.infer(&given)? == *outputs;
                if fits && views.zip(inputs.iter().chain(outputs)).all(stored) {
                    Ok(())
                } else {
                    Err(misfit("a primitive does not fit its types"))
                }
            }
            _ => Ok(()),
        }
    }

    /// That the stages of a kernel go over its rows, and what one writes another one sees row by row.
    fn rows(&self, launch: &Launch, rows: &Dim) -> Result<()> {
        let n = self.sizes(std::slice::from_ref(rows))?[0];
        let stages = launch.stages();
        let uses = |stage: &Launch, b: usize| stage.reads.iter().chain(&stage.writes).any(|v| v.buffer == b);
        let shared = |b: usize| stages.iter().filter(|s| uses(s, b)).count() > 1;
        let written = |b: usize| launch.writes.iter().any(|v| v.buffer == b);
        for stage in stages.iter() {
            self.kernel(stage)?;
            let axes = stage.kernel.row_axes(rows);
            let axes = axes.ok_or_else(|| misfit("a stage does not go over the rows of its kernel"))?;
            let (reads, writes) = stage.shapes();
            let views = stage.reads.iter().chain(&stage.writes).zip(reads.iter().chain(&writes));
            for (view, shape) in views {
                let b = view.buffer;
                if self.plan.buffers[b].place == Place::Rows || (written(b) && shared(b)) {
                    self.own_row(view, shape, axes, n)?;
                }
            }
        }
        Ok(())
    }

    /// That row `i` of an index space sees row `i` of the buffer's `rows`, and nothing else.
    fn own_row(&self, view: &View, shape: &[Dim], axes: usize, rows: usize) -> Result<()> {
        let sizes = self.sizes(shape)?;
        let all = self.buffer(view.buffer)?;
        if sizes.contains(&0) || all == 0 {
            return Ok(());
        }
        let apart = || misfit("a stage sees more of what another one writes than its row");
        let number = |d: &Dim| d.eval_signed(self.bindings).ok_or_else(apart);
        let row = all.checked_div(rows).filter(|row| row * rows == all).ok_or_else(apart)? as i64;
        let (mut unit, mut ends) = (row, (number(&view.offset)?, number(&view.offset)?));
        for (axis, (stride, n)) in view.strides.iter().zip(&sizes).enumerate().rev() {
            let (stride, n) = (number(stride)?, *n as i64);
            if axis >= axes {
                let far = stride.saturating_mul(n - 1);
                ends = (ends.0.saturating_add(far.min(0)), ends.1.saturating_add(far.max(0)));
            } else if n > 1 && stride != unit {
                return Err(apart());
            } else {
                unit = unit.saturating_mul(n);
            }
        }
        if ends.0 < 0 || ends.1 >= row { Err(apart()) } else { Ok(()) }
    }

    /// That a launch over these axes ends some day.
    fn work(&self, parts: &[&[Dim]]) -> Result<()> {
        let sizes = self.sizes(&parts.concat())?;
        match sizes.iter().try_fold(1usize, |n, s| n.checked_mul((*s).max(1))) {
            Some(n) if n <= MOST_WORK => Ok(()),
            _ => Err(Error::new(format!("a product over {sizes:?} has too many operations"))
                .expected(format!("at most {MOST_WORK}"))),
        }
    }

    fn conv(&self, kernel: &Kernel) -> Result<()> {
        let Kernel::Conv { conv, x, w, y, .. } = kernel else { return Ok(()) };
        let Convolution { strides, dilation, pad_lo, groups, .. } = conv;
        let n = strides.len();
        let ranks = [x.len(), w.len(), y.len()].iter().all(|r| *r == n + 2);
        if n == 0 || !ranks || dilation.len() != n || pad_lo.len() != n {
            return Err(misfit("the sizes of a convolution do not fit together"));
        }
        let [xs, ws, ys] = [self.sizes(x)?, self.sizes(w)?, self.sizes(y)?];
        let channels = ws[n].checked_mul(*groups) == Some(xs[n + 1]) && ws[n + 1] == ys[n + 1];
        if xs[0] != ys[0] || !channels || *groups == 0 || !ys[n + 1].is_multiple_of(*groups) {
            return Err(misfit("the channels of a convolution do not fit together"));
        }
        self.work(&[&y[..=n], w])?;
        self.windows([&x[1..=n], &y[1..=n]], (strides, &ws[..n]), (dilation, pad_lo))
    }

    /// That the windows over an input of these sizes reach no further than machine numbers do.
    fn windows(
        &self,
        [full, pooled]: [&[Dim]; 2],
        (strides, window): (&[usize], &[usize]),
        (dilation, before): (&[usize], &[Dim]),
    ) -> Result<()> {
        self.sizes(full)?;
        let (count, before) = (self.sizes(pooled)?, self.sizes(before)?);
        let axis = |i: usize| reach(count[i], strides[i], window[i], dilation[i], before[i]);
        (0..strides.len()).try_for_each(axis)
    }

    fn scan(&self, length: &Dim, [carries, xs]: [usize; 2], body: &Plan) -> Result<()> {
        self.sizes(std::slice::from_ref(length))?;
        let known = body.inputs.iter().chain(&body.outputs).all(|b| *b < body.buffers.len());
        if !known || body.inputs.len() < carries + xs || body.outputs.len() < carries {
            return Err(misfit("a loop does not fit its body"));
        }
        for (i, o) in body.inputs.iter().zip(&body.outputs).take(carries) {
            let (i, o) = (&body.buffers[*i], &body.buffers[*o]);
            if i.dtype != o.dtype || self.sizes(&i.shape)? != self.sizes(&o.shape)? {
                return Err(misfit("a state of a loop changes its sizes"));
            }
        }
        Ok(())
    }
}

/// Whether what a launch writes is read by it at the same elements alone, and only where it computes one element after
/// the other.
fn apart(launch: &Launch) -> bool {
    let elementwise = match launch.kernel {
        Kernel::Loop { .. } => 0,
        Kernel::Dot { .. } | Kernel::Conv { .. } => 2,
        _ => usize::MAX,
    };
    let (reads, writes) = launch.shapes();
    let writes: Vec<(&View, &Vec<Dim>)> = launch.writes.iter().zip(&writes).collect();
    launch.reads.iter().zip(&reads).enumerate().all(|(i, (read, shape))| {
        let same = |write: &View, written: &Vec<Dim>| {
            let strides = read.strides.iter().zip(&write.strides).zip(shape);
            shape == written
                && read.offset == write.offset
                && strides.into_iter().all(|((a, b), n)| a == b || n.is(1))
        };
        let clash = |(write, over): &(&View, &Vec<Dim>)| {
            read.buffer == write.buffer && (i < elementwise || !same(write, over))
        };
        !writes.iter().any(clash)
    })
}

/// How many leading reads a kernel takes as contiguous, and whether its writes too.
fn contiguous(kernel: &Kernel) -> (usize, bool) {
    match kernel {
        Kernel::Loop { .. } | Kernel::Reduce { .. } | Kernel::Rows { .. } | Kernel::Dot { .. } => (0, false),
        Kernel::Conv { .. } => (2, true),
        Kernel::Pool { window, .. } => (window.kind.inputs_full().len(), true),
        Kernel::Primitive { .. } | Kernel::Scan { .. } | Kernel::Named { .. } => (usize::MAX, true),
    }
}
