//! Where temporary buffers lie in one arena. Two may share memory when they are not alive at the same time.

use crate::bounds::sizes;
use crate::plan::{Kernel, Launch, Place, Plan};
use rhyton_tensor::{Bindings, Error, Result, memory};

/// Every buffer starts at a multiple of this many bytes.
pub const ALIGN: usize = 64;

/// A memory plan for given sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// Byte offset of each buffer of the plan in the arena; 0 for buffers that are not `Temp`.
    pub offsets: Vec<usize>,
    /// Bytes of the arena.
    pub total: usize,
    /// Most bytes alive at once: no arena can be smaller.
    pub peak: usize,
    /// The arenas of loop bodies, inside this one while the loop runs.
    pub bodies: Vec<Body>,
}

/// The arena of one loop's body.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// Index of the loop's launch.
    pub launch: usize,
    /// Byte offset of the body's arena in the outer one.
    pub offset: usize,
    /// Offsets inside it.
    pub layout: Layout,
}

/// A piece of the arena and the launches during which it is needed.
#[derive(Clone, Copy)]
struct Piece {
    bytes: usize,
    first: usize,
    last: usize,
    offset: usize,
}

impl Piece {
    fn meets(&self, other: &Piece) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Lays out the temporary buffers of a plan: the largest first, each into the tightest gap among those that are
/// alive at the same time. The same plan and sizes give the same layout.
///
/// # Errors
/// When a symbol has no size, or a value or all of them together are too large.
pub fn layout(plan: &Plan, bindings: &Bindings) -> Result<Layout> {
    let mut pieces = lifetimes(plan, bindings)?;
    let buffers = pieces.len();
    let mut bodies = Vec::new();
    for (i, launch) in plan.launches.iter().enumerate() {
        if let Kernel::Scan { body, .. } = &launch.kernel {
            let layout = layout(body, bindings)?;
            pieces.push(Piece { bytes: layout.total, first: i, last: i, offset: 0 });
            bodies.push(Body { launch: i, offset: 0, layout });
        }
    }
    // So no offset and no sum below wraps around.
    let all = pieces.iter().try_fold(0usize, |n, p| n.checked_add(p.bytes));
    if all.is_none_or(|n| n > isize::MAX as usize / 2) {
        return Err(Error::new(format!("the values of {} together are too large", plan.name)));
    }
    let total = arrange(&mut pieces);
    for (body, piece) in bodies.iter_mut().zip(&pieces[buffers..]) {
        body.offset = piece.offset;
    }
    let offsets = pieces[..buffers].iter().map(|p| p.offset).collect();
    Ok(Layout { offsets, total, peak: peak(&pieces, plan.launches.len()), bodies })
}

/// For each buffer its size and the launches from its first writing to its last use; no bytes when it is not
/// temporary.
fn lifetimes(plan: &Plan, bindings: &Bindings) -> Result<Vec<Piece>> {
    let mut pieces = vec![Piece { bytes: 0, first: usize::MAX, last: 0, offset: 0 }; plan.buffers.len()];
    for (piece, b) in pieces.iter_mut().zip(&plan.buffers).filter(|(_, b)| b.place == Place::Temp) {
        let bytes = memory::bytes(b.dtype, &sizes(&b.shape, bindings)?)?;
        piece.bytes = bytes.next_multiple_of(ALIGN);
    }
    for (i, launch) in plan.launches.iter().enumerate() {
        for v in launch.reads.iter().chain(&launch.writes) {
            let piece = &mut pieces[v.buffer];
            piece.first = piece.first.min(i);
            piece.last = piece.last.max(i);
        }
    }
    Ok(pieces)
}

/// Gives every piece its offset; returns the size of the arena.
fn arrange(pieces: &mut [Piece]) -> usize {
    let mut order: Vec<usize> = (0..pieces.len()).filter(|i| pieces[*i].bytes > 0).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(pieces[*i].bytes), pieces[*i].first, *i));
    // Placed pieces by offset.
    let mut placed: Vec<Piece> = Vec::new();
    let mut total = 0;
    for i in order {
        let piece = pieces[i];
        let (mut end, mut best) = (0, None);
        for other in placed.iter().filter(|o| o.meets(&piece)) {
            let gap = other.offset.saturating_sub(end);
            if gap >= piece.bytes && best.is_none_or(|(size, _)| gap < size) {
                best = Some((gap, end));
            }
            end = end.max(other.offset + other.bytes);
        }
        let offset = best.map_or(end, |(_, at)| at);
        pieces[i].offset = offset;
        total = total.max(offset + piece.bytes);
        let at = placed.partition_point(|o| o.offset <= offset);
        placed.insert(at, pieces[i]);
    }
    total
}

fn peak(pieces: &[Piece], launches: usize) -> usize {
    let mut change = vec![0i64; launches + 1];
    for p in pieces.iter().filter(|p| p.bytes > 0 && p.first <= p.last) {
        change[p.first] += p.bytes as i64;
        change[p.last + 1] -= p.bytes as i64;
    }
    let mut alive = 0;
    change
        .iter()
        .map(|c| {
            alive += c;
            alive
        })
        .max()
        .unwrap_or(0) as usize
}

/// Bytes of a result.
///
/// # Errors
/// When a symbol has no size, or the result is too large.
pub fn result_bytes(plan: &Plan, result: usize, bindings: &Bindings) -> Result<usize> {
    let buffer = &plan.buffers[plan.outputs[result]];
    memory::bytes(buffer.dtype, &sizes(&buffer.shape, bindings)?)
}

/// The launch that writes most, for people: those bytes and its label.
pub fn heaviest<'a>(plan: &'a Plan, bindings: &Bindings) -> Option<(usize, &'a str)> {
    let bytes = |launch: &Launch| -> usize {
        let of = |b: usize| {
            let b = &plan.buffers[b];
            if b.place == Place::Rows {
                return 0;
            }
            sizes(&b.shape, bindings).and_then(|s| memory::bytes(b.dtype, &s)).unwrap_or(0)
        };
        launch.writes.iter().fold(0usize, |n, w| n.saturating_add(of(w.buffer)))
    };
    plan.launches.iter().map(|l| (bytes(l), l.label.as_str())).max_by_key(|(bytes, _)| *bytes)
}

impl Layout {
    /// Checks that no two buffers that are alive together overlap, and that all lie inside the arena.
    ///
    /// # Errors
    /// The first overlap.
    pub fn check(&self, plan: &Plan, bindings: &Bindings) -> Result<()> {
        let mut pieces = lifetimes(plan, bindings)?;
        pieces.iter_mut().zip(&self.offsets).for_each(|(p, o)| p.offset = *o);
        for body in &self.bodies {
            let (bytes, offset) = (body.layout.total, body.offset);
            pieces.push(Piece { bytes, first: body.launch, last: body.launch, offset });
        }
        for (i, a) in pieces.iter().enumerate().filter(|(_, p)| p.bytes > 0) {
            if a.offset + a.bytes > self.total || a.offset % ALIGN != 0 {
                return Err(Error::new(format!("buffer {i} of {} lies outside the arena", plan.name)));
            }
            for (j, b) in pieces[..i].iter().enumerate().filter(|(_, b)| b.bytes > 0 && a.meets(b)) {
                if a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes {
                    return Err(Error::new(format!("buffers {j} and {i} of {} overlap", plan.name)));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::scan;
    use crate::reference::NullBackend;
    use crate::{Expr, Function, Type, compile};
    use rhyton_tensor::Dim;

    fn plan(f: impl FnOnce(&Expr, &Expr) -> Expr) -> Plan {
        let x = Type::f32(vec![Dim::symbol("batch"), Dim::fixed(16)]);
        let f = Function::trace("f", &[x, Type::f32([16, 16])], |p| vec![f(&p[0], &p[1])]);
        compile(&f, 0, &[], &NullBackend).unwrap()
    }

    #[test]
    fn a_chain_needs_room_for_two() {
        let plan = plan(|x, w| (0..10).fold(x.clone(), |x, _| x.matmul(w)));
        for batch in [1, 7, 32] {
            let layout = layout(&plan, &crate::testing::bindings(batch)).unwrap();
            assert_eq!((layout.total, layout.peak), (2 * batch * 64, 2 * batch * 64));
            layout.check(&plan, &crate::testing::bindings(batch)).unwrap();
        }
    }

    #[test]
    fn a_loop_body_has_its_arena_inside() {
        let plan = plan(|x, w| {
            let body = |s: &[Expr], x: &[Expr], k: &[Expr]| {
                let h = (&s[0].matmul(&k[0]).matmul(&k[0]) + &x[0]).tanh();
                (vec![h.clone()], vec![h])
            };
            let zero = Expr::full([4, 16], 0.0);
            let xs = x.expand_dims(&[1]).broadcast_to(vec![Dim::symbol("batch"), 4.into(), 16.into()]);
            scan("loop", &[zero], &[xs], std::slice::from_ref(w), false, body).1[0].matmul(w)
        });
        let layout = layout(&plan, &crate::testing::bindings(3)).unwrap();
        assert_eq!(layout.bodies.len(), 1);
        assert_eq!(layout.bodies[0].layout.total, 256);
        layout.check(&plan, &crate::testing::bindings(3)).unwrap();
        let mut moved = layout.clone();
        moved.bodies[0].offset = moved.offsets.iter().copied().max().unwrap();
        assert!(moved.check(&plan, &crate::testing::bindings(3)).is_err(), "overlaps are found");
    }

    #[test]
    fn unknown_sizes_are_an_error() {
        let plan = plan(|x, w| x.matmul(w).matmul(w));
        assert!(layout(&plan, &Bindings::new()).is_err());
    }
}
