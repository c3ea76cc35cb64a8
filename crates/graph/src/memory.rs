//! Where temporary buffers lie in one arena. Two may share memory when they are not alive at the same time.

use crate::plan::{Kernel, Place, Plan};
use rhyton_tensor::{Bindings, Error, Result};

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
/// When a symbol has no size.
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
        let sizes = b.shape.eval(bindings);
        let sizes = sizes.ok_or_else(|| Error::new(format!("the sizes {} are not all known", b.shape)))?;
        let bytes = sizes.iter().try_fold(b.dtype.size_bytes(), |n, s| n.checked_mul(*s));
        let bytes = bytes.and_then(|b| b.checked_next_multiple_of(ALIGN));
        piece.bytes =
            bytes.ok_or_else(|| Error::new(format!("a value of shape {} is too large", b.shape)))?;
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
