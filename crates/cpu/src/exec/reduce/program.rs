//! The programs of reductions.

use crate::tile::code::{dtype, origin};
use rhyton_graph::ops::{Binary, Elementwise, Fold};
use rhyton_graph::plan::{Program, Reduction, Register, Step};
use rhyton_tensor::DType;

/// The program over moved axes.
pub(super) fn renumber(program: &Program, order: &[usize]) -> Program {
    let mut p = program.clone();
    for i in &mut p.code {
        if let Step::Position(axis) = &mut i.op {
            *axis = order.iter().position(|a| a == axis).unwrap_or(*axis);
        }
    }
    p
}

/// Which results of a program are folded, each alone or multiplied with another one.
pub(super) type Of = Vec<(usize, Option<usize>)>;

/// Products that are only summed are left to the sum: the program gives their factors instead.
pub(super) fn products(program: &Program, folds: &[Reduction]) -> (Program, Of) {
    let n = program.inputs.len();
    let mut uses = vec![0; n + program.code.len()];
    let args = program.code.iter().flat_map(|i| &i.args);
    args.chain(&program.outputs).for_each(|r| uses[*r] += 1);
    let product = |r: Register| -> Option<[Register; 2]> {
        let i = program.code.get(r.checked_sub(n)?)?;
        let multiplies = matches!(i.op, Step::Apply(Elementwise::Binary(Binary::Mul)));
        let whole = |r: &Register| dtype(program, origin(program, *r)) == DType::F32;
        (uses[r] == 1 && multiplies && i.dtype == DType::F32 && i.args.iter().all(whole))
            .then(|| i.args[..].try_into().ok())?
    };
    let (mut outputs, mut of, mut gone) = (vec![], vec![], vec![]);
    let place = |outputs: &mut Vec<Register>, r: Register| {
        outputs.iter().position(|o| *o == r).unwrap_or_else(|| {
            outputs.push(r);
            outputs.len() - 1
        })
    };
    for (r, fold) in program.outputs.iter().zip(folds) {
        let factors = product(*r).filter(|_| *fold == Reduction::Fold(Fold::Sum));
        if factors.is_some() {
            gone.push(*r);
        }
        let [a, b] = factors.map_or([*r, *r], |f| f);
        let first = place(&mut outputs, a);
        of.push((first, factors.map(|_| place(&mut outputs, b))));
    }
    gone.sort_unstable();
    (without(program, &gone, outputs), of)
}

/// The program without instructions that nothing needs.
fn without(program: &Program, gone: &[Register], outputs: Vec<Register>) -> Program {
    let n = program.inputs.len();
    let moved = |r: &Register| r - gone.iter().filter(|g| *g < r).count();
    let mut code = program.code.clone();
    code.iter_mut().flat_map(|i| &mut i.args).for_each(|a| *a = moved(a));
    let kept = code.into_iter().enumerate().filter(|(i, _)| !gone.contains(&(n + i))).map(|(_, c)| c);
    Program {
        inputs: program.inputs.clone(),
        code: kept.collect(),
        outputs: outputs.iter().map(moved).collect(),
    }
}
