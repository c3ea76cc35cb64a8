//! Plans as text, for people.

use super::family;
use crate::plan::{Kernel, Launch, Place, Plan, Program, Step, View};
use std::fmt::Write;

/// The text of a plan: buffers, then one line a launch with its programs indented below.
pub fn print_plan(plan: &Plan) -> String {
    let mut out = String::new();
    write_plan(&mut out, plan, "");
    out
}

fn write_plan(out: &mut String, plan: &Plan, indent: &str) {
    let _ =
        writeln!(out, "{indent}plan {}: updates {:?}, results {:?}", plan.name, plan.updates, plan.outputs);
    for (i, b) in plan.buffers.iter().enumerate() {
        let place = match &b.place {
            Place::Input(i) => format!("input {i}"),
            Place::Output(i) => format!("output {i}"),
            Place::Constant(_) => "constant".into(),
            Place::Temp => "temp".into(),
            Place::Rows => "rows".into(),
        };
        let _ = writeln!(out, "{indent}  b{i} = {place} : {}{}", b.dtype, b.shape);
    }
    for (i, launch) in plan.launches.iter().enumerate() {
        if let Some(stop) = plan.stop.filter(|s| s.after == i) {
            let _ = writeln!(out, "{indent}  stop unless result {} is finite", stop.result);
        }
        write_launch(out, launch, indent);
    }
}

fn write_launch(out: &mut String, launch: &Launch, indent: &str) {
    let views = |all: &[View]| all.iter().map(view).collect::<Vec<_>>().join(", ");
    let (writes, reads) = (views(&launch.writes), views(&launch.reads));
    if let Kernel::Rows { rows, .. } = &launch.kernel {
        let _ = writeln!(out, "{indent}  rows {rows}  // {}", launch.label);
        for stage in launch.stages().iter() {
            write_launch(out, stage, &format!("{indent}    "));
        }
        return;
    }
    let _ = writeln!(out, "{indent}  {writes} = {} ({reads})  // {}", kernel(&launch.kernel), launch.label);
    if let Some(p) = launch.kernel.program() {
        write_program(out, p, &format!("{indent}      "));
    }
    if let Kernel::Scan { body, .. } = &launch.kernel {
        write_plan(out, body, &format!("{indent}      "));
    }
}

fn view(v: &View) -> String {
    format!("b{}[{} +{:?}]", v.buffer, v.offset, v.strides)
}

fn kernel(k: &Kernel) -> String {
    match k {
        Kernel::Loop { shape, .. } => format!("loop {shape:?}"),
        Kernel::Reduce { shape, folded, folds, .. } => format!("reduce {shape:?} last {folded} {folds:?}"),
        Kernel::Rows { rows, .. } => format!("rows {rows}"),
        Kernel::Dot { batch, m, n, k, .. } => format!("dot batch {batch:?} m {m:?} n {n:?} k {k:?}"),
        Kernel::Conv { conv, x, w, y, .. } => format!("conv {:?} x {x:?} w {w:?} y {y:?}", conv.kind),
        Kernel::Pool { window, .. } => format!("pool {:?} {:?}", window.kind, window.window),
        Kernel::Primitive { op, .. } => format!("{} {}", op.name(), family(op).1),
        Kernel::Scan { length, reverse, carries, xs, .. } => {
            format!("scan {length} steps, {carries} states, {xs} sequences, reverse {reverse}")
        }
        Kernel::Named { call } => format!("named {}", call.name),
    }
}

fn write_program(out: &mut String, p: &Program, indent: &str) {
    for (i, step) in p.code.iter().enumerate() {
        let what = match &step.op {
            Step::Apply(op) => format!("{op:?}"),
            other => format!("{other:?}"),
        };
        let args: Vec<String> = step.args.iter().map(|a| format!("r{a}")).collect();
        let _ = writeln!(out, "{indent}r{} = {what} {}", p.inputs.len() + i, args.join(" "));
    }
    let outputs: Vec<String> = p.outputs.iter().map(|r| format!("r{r}")).collect();
    let _ = writeln!(out, "{indent}-> {}", outputs.join(" "));
}
