//! The text of functions: read, checked, printed again, compiled and run.

use super::Target;
use crate::form::Form;
use rhyton::graph::testing::{random_args, random_function, with_gradients};
use rhyton::graph::{Function, compile, text};
use rhyton::{Error, Result};
use rhyton_tensor::Bindings;
use std::path::Path;
use std::sync::Arc;

pub const TARGET: Target = Target {
    name: "graph",
    about: "the text of functions: read, printed again, compiled, run",
    extension: "graph",
    seeds,
    form: Form::Repaired(with_right_types),
    run,
};

/// Elements of all values of a function that is run; larger ones are only compiled.
const ELEMENTS: usize = 1 << 20;

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
    let f = text::parse(&String::from_utf8_lossy(input))?;
    let printed = text::print(&f);
    let again = text::parse(&printed).map_err(|e| Error::new(format!("what is printed is not read: {e}")))?;
    if text::print(&again) != printed {
        return Err(Error::new("printing and reading once more gave another text"));
    }
    let backend = rhyton::nn::backend::backend()?;
    let plan = compile(&f, 0, &[], &*backend)?;
    text::print_plan(&plan);
    let mut program = backend.load(Arc::new(plan))?;
    if !is_small(&f) {
        return Ok(());
    }
    let mut results = vec![];
    for batch in [3, 1] {
        program.run(&mut [], &random_args(&f, batch, 1), &mut results)?;
    }
    Ok(())
}

fn is_small(f: &Function) -> bool {
    let bindings = Bindings::from([("batch".into(), 3)]);
    let mut left = ELEMENTS;
    f.nodes().iter().chain(&f.params).all(|node| {
        let sizes = node.shape().eval(&bindings);
        let elements = sizes.and_then(|s| s.iter().try_fold(1usize, |a, n| a.checked_mul(*n)));
        elements.and_then(|n| left.checked_sub(n)).map(|rest| left = rest).is_some()
    })
}

/// After a change the types of the lines that follow are wrong, and nothing beyond the reader would ever see the
/// text. The reader says which type it expects where; a few rounds of listening to it make the text fit again.
fn with_right_types(changed: &str) -> String {
    let mut lines: Vec<String> = changed.lines().map(String::from).collect();
    for _ in 0..40 {
        let Err(e) = text::parse(&lines.join("\n")) else { break };
        let problem = &e.problems[0];
        let line = problem.place.as_deref().and_then(|p| p.strip_prefix("line ")?.parse::<usize>().ok());
        let (Some(line), Some(types)) = (line, problem.expected.as_deref()) else { break };
        let line =
            line.checked_sub(1).and_then(|l| lines.get_mut(l)).filter(|_| problem.what.contains("type"));
        let Some((line, end)) = line.and_then(|l| l.rfind(" : ").map(|end| (l, end))) else { break };
        line.truncate(end + 3);
        line.push_str(types);
    }
    lines.join("\n")
}
