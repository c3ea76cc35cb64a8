//! Backends for tests: [`ReferenceBackend`] runs a plan launch by launch in double precision, slow and obvious;
//! [`NullBackend`] accepts everything and computes nothing.

use crate::backend::{Backend, Executable, HostStore, Session, Store, check_slots, updates_state};
use crate::bounds::{self, sizes};
use crate::expr::{Expr, Type};
use crate::function::Function;
use crate::interp::Value;
use crate::ops::{Contract, Op};
use crate::plan::{Kernel, Launch, NamedCall, Place, Plan, Program, Reduction, Step, Stop, View, bind};
use crate::verify::elements;
use rhyton_tensor::{Bindings, Dim, Error, Result, Tensor};
use std::sync::Arc;

/// Runs plans in double precision, element by element.
#[derive(Clone, Debug, Default)]
pub struct ReferenceBackend {
    /// Names of the functions that stay whole; they are interpreted.
    pub whole: Vec<String>,
}

impl Backend for ReferenceBackend {
    fn name(&self) -> String {
        "reference".into()
    }

    fn takes(&self, call: &NamedCall) -> bool {
        self.whole.contains(&call.name)
    }

    fn store(&self, values: Vec<Tensor>) -> Result<Box<dyn Store>> {
        Ok(Box::new(HostStore { values }))
    }

    fn load(&self, plan: Arc<Plan>) -> Result<Arc<dyn Executable>> {
        Ok(Arc::new(Loaded { plan, compute: true }))
    }
}

/// Accepts every plan; results are zeros of the right shapes and state stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullBackend;

impl Backend for NullBackend {
    fn name(&self) -> String {
        "null".into()
    }

    fn takes(&self, _: &NamedCall) -> bool {
        false
    }

    fn store(&self, values: Vec<Tensor>) -> Result<Box<dyn Store>> {
        Ok(Box::new(HostStore { values }))
    }

    fn load(&self, plan: Arc<Plan>) -> Result<Arc<dyn Executable>> {
        Ok(Arc::new(Loaded { plan, compute: false }))
    }
}

/// Traces `f` over the shapes of `args`, compiles it for `backend` and runs it once.
///
/// # Errors
/// Every diagnostic of the expressions, and what the backend refuses.
pub fn eval_on(
    backend: &dyn Backend,
    f: impl FnOnce(&[Expr]) -> Vec<Expr>,
    args: &[Tensor],
) -> Result<Vec<Tensor>> {
    let ty = |t: &Tensor| Type::new(crate::ops::control::graph_dtype(t.dtype()), t.shape());
    let function = Function::trace("eval", &args.iter().map(ty).collect::<Vec<_>>(), f);
    let plan = crate::compile(&function, 0, &[], backend)?;
    let mut results = Vec::new();
    backend.load(Arc::new(plan))?.session().infer(&*backend.store(vec![])?, &[], args, &mut results)?;
    Ok(results)
}

/// Both what is loaded and a session: nothing is prepared.
#[derive(Clone)]
struct Loaded {
    plan: Arc<Plan>,
    compute: bool,
}

impl Executable for Loaded {
    fn session(&self) -> Box<dyn Session> {
        Box::new(self.clone())
    }
}

impl Session for Loaded {
    fn run(
        &mut self,
        state: &mut dyn Store,
        slots: &[usize],
        batch: &[Tensor],
        results: &mut Vec<Tensor>,
    ) -> Result<()> {
        let new = self.compute(HostStore::of(state)?, slots, batch, results)?;
        new.into_iter().try_for_each(|(slot, value)| state.write(slot, value))
    }

    fn infer(
        &mut self,
        state: &dyn Store,
        slots: &[usize],
        batch: &[Tensor],
        results: &mut Vec<Tensor>,
    ) -> Result<()> {
        if !self.plan.updates.is_empty() {
            return Err(updates_state(&self.plan.name));
        }
        self.compute(HostStore::of(state)?, slots, batch, results).map(|_| ())
    }
}

impl Loaded {
    /// Slots and their new values.
    fn compute(
        &self,
        store: &HostStore,
        slots: &[usize],
        batch: &[Tensor],
        results: &mut Vec<Tensor>,
    ) -> Result<Vec<(usize, Tensor)>> {
        let plan = &*self.plan;
        check_slots(slots, &plan.written(), store)?;
        let state: Vec<&Tensor> = slots.iter().map(|s| &store.values[*s]).collect();
        let args: Vec<&Tensor> = state.iter().copied().chain(batch).collect();
        let params = &plan.params;
        if state.len() != plan.state || args.len() != params.len() {
            let expected = format!("{} and {}", plan.state, params.len() - plan.state);
            return Err(Error::new(format!(
                "{} got {} values of state and {} of the batch",
                plan.name,
                state.len(),
                batch.len()
            ))
            .expected(expected));
        }
        for (i, (a, p)) in args.iter().zip(params).enumerate() {
            if a.dtype() != p.ty.dtype {
                return Err(Error::new(format!("parameter {i} of {} is {}", plan.name, a.dtype()))
                    .expected(p.ty.to_string()));
            }
        }
        let bindings = bind(params, &args.iter().map(|t| t.shape()).collect::<Vec<_>>())?;
        let values = args.iter().map(|t| Value::from_tensor(t).data).collect();
        let buffers = if self.compute { Some(run(plan, values, &bindings)?) } else { None };
        let tensor = |buffer: usize| -> Result<Tensor> {
            let b = &plan.buffers[buffer];
            let zero = Value::zeros(&Type { dtype: b.dtype, shape: b.shape.clone() }, &bindings)?;
            let data = buffers.as_ref().map_or(zero.data, |all| all[buffer].clone());
            Value { dtype: b.dtype, shape: zero.shape, data }.to_tensor()
        };
        let updates = plan.updates.iter().filter(|_| self.compute);
        let new = updates.map(|(_, p)| Ok((slots[*p], tensor(plan.inputs[*p])?))).collect::<Result<_>>()?;
        results.clear();
        for (i, buffer) in plan.outputs.iter().enumerate() {
            if !plan.updates.iter().any(|(r, _)| *r == i) {
                results.push(tensor(*buffer)?);
            }
        }
        Ok(new)
    }
}

/// The memory of a run.
type Memory = Vec<Vec<f64>>;

/// Runs a plan on parameter values; returns all buffers.
fn run(plan: &Plan, args: Vec<Vec<f64>>, bindings: &Bindings) -> Result<Memory> {
    bounds::check(plan, bindings)?;
    let mut memory: Memory = Vec::new();
    for b in &plan.buffers {
        let zero = Value::zeros(&Type { dtype: b.dtype, shape: b.shape.clone() }, bindings)?;
        memory.push(match &b.place {
            Place::Input(i) => args[*i].clone(),
            Place::Constant(l) => Value::from_tensor(&l.0).data,
            // What is read before it is written shows.
            Place::Output(_) | Place::Temp | Place::Rows => vec![f64::NAN; zero.data.len()],
        });
    }
    for (at, launch) in plan.launches.iter().enumerate() {
        let stops = |s: Stop| s.after == at && !memory[plan.outputs[s.result]][0].is_finite();
        if plan.stop.is_some_and(stops) {
            break;
        }
        match &launch.kernel {
            Kernel::Rows { rows, .. } => {
                let (stages, rows) = (launch.stages(), count(std::slice::from_ref(rows), bindings)?);
                for row in 0..rows {
                    stages.iter().try_for_each(|s| step(s, Some((row, rows)), &mut memory, bindings))?;
                    // The next row takes the place of this one.
                    let own = plan.buffers.iter().zip(&mut memory).filter(|(b, _)| b.place == Place::Rows);
                    own.for_each(|(_, values)| values.fill(f64::NAN));
                }
            }
            _ => step(launch, None, &mut memory, bindings)?,
        }
    }
    Ok(memory)
}

/// Runs one launch, or one row of a stage: its number, and that of all rows.
fn step(
    launch: &Launch,
    row: Option<(usize, usize)>,
    memory: &mut Memory,
    bindings: &Bindings,
) -> Result<()> {
    let (reads, writes) = launch.shapes();
    let at = |v: &View, shape: &[Dim]| -> Result<Vec<i64>> {
        let all = elements(v, shape, bindings)?;
        Ok(row.map_or(all.clone(), |(row, rows)| part(&all, row, rows).to_vec()))
    };
    let read = |(v, shape): (&View, &Vec<Dim>)| -> Result<Vec<f64>> {
        Ok(at(v, shape)?.iter().map(|i| memory[v.buffer][*i as usize]).collect())
    };
    let inputs = launch.reads.iter().zip(&reads).map(read).collect::<Result<_>>()?;
    let outputs = compute(launch, row, inputs, (&reads, &writes), bindings)?;
    for ((v, shape), values) in launch.writes.iter().zip(&writes).zip(outputs) {
        for (i, x) in at(v, shape)?.into_iter().zip(values) {
            memory[v.buffer][i as usize] = x;
        }
    }
    Ok(())
}

/// What belongs to a row, of values whose leading axes are the rows.
fn part<T>(all: &[T], row: usize, rows: usize) -> &[T] {
    let each = all.len() / rows.max(1);
    &all[row * each..(row + 1) * each]
}

/// Number of elements.
fn count(shape: &[Dim], bindings: &Bindings) -> Result<usize> {
    rhyton_tensor::memory::elements(&sizes(shape, bindings)?)
}

/// One launch: values of its reads, in row-major order of their index spaces, to values of its writes.
fn compute(
    launch: &Launch,
    row: Option<(usize, usize)>,
    inputs: Vec<Vec<f64>>,
    (reads, writes): (&[Vec<Dim>], &[Vec<Dim>]),
    bindings: &Bindings,
) -> Result<Vec<Vec<f64>>> {
    match &launch.kernel {
        Kernel::Loop { shape, program } => {
            program_over(program, &inputs, &sizes(shape, bindings)?, row, bindings)
        }
        Kernel::Reduce { shape, folded, folds, program } => {
            let space = sizes(shape, bindings)?;
            let values = program_over(program, &inputs, &space, row, bindings)?;
            let (kept, rest) = space.split_at(space.len().saturating_sub(*folded));
            let (kept, rest) = (kept.iter().product(), rest.iter().product());
            let kept = if row.is_some() { 1 } else { kept };
            Ok(folds.iter().zip(&values).map(|(fold, v)| fold_last(*fold, v, kept, rest)).collect())
        }
        Kernel::Rows { .. } => Err(Error::new("rows inside rows")),
        Kernel::Dot { batch, m, n, k, epilogue } => {
            let whole = [&batch[..], m, n].concat();
            let size = |d: &[Dim]| count(d, bindings);
            let product = matrix_product(&inputs, [size(batch)?, size(m)?, size(n)?, size(k)?]);
            finish(product, epilogue, &inputs[2..], &whole, bindings)
        }
        Kernel::Conv { conv, x, w, y, epilogue } => {
            let [_, _, out] = conv.kind.sides([x, w, y]);
            let product = product(Contract::Conv(conv.clone()), &inputs[..2], &reads[..2], out, bindings)?;
            finish(product, epilogue, &inputs[2..], out, bindings)
        }
        Kernel::Pool { window, epilogue, .. } => {
            let n = window.kind.inputs_full().len();
            let (inputs, extra) = inputs.split_at(n);
            let pooled = product(window.clone(), inputs, &reads[..n], &writes[0], bindings)?;
            finish(pooled, epilogue, extra, &writes[0], bindings)
        }
        Kernel::Primitive { op, inputs: types, outputs } => primitive(op, &inputs, types, outputs, bindings),
        Kernel::Scan { length, reverse, carries, xs, body } => {
            let steps = sizes(std::slice::from_ref(length), bindings)?[0];
            scan(body, (steps, *reverse), (*carries, *xs), inputs, writes, bindings)
        }
        Kernel::Named { call } => {
            let value = |(ty, data): (&Type, Vec<f64>)| {
                Ok(Value { dtype: ty.dtype, shape: sizes(&ty.shape, bindings)?, data })
            };
            let args = call.inputs.iter().zip(inputs).map(value).collect::<Result<Vec<_>>>()?;
            let results = crate::interp::run_function(call.body(), &args, bindings)?;
            Ok(results.into_iter().map(|v| v.data).collect())
        }
    }
}

/// What is one primitive, by that primitive's own meaning.
fn primitive(
    op: &Op,
    inputs: &[Vec<f64>],
    types: &[Type],
    outputs: &[Type],
    bindings: &Bindings,
) -> Result<Vec<Vec<f64>>> {
    let value = |(data, ty): (&Vec<f64>, &Type)| {
        Ok(Value { dtype: ty.dtype, shape: sizes(&ty.shape, bindings)?, data: data.clone() })
    };
    let values: Vec<Value> = inputs.iter().zip(types).map(value).collect::<Result<_>>()?;
    let results = op.interp(&values.iter().collect::<Vec<_>>(), outputs, bindings)?;
    Ok(results.into_iter().map(|v| v.data).collect())
}

/// A product or a pooling, before its epilogue.
fn product(
    op: impl Into<Op>,
    inputs: &[Vec<f64>],
    shapes: &[Vec<Dim>],
    out: &[Dim],
    bindings: &Bindings,
) -> Result<Vec<f64>> {
    let types: Vec<Type> = shapes.iter().map(|s| Type::f32(&s[..])).collect();
    Ok(primitive(&op.into(), inputs, &types, &[Type::f32(out)], bindings)?.remove(0))
}

fn matrix_product(inputs: &[Vec<f64>], [batch, m, n, k]: [usize; 4]) -> Vec<f64> {
    let mut out = vec![0.0; batch * m * n];
    for (o, x) in out.iter_mut().enumerate() {
        let (b, i, j) = (o / (m * n), o / n % m, o % n);
        *x = (0..k).map(|s| inputs[0][(b * m + i) * k + s] * inputs[1][(b * k + s) * n + j]).sum();
    }
    out
}

/// The epilogue of a product or of pooling, which also reads `extra`.
fn finish(
    product: Vec<f64>,
    epilogue: &Option<Program>,
    extra: &[Vec<f64>],
    shape: &[Dim],
    bindings: &Bindings,
) -> Result<Vec<Vec<f64>>> {
    let Some(program) = epilogue else { return Ok(vec![product]) };
    let values: Vec<Vec<f64>> = std::iter::once(product).chain(extra.iter().cloned()).collect();
    program_over(program, &values, &sizes(shape, bindings)?, None, bindings)
}

fn fold_last(fold: Reduction, values: &[f64], kept: usize, folded: usize) -> Vec<f64> {
    let group = |i: usize| &values[i * folded..(i + 1) * folded];
    let one = |i: usize| match fold {
        Reduction::Fold(f) => group(i).iter().fold(f.start(), |a, b| f.step(a, *b)),
        Reduction::ArgMax => {
            let g = group(i);
            let better = |a: usize, b: usize| g[b] > g[a] || (g[b].is_nan() && !g[a].is_nan());
            (0..folded).reduce(|a, b| if better(a, b) { b } else { a }).unwrap_or(0) as f64
        }
    };
    (0..kept).map(one).collect()
}

/// A program at every element of a space, or of one of its rows.
fn program_over(
    p: &Program,
    inputs: &[Vec<f64>],
    space: &[usize],
    row: Option<(usize, usize)>,
    bindings: &Bindings,
) -> Result<Vec<Vec<f64>>> {
    let mut out = vec![vec![]; p.outputs.len()];
    let all: Vec<Vec<usize>> = crate::interp::coordinates(space).collect();
    let places = row.map_or(&all[..], |(row, rows)| part(&all, row, rows));
    for (i, at) in places.iter().enumerate() {
        let mut registers: Vec<f64> = inputs.iter().map(|x| x[i]).collect();
        for instruction in &p.code {
            let args: Vec<f64> = instruction.args.iter().map(|a| registers[*a]).collect();
            registers.push(match &instruction.op {
                Step::Apply(op) => op.eval(&args, instruction.dtype),
                Step::Constant(s) => s.as_f64(),
                Step::Size(d) => sizes(std::slice::from_ref(d), bindings)?[0] as f64,
                Step::Position(axis) => at[*axis] as f64,
            });
        }
        out.iter_mut().zip(&p.outputs).for_each(|(o, r)| o.push(registers[*r]));
    }
    Ok(out)
}

fn scan(
    body: &Plan,
    (steps, reverse): (usize, bool),
    (carries, xs): (usize, usize),
    inputs: Vec<Vec<f64>>,
    writes: &[Vec<Dim>],
    bindings: &Bindings,
) -> Result<Vec<Vec<f64>>> {
    let mut out: Vec<Vec<f64>> = inputs[..carries].to_vec();
    for shape in &writes[carries..] {
        out.push(vec![f64::NAN; count(shape, bindings)?]);
    }
    for step in 0..steps {
        let t = if reverse { steps - 1 - step } else { step };
        let entry = |x: &Vec<f64>| x[t * x.len() / steps..(t + 1) * x.len() / steps].to_vec();
        let mut args: Vec<Vec<f64>> = out[..carries].to_vec();
        args.extend(inputs[carries..carries + xs].iter().map(entry));
        args.extend(inputs[carries + xs..].iter().cloned());
        let memory = run(body, args, bindings)?;
        for (i, buffer) in body.outputs.iter().enumerate() {
            let (value, n) = (&memory[*buffer], memory[*buffer].len());
            let start = if i < carries { 0 } else { t * n };
            out[i][start..start + n].copy_from_slice(value);
        }
    }
    Ok(out)
}
