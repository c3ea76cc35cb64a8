//! Loops: the body is a frame of its own, prepared once; a step only sets addresses. Where rows of a batch do not
//! meet, every thread runs all steps on its own rows.

use super::element_bytes;
use super::frame::Frame;
use super::resolve::Setting;
use super::scan_rows::{Rows, rows};
use super::scan_turn::{Turned, turn};
use super::task::Context;
use crate::Shared;
use rhyton_graph::backend::LaunchTime;
use rhyton_graph::memory::Body;
use rhyton_graph::plan::{Kernel, Launch, Plan, View};
use rhyton_tensor::{Error, Result};

/// A buffer that moves on with every step.
struct Sequence {
    buffer: usize,
    /// Bytes before its first element.
    offset: isize,
    /// Bytes of an entry.
    entry: usize,
    /// Bytes of a row of an entry; 0 when all parts use the whole.
    row: usize,
}

/// The body over some rows of the batch.
struct Part {
    body: Frame,
    /// Rows before its first.
    first: usize,
}

/// A state: between steps it lies in one of two places in turn, so that a step can read the old one while it
/// writes the new one.
struct State {
    first: Sequence,
    last: Sequence,
    places: [usize; 2],
}

/// What the body gets at each step.
struct Steps {
    count: usize,
    reverse: bool,
    states: Vec<State>,
    xs: Vec<Sequence>,
    constants: Vec<Sequence>,
    ys: Vec<Sequence>,
    /// Bytes of both places of all states.
    state_bytes: usize,
}

/// A prepared loop.
pub(crate) struct ScanTask {
    steps: Steps,
    parts: Vec<Part>,
    turned: Vec<Turned>,
    /// Byte offset of the first part's arena in the outer one; the others have theirs in the scratch memory.
    arena: usize,
    /// Bytes of a part's arena, and of the scratch memory of its launches.
    arena_bytes: usize,
    body_bytes: usize,
}

impl ScanTask {
    pub fn new(plan: &Plan, launch: &Launch, place: Option<&Body>, setting: &Setting) -> Result<ScanTask> {
        let Kernel::Scan { length, reverse, carries, xs, body } = &launch.kernel else {
            return Err(Error::new("not a loop"));
        };
        let place = place.ok_or_else(|| Error::new("the memory plan lacks the body of a loop"))?;
        let count = setting.size(length)?;
        let constants = carries + xs;
        let fits = launch.reads.len() == body.inputs.len()
            && launch.writes.len() == body.outputs.len()
            && launch.reads.len() >= constants
            && launch.writes.len() >= *carries;
        let known = body.inputs.iter().chain(&body.outputs).all(|b| *b < body.buffers.len());
        if !fits || !known {
            return Err(Error::new("a loop's views do not fit its body"));
        }
        let split = rows(body, count, setting)?;
        let alone = split.as_ref().map(|(rows, _)| rows);
        let sequence = |view: &View, inner: usize| -> Result<Sequence> {
            let bytes = element_bytes(plan.buffers[view.buffer].dtype);
            let entry = setting.sizes(&body.buffers[inner].shape)?.iter().product::<usize>() * bytes;
            let offset = setting.signed(&view.offset)? * bytes as isize;
            let row = alone.filter(|rows| rows.has(body, inner)).map_or(0, |rows| entry / rows.all);
            Ok(Sequence { buffer: view.buffer, offset, entry, row })
        };
        let reads = launch.reads.iter().zip(&body.inputs).map(|(v, b)| sequence(v, *b));
        let writes = launch.writes.iter().zip(&body.outputs).map(|(v, b)| sequence(v, *b));
        let steps = Steps::new(
            (count, *reverse),
            [*carries, constants],
            reads.collect::<Result<_>>()?,
            writes.collect::<Result<_>>()?,
        );
        let (turned_body, turned) = turn(body, constants, alone, setting)?;
        let parts = parts(&turned_body, place, split.as_ref(), setting)?;
        let most =
            |f: fn((usize, usize)) -> usize| parts.iter().map(|p| f(p.body.bytes())).max().unwrap_or(0);
        let (arena_bytes, body_bytes) = (most(|b| b.0), most(|b| b.1).next_multiple_of(64));
        Ok(ScanTask { steps, turned, arena: place.offset, arena_bytes, body_bytes, parts })
    }

    /// Scratch memory: states, turned constants, then that of each part's launches, then the arenas of all parts
    /// but the first.
    pub fn scratch(&self) -> usize {
        let turned: usize = self.turned.iter().map(|t| t.bytes).sum();
        let n = self.parts.len();
        let each = n.saturating_mul(self.body_bytes.saturating_add(self.arena_bytes));
        (self.steps.state_bytes + turned + each).saturating_sub(self.arena_bytes)
    }

    /// Bytes that the frames of the parts take.
    pub fn size(&self) -> usize {
        self.parts.iter().map(|p| p.body.size()).sum()
    }

    /// The measurements of the body: those of the first part, which stands for the others.
    pub fn take_profile(&mut self, depth: usize, all: &mut Vec<LaunchTime>) {
        if let Some(part) = self.parts.first_mut() {
            part.body.take_profile(depth, all);
        }
    }

    /// # Safety
    /// As for `Task::run`.
    pub unsafe fn run(&mut self, cx: Context) {
        let steps = &self.steps;
        // SAFETY: the plan's views are contiguous and inside their buffers; scratch memory is as `scratch` says.
        unsafe {
            if steps.count == 0 {
                for s in &steps.states {
                    std::ptr::copy(s.first.address(cx, 0), s.last.address(cx, 0), s.first.entry);
                }
                return;
            }
            let mut at = cx.scratch.add(steps.state_bytes);
            let inputs = steps.states.len() + steps.xs.len() + steps.constants.len();
            for (i, t) in self.turned.iter().enumerate() {
                t.copy(cx, steps.constants[t.constant].address(cx, 0), at);
                self.parts.iter_mut().for_each(|part| part.body.set_input(inputs + i, at));
                at = at.add(t.bytes);
            }
            let n = self.parts.len();
            for (i, part) in self.parts.iter_mut().enumerate() {
                let arena = match i {
                    0 => cx.arena.add(self.arena),
                    i => at.add(n * self.body_bytes + (i - 1) * self.arena_bytes),
                };
                part.body.place(arena, at.add(i * self.body_bytes));
            }
            let parts = Shared(self.parts.as_mut_ptr());
            // Each task has a part of its own.
            cx.pool.run(n, &|i| steps.run(cx, &mut *parts.get().add(i)));
        }
    }
}

impl Sequence {
    /// Address of the first entry, from row `first` on.
    ///
    /// # Safety
    /// The table must hold the buffer's address.
    unsafe fn address(&self, cx: Context, first: usize) -> *mut u8 {
        // SAFETY: the frame's contract, 2 and 6; views and rows lie inside their buffers.
        unsafe { cx.table.get(self.buffer).offset(self.offset).add(first * self.row) }
    }
}

impl Steps {
    /// `reads` are states, sequences from number `first[0]` on, constants from `first[1]` on; `writes` states, then
    /// sequences.
    fn new(
        (count, reverse): (usize, bool),
        first: [usize; 2],
        mut reads: Vec<Sequence>,
        mut writes: Vec<Sequence>,
    ) -> Steps {
        let constants = reads.split_off(first[1]);
        let xs = reads.split_off(first[0]);
        let ys = writes.split_off(first[0]);
        let mut state_bytes = 0;
        let mut state = |(first, last): (Sequence, Sequence)| {
            let (at, size) = (state_bytes, first.entry.next_multiple_of(64));
            state_bytes += 2 * size;
            State { first, last, places: [at, at + size] }
        };
        let states = reads.into_iter().zip(writes).map(&mut state).collect();
        Steps { count, reverse, states, xs, constants, ys, state_bytes }
    }

    /// All steps of one part.
    ///
    /// # Safety
    /// As for `Task::run`; the part has its memory and its turned constants.
    unsafe fn run(&self, cx: Context, part: &mut Part) {
        let (first, body) = (part.first, &mut part.body);
        let (carries, xs) = (self.states.len(), self.xs.len());
        // SAFETY: the plan's views are contiguous and inside their buffers; scratch memory begins with both places
        // of every state; entries `0..count` of sequences exist, and rows of parts are apart.
        unsafe {
            for (i, c) in self.constants.iter().enumerate() {
                body.set_input(carries + xs + i, c.address(cx, first));
            }
            for step in 0..self.count {
                let t = if self.reverse { self.count - 1 - step } else { step };
                for (i, s) in self.states.iter().enumerate() {
                    let between = |step: usize| cx.scratch.add(s.places[step % 2] + first * s.first.row);
                    let old = if step == 0 { s.first.address(cx, first) } else { between(step - 1) };
                    let last = step + 1 == self.count;
                    let new = if last { s.last.address(cx, first) } else { between(step) };
                    body.set_input(i, old);
                    body.set_output(i, new);
                }
                for (i, x) in self.xs.iter().enumerate() {
                    body.set_input(carries + i, x.address(cx, first).add(t * x.entry));
                }
                for (i, y) in self.ys.iter().enumerate() {
                    body.set_output(carries + i, y.address(cx, first).add(t * y.entry));
                }
                body.run(cx.pool);
            }
        }
    }
}

/// The body as one part, or once for the rows of each thread.
fn parts(body: &Plan, place: &Body, split: Option<&(Rows, usize)>, setting: &Setting) -> Result<Vec<Part>> {
    let Some((rows, n)) = split else {
        return Ok(vec![Part { body: Frame::new(body, &place.layout, setting)?, first: 0 }]);
    };
    let start = |i: usize| i * rows.all / n;
    let part = |i: usize| {
        let mut bindings = setting.bindings.clone();
        bindings.insert(rows.symbol.clone(), start(i + 1) - start(i));
        // Smaller buffers fit where those of the whole batch would lie.
        let body = Frame::new(body, &place.layout, &Setting { bindings: &bindings, ..*setting })?;
        Ok(Part { body, first: start(i) })
    };
    (0..*n).map(part).collect()
}
