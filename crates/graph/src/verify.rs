//! What must hold for every function and every plan. Debug builds check functions after each pass; tests check
//! plans.

use crate::bounds::sizes;
use crate::expr::{Expr, Type};
use crate::function::Function;
use crate::ops::{Control, Op};
use crate::plan::{Kernel, Launch, Place, Plan, View};
use rhyton_tensor::{Bindings, Dim, Error, Result, memory};
use std::collections::{HashMap, HashSet};

/// Checks that the function's types follow from its operations, that it reads nothing but its parameters and
/// constants, and that nothing in it is poisoned; the bodies of calls and loops too.
///
/// # Errors
/// The first thing that does not hold.
pub fn verify(f: &Function) -> Result<()> {
    f.check()?;
    let mut params = HashSet::new();
    for p in &f.params {
        if !matches!(p.op(), Op::Control(Control::Param { .. })) || !params.insert(p.node().id) {
            return Err(Error::new(format!("{} has a parameter that is none, or one twice", f.name)));
        }
    }
    let mut bodies: HashMap<*const Function, &Function> = HashMap::new();
    let nodes = f.nodes();
    for e in &nodes {
        verify_node(f, e, &params)?;
        if let Op::Control(Control::Call(body) | Control::Scan { body, .. }) = e.op() {
            bodies.insert(std::sync::Arc::as_ptr(body), body);
        }
    }
    bodies.into_values().try_for_each(|body| verify(body).map_err(|e| e.place(&f.name)))
}

fn verify_node(f: &Function, e: &Expr, params: &HashSet<u64>) -> Result<()> {
    let at = |error: Error| error.place(f.name.clone()).source(&e.node().source);
    if let Op::Control(Control::Param { name, .. }) = e.op()
        && !params.contains(&e.node().id)
    {
        return Err(at(Error::new(format!("'{name}' is read but is no parameter of {}", f.name))
            .fix("pass it in: what a function or loop body reads must come through its parameters")));
    }
    let inputs: Vec<&Type> = e.inputs().iter().map(Expr::ty).collect();
    let outs = e.op().infer(&inputs).map_err(at)?;
    if outs != e.node().outs {
        let what = format!("the type {} does not follow from its operation", e.ty());
        return Err(at(Error::new(what)));
    }
    Ok(())
}

/// Checks a plan for given sizes: views stay inside their buffers, every element that is read was written before,
/// state is written in place only where its old value is not needed any more, temporary buffers that are alive
/// together do not overlap.
///
/// # Errors
/// The first thing that does not hold.
pub fn verify_plan(plan: &Plan, bindings: &Bindings) -> Result<()> {
    let mut written: Vec<Vec<bool>> = Vec::new();
    for b in &plan.buffers {
        let n = memory::elements(&sizes(&b.shape, bindings)?)?;
        written.push(vec![matches!(b.place, Place::Input(_) | Place::Constant(_)); n]);
    }
    let mut stage = |launch: &Launch| -> Result<()> {
        let at = |what: String| Error::new(what).place(format!("{}: {}", plan.name, launch.label));
        let (reads, writes) = launch.shapes();
        if reads.len() != launch.reads.len() || writes.len() != launch.writes.len() {
            return Err(at("the kernel does not fit its reads and writes".into()));
        }
        for (v, shape) in launch.reads.iter().zip(&reads) {
            let seen = &written[v.buffer];
            for i in elements(v, shape, bindings)? {
                match usize::try_from(i).ok().and_then(|i| seen.get(i)) {
                    None => return Err(at(format!("element {i} of buffer {} does not exist", v.buffer))),
                    Some(false) => {
                        return Err(at(format!("element {i} of buffer {} is read unwritten", v.buffer)));
                    }
                    Some(true) => {}
                }
            }
        }
        for (v, shape) in launch.writes.iter().zip(&writes) {
            for i in elements(v, shape, bindings)? {
                match usize::try_from(i).ok().and_then(|i| written[v.buffer].get_mut(i)) {
                    None => return Err(at(format!("element {i} of buffer {} does not exist", v.buffer))),
                    Some(seen) => *seen = true,
                }
            }
        }
        if let Kernel::Scan { body, .. } = &launch.kernel {
            verify_plan(body, bindings)?;
        }
        Ok(())
    };
    plan.launches.iter().try_for_each(|l| l.stages().iter().try_for_each(&mut stage))?;
    for (i, b) in plan.outputs.iter().enumerate() {
        if !written[*b].iter().all(|w| *w) {
            return Err(Error::new(format!("result {i} of {} is not written everywhere", plan.name)));
        }
    }
    crate::bounds::check(plan, bindings)?;
    crate::memory::layout(plan, bindings)?.check(plan, bindings)
}

/// Positions of a view's elements in its buffer, in row-major order of `shape`.
pub(crate) fn elements(v: &View, shape: &[Dim], bindings: &Bindings) -> Result<Vec<i64>> {
    let value =
        |d: &Dim| d.eval_signed(bindings).ok_or_else(|| Error::new(format!("the size {d} is not known")));
    let strides: Vec<i64> = v.strides.iter().map(value).collect::<Result<_>>()?;
    if strides.len() != shape.len() {
        return Err(Error::new("a view does not fit its index space"));
    }
    let sizes = sizes(shape, bindings)?;
    let start = value(&v.offset)?;
    let at = |c: Vec<usize>| start + c.iter().zip(&strides).map(|(i, s)| *i as i64 * s).sum::<i64>();
    Ok(crate::interp::coordinates(&sizes).map(at).collect())
}
