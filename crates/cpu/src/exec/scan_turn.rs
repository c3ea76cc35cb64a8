//! Weights that every step of a loop multiplies with from the wrong side: turned once before the first step.

use super::resolve::{Lane, Setting};
use super::scan_rows::Rows;
use super::side::copy;
use super::task::Context;
use crate::tile::nest::LoopNest;
use crate::tile::space::Table;
use rhyton_graph::plan::{Buffer, Kernel, Place, Plan, View};
use rhyton_tensor::{Error, Result};

/// A turned copy of one of the body's constants.
pub(crate) struct Turned {
    /// Number of the constant.
    pub constant: usize,
    /// Copies the first entry of a table to the second one.
    nest: LoopNest,
    /// Bytes of the copy.
    pub bytes: usize,
}

impl Turned {
    /// Makes the copy.
    ///
    /// # Safety
    /// `from` must be the constant's address and `to` valid for the copy.
    pub unsafe fn copy(&self, cx: Context, from: *mut u8, to: *mut u8) {
        let entries = [from, to];
        // SAFETY: the frame's contract, 2 and 6.
        unsafe { self.nest.all(cx.pool, Table(entries.as_ptr())) };
    }
}

/// `body` with products that read turned copies, which are further parameters. Its parameters from `first` on are
/// the same at every step; those with rows of their own for each thread stay as they are.
pub(crate) fn turn(
    body: &Plan,
    first: usize,
    rows: Option<&Rows>,
    setting: &Setting,
) -> Result<(Plan, Vec<Turned>)> {
    let (mut turned, mut all) = (body.clone(), vec![]);
    for launch in &mut turned.launches {
        let (Kernel::Dot { .. }, Some(view)) = (&launch.kernel, launch.reads.get(1)) else { continue };
        let constant = body.inputs[first..].iter().position(|b| *b == view.buffer);
        // With neighbours at hand it is read where it lies.
        let stays =
            view.strides.last().is_none_or(|s| s.is(1)) || rows.is_some_and(|r| r.has(body, view.buffer));
        let (Some(constant), false) = (constant, stays) else { continue };
        let shape = launch.shapes().0.swap_remove(1);
        let lane = Lane { buffer: 0, ..setting.view(view)? };
        let sizes = setting.sizes(&shape)?;
        if lane.strides.len() != sizes.len() {
            return Err(Error::new("a product's views do not fit its axes"));
        }
        let source = body.buffers[view.buffer].dtype;
        let bytes = sizes.iter().product::<usize>() * source.size_bytes();
        all.push(Turned {
            constant,
            nest: copy(setting, source, lane, &sizes)?,
            bytes: bytes.next_multiple_of(64),
        });
        let buffer = turned.buffers.len();
        launch.reads[1] = View::contiguous(buffer, &shape);
        let place = Place::Input(turned.inputs.len());
        turned.buffers.push(Buffer { dtype: source, shape: shape.into_iter().collect(), place });
        turned.inputs.push(buffer);
    }
    Ok((turned, all))
}
