//! From a function to a plan: decide what is stored and what is computed in passing, gather nodes into kernels,
//! let results replace state in place, order the kernels, write them down.
//!
//! The function has been through the passes; the last of them, `views`, made every copy visible.

mod emit;
mod graph;
mod groups;
mod join;
mod kernels;
mod order;
mod program;
mod recompute;
mod schedule;
mod stop;
mod storage;

use crate::compile::Watch;
use crate::function::Function;
use crate::plan::{Backend, Plan};
use graph::Graph;
use rhyton_tensor::Result;
use std::sync::Arc;

/// The plan of a function whose first `state` parameters are state. `updates` are (result, parameter) pairs; those that
/// `watch` holds wait for its result where they can.
///
/// # Errors
/// When the compiler made a mistake.
pub fn lower(
    function: &Arc<Function>,
    state: usize,
    updates: &[(usize, usize)],
    watch: Option<&Watch>,
    backend: &dyn Backend,
) -> Result<Plan> {
    let g = Graph::new(function);
    let recomputed = recompute::decide(&g);
    let mut groups = groups::assign(&g, &recomputed);
    let storage = storage::assign(&g, &recomputed, &mut groups, updates)?;
    let watch = watch.filter(|w| stop::hold_back(&g, &mut groups, &storage, updates, w));
    let launches = emit::Emit { g: &g, r: &recomputed, groups: &groups, storage: &storage, backend }
        .launches(&schedule::schedule(&g, &groups, &storage))?;
    let stop = watch.and_then(|w| stop::place(&storage, &launches, w));
    Ok(Plan {
        name: function.name.clone(),
        graph: function.clone(),
        buffers: storage.buffers,
        launches,
        inputs: storage.inputs,
        state,
        updates: updates.to_vec(),
        stop,
        outputs: storage.outputs,
    })
}
