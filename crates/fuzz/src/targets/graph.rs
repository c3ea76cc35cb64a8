//! The text of functions: read, checked, printed again, compiled and run.

use super::{SMALL, Target};
use crate::form::Form;
use rhyton::graph::testing::{random_args, random_function, with_gradients};
use rhyton::graph::{Expr, Function, compile, text};
use rhyton::{Error, Result};
use rhyton_tensor::Bindings;
use std::path::Path;
use std::sync::Arc;

pub const TARGET: Target = Target {
    name: "graph",
    about: "the text of functions: read, printed again, compiled, run",
    extension: "graph",
    seeds,
    time: super::TIME,
    form: Form::Lines,
    run,
};

fn seeds() -> Result<Vec<Vec<u8>>> {
    let mut seeds: Vec<Vec<u8>> = vec![];
    for seed in 0..24 {
        let f = random_function(seed, 2 + seed as usize);
        seeds.push(text::print(&f).into());
        if seed % 3 == 0 {
            seeds.push(text::print(&with_gradients(&f)).into());
        }
    }
    Ok(seeds)
}

fn run(input: &[u8], _: &Path) -> Result<()> {
    let f = read(&String::from_utf8_lossy(input))?;
    let printed = text::print(&f);
    let again = text::parse(&printed).map_err(|e| Error::new(format!("what is printed is not read: {e}")))?;
    if text::print(&again) != printed {
        return Err(Error::new("printing and reading once more gave another text"));
    }
    let backend = rhyton::model::backend::backend()?;
    let plan = compile(&f, 0, &[], &*backend)?;
    text::print_plan(&plan);
    let mut program = backend.load(Arc::new(plan))?.session();
    let state = backend.store(vec![])?;
    if !worth_running(&f) {
        return Ok(());
    }
    let mut results = vec![];
    for batch in [3, 1] {
        program.infer(&*state, &[], &random_args(&f, batch, 1), &mut results)?;
    }
    Ok(())
}

/// As [`super::worth_running`]; arguments are made here and so are small.
fn worth_running(f: &Function) -> bool {
    let bindings = Bindings::from([("batch".into(), 3)]);
    let elements = |e: &Expr| e.shape().eval(&bindings)?.iter().try_fold(1usize, |a, n| a.checked_mul(*n));
    let small = |p: &Expr| elements(p).is_some_and(|n| n < SMALL / 4);
    f.params.iter().all(small) && super::worth_running(f.nodes().iter().map(elements))
}

/// Reads a text. After a change the types of the lines that follow are wrong, and nothing beyond the reader would ever
/// see the function. The reader says which type it expects where: listening to it makes the text fit again.
fn read(text: &str) -> Result<Function> {
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    let mut answer = text::parse(text);
    for _ in 0..40 {
        let Err(e) = &answer else { break };
        let Some(types) = right_types(e, &mut lines) else { break };
        types.0.truncate(types.1);
        types.0.push_str(&e.problems[0].expected.clone().unwrap_or_default());
        answer = text::parse(&lines.join("\n"));
    }
    answer
}

/// The line whose type is wrong, and where the type begins.
fn right_types<'a>(e: &Error, lines: &'a mut [String]) -> Option<(&'a mut String, usize)> {
    let problem = e.problems.first().filter(|p| p.what.contains("does not follow"))?;
    let line: usize = problem.place.as_deref()?.strip_prefix("line ")?.parse().ok()?;
    let line = lines.get_mut(line.checked_sub(1)?)?;
    let at = line.rfind(" : ")? + 3;
    Some((line, at))
}
