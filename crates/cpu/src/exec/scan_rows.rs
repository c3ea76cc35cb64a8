//! Whether a loop's body works on each row of a batch alone, so that every thread can run all steps on rows of its
//! own: the threads then meet once a loop instead of several times a step.

use crate::exec::profile::flops;
use crate::exec::resolve::Setting;
use rhyton_graph::plan::{Kernel, Plan, Program, Step, View};
use rhyton_tensor::{Dim, Result};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Fewest rows of a thread, so that the products keep their speed.
const ROWS: usize = 8;
/// Operations of a whole loop below which it is not split.
const SPLIT: f64 = 4e6;
/// Longest sums that are computed in one go whatever the number of rows, so that a result has the same bits for
/// any number of them.
const SUMS: usize = 1 << 11;

/// The rows of a body.
pub(crate) struct Rows {
    /// The symbol that counts them.
    pub symbol: Arc<str>,
    /// Their number.
    pub all: usize,
    dim: Dim,
}

/// The rows of `body` and how many threads to give some each; `None` when it is to run as it is.
pub(crate) fn rows(body: &Plan, steps: usize, setting: &Setting) -> Result<Option<(Rows, usize)>> {
    let Some(rows) = Rows::of(body, setting)? else { return Ok(None) };
    let parts = setting.threads.min(rows.all / ROWS);
    let mut work = 0.0;
    for launch in &body.launches {
        work += flops(&launch.kernel, setting)? * steps as f64;
    }
    let splits = parts > 1 && work >= SPLIT && rows.independent(body, setting)?;
    Ok(splits.then_some((rows, parts)))
}

impl Rows {
    /// The first axis of the first result, if a symbol of its own counts it.
    fn of(body: &Plan, setting: &Setting) -> Result<Option<Rows>> {
        let first = body.outputs.first().and_then(|b| body.buffers[*b].shape.first());
        let Some(dim) = first.cloned() else { return Ok(None) };
        let mut symbols = BTreeSet::new();
        dim.symbols(&mut symbols);
        match symbols.pop_first() {
            Some(symbol) if dim == Dim::symbol(&symbol) => {
                Ok(Some(Rows { symbol, all: setting.size(&dim)?, dim }))
            }
            _ => Ok(None),
        }
    }

    /// Whether a size has nothing to do with the rows.
    fn free(&self, d: &Dim) -> bool {
        let mut symbols = BTreeSet::new();
        d.symbols(&mut symbols);
        !symbols.contains(&self.symbol)
    }

    /// Whether these are rows and sizes of a row (true), or have nothing to do with rows (false).
    fn counts(&self, shape: &[Dim]) -> Option<bool> {
        let rows = shape.first() == Some(&self.dim);
        shape[usize::from(rows)..].iter().all(|d| self.free(d)).then_some(rows)
    }

    /// Whether a buffer of the body has rows.
    pub fn has(&self, body: &Plan, buffer: usize) -> bool {
        self.counts(&body.buffers[buffer].shape) == Some(true)
    }

    /// Whether no row of a result depends on another row, and no result is without rows.
    fn independent(&self, body: &Plan, setting: &Setting) -> Result<bool> {
        let shapes = body.buffers.iter().all(|b| self.counts(&b.shape).is_some());
        if !shapes || !body.outputs.iter().all(|b| self.has(body, *b)) {
            return Ok(false);
        }
        for launch in &body.launches {
            let alike = match &launch.kernel {
                Kernel::Loop { shape, program } => self.program(program, shape),
                Kernel::Dot { batch, m, n, k, epilogue } => {
                    let whole = [&batch[..], m, n].concat();
                    let sums: usize = setting.sizes(k)?.iter().product();
                    k.iter().all(|d| self.free(d))
                        && sums < SUMS
                        && epilogue.as_ref().is_none_or(|p| self.program(p, &whole))
                }
                _ => false,
            };
            let (reads, writes) = launch.shapes();
            let apart = launch.reads.iter().zip(&reads).all(|(v, s)| self.view(body, v, s, false))
                && launch.writes.iter().zip(&writes).all(|(v, s)| self.view(body, v, s, true));
            if !alike || !apart {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the program is the same for every row.
    fn program(&self, program: &Program, shape: &[Dim]) -> bool {
        program.code.iter().all(|i| match &i.op {
            Step::Size(d) => self.free(d),
            Step::Position(axis) => shape.get(*axis).is_some_and(|d| self.free(d)),
            Step::Apply(_) | Step::Constant(_) => true,
        })
    }

    /// Whether row `i` of the space sees row `i` of the buffer, or the same of a buffer without rows.
    fn view(&self, body: &Plan, view: &View, shape: &[Dim], writes: bool) -> bool {
        let buffer = &body.buffers[view.buffer].shape;
        let mut axes = shape.iter().zip(&view.strides).filter(|(d, _)| !self.free(d));
        let axis = axes.next();
        let one = axes.next().is_none() && axis.is_none_or(|(d, _)| *d == self.dim);
        let inside = self.free(&view.offset)
            && shape.iter().zip(&view.strides).all(|(d, s)| !self.free(d) || self.free(s));
        let row = |stride: &Dim| {
            let elements = buffer.iter().skip(1).fold(Dim::fixed(1), |n, d| n * d);
            *stride == elements
        };
        let fits = match (axis, self.has(body, view.buffer)) {
            (Some((_, stride)), true) => row(stride),
            (Some((_, stride)), false) => !writes && stride.is(0),
            (None, rows) => !rows,
        };
        one && inside && fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use rhyton_graph::function::scan;
    use rhyton_graph::reference::NullBackend;
    use rhyton_graph::{Expr, Function, Type, compile};
    use rhyton_tensor::Bindings;

    /// The parts of a loop whose state `h` of 8 numbers a row becomes `step(h, x, w)`, at this batch.
    fn split(batch: usize, step: impl Fn(&Expr, &Expr, &Expr) -> Expr) -> Option<usize> {
        let b = Dim::symbol("batch");
        let types = [
            Type::f32(vec![b.clone(), 8.into()]),
            Type::f32(vec![100.into(), b, 8.into()]),
            Type::f32([8, 8]),
        ];
        let f = Function::trace("f", &types, |p| {
            let turn = |h: &[Expr], x: &[Expr], w: &[Expr]| (vec![step(&h[0], &x[0], &w[0])], vec![]);
            scan("loop", &p[..1], &p[1..2], &p[2..], false, turn).0
        });
        let plan = compile(&f, 0, &[], &NullBackend).unwrap();
        let bindings = Bindings::from([("batch".into(), batch)]);
        let setting = Setting { isa: Isa::Portable, threads: 3, bindings: &bindings, profile: false };
        let mut bodies = plan.launches.iter().filter_map(|l| match &l.kernel {
            Kernel::Scan { body, .. } => Some(rows(body, 100_000, &setting).unwrap().map(|(_, n)| n)),
            _ => None,
        });
        bodies.next_back().unwrap()
    }

    #[test]
    fn rows_that_do_not_meet_are_split() {
        let cell = |h: &Expr, x: &Expr, w: &Expr| (h.matmul(w) + x).tanh();
        assert_eq!(split(64, cell), Some(3));
        assert_eq!(split(17, cell), Some(2), "eight rows a thread at least");
        assert_eq!(split(15, cell), None);
        assert_eq!(split(64, |h, x, w| h.matmul(&w.transpose(&[1, 0])) * x.slice(1, 2, 1)), Some(3));
        let numbered =
            |h: &Expr, x: &Expr, _: &Expr| h * 0.5 + x + Expr::iota([8], 0).cast(rhyton_tensor::DType::F32);
        assert_eq!(split(64, numbered), Some(3));
    }

    #[test]
    fn rows_that_meet_are_not() {
        let whole = || Dim::symbol("batch");
        assert_eq!(split(64, |h, x, _| h - x.mean(&[0]).expand_dims(&[0])), None, "a mean over the batch");
        assert_eq!(split(64, |h, x, _| h.flip(0) + x), None, "other rows");
        assert_eq!(split(64, |h, x, _| h * 0.5 + x / Expr::size(&whole())), None, "the size of the batch");
        let position = move || Expr::iota(vec![whole(), 8.into()], 0).cast(rhyton_tensor::DType::F32);
        assert_eq!(split(64, move |h, x, _| h * 0.5 + x + position()), None, "the position in the batch");
        let product = |h: &Expr, x: &Expr, w: &Expr| h.matmul(&(x.transpose(&[1, 0]).matmul(h) + w));
        assert_eq!(split(64, product), None, "sums over the batch");
    }
}
