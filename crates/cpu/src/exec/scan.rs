//! Loops: the body is a frame of its own, prepared once; a step only sets addresses.

use super::element_bytes;
use super::frame::Frame;
use super::resolve::Setting;
use super::task::Context;
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
}

/// A prepared loop.
pub(crate) struct ScanTask {
    steps: usize,
    reverse: bool,
    pub body: Frame,
    states: Vec<State>,
    xs: Vec<Sequence>,
    constants: Vec<Sequence>,
    ys: Vec<Sequence>,
    /// Byte offset of the body's arena in the outer one.
    arena: usize,
    /// Bytes for the body's own scratch memory; the states between steps lie behind it.
    body_bytes: usize,
    state_bytes: usize,
}

/// A state: between steps it lies in one of two places in turn, so that a step can read the old one while it
/// writes the new one.
struct State {
    first: Sequence,
    last: Sequence,
    places: [usize; 2],
}

impl ScanTask {
    pub fn new(plan: &Plan, launch: &Launch, place: Option<&Body>, setting: &Setting) -> Result<ScanTask> {
        let Kernel::Scan { length, reverse, carries, xs, body } = &launch.kernel else {
            return Err(Error::new("not a loop"));
        };
        let place = place.ok_or_else(|| Error::new("the memory plan lacks the body of a loop"))?;
        let steps = setting.size(length)?;
        let (carries, xs) = (*carries, *xs);
        let fits = launch.reads.len() == body.inputs.len()
            && launch.writes.len() == body.outputs.len()
            && launch.reads.len() >= carries + xs
            && launch.writes.len() >= carries;
        let known = body.inputs.iter().chain(&body.outputs).all(|b| *b < body.buffers.len());
        if !fits || !known {
            return Err(Error::new("a loop's views do not fit its body"));
        }
        let sequence = |view: &View, inner: usize| -> Result<Sequence> {
            let bytes = element_bytes(plan.buffers[view.buffer].dtype);
            let entry = setting.sizes(&body.buffers[inner].shape)?.iter().product::<usize>() * bytes;
            let offset = setting.signed(&view.offset)? * bytes as isize;
            Ok(Sequence { buffer: view.buffer, offset, entry })
        };
        let read = |i: usize| sequence(&launch.reads[i], body.inputs[i]);
        let write = |i: usize| sequence(&launch.writes[i], body.outputs[i]);
        let mut state_bytes = 0;
        let mut states = vec![];
        for i in 0..carries {
            let (first, last) = (read(i)?, write(i)?);
            let size = first.entry.next_multiple_of(64);
            states.push(State { first, last, places: [state_bytes, state_bytes + size] });
            state_bytes += 2 * size;
        }
        let frame = Frame::new(body, &place.layout, setting)?;
        Ok(ScanTask {
            steps,
            reverse: *reverse,
            states,
            xs: (carries..carries + xs).map(read).collect::<Result<_>>()?,
            constants: (carries + xs..launch.reads.len()).map(read).collect::<Result<_>>()?,
            ys: (carries..launch.writes.len()).map(write).collect::<Result<_>>()?,
            arena: place.offset,
            body_bytes: frame.bytes().1.next_multiple_of(64),
            body: frame,
            state_bytes,
        })
    }

    pub fn scratch(&self) -> usize {
        self.body_bytes + self.state_bytes
    }

    /// # Safety
    /// As for `Task::run`.
    pub unsafe fn run(&mut self, cx: Context) {
        // SAFETY: the plan's views are contiguous and inside their buffers; scratch memory holds the body's scratch
        // and both places of every state; entries `0..steps` of sequences exist.
        unsafe {
            let address = |s: &Sequence| cx.table.get(s.buffer).offset(s.offset);
            if self.steps == 0 {
                for s in &self.states {
                    std::ptr::copy(address(&s.first), address(&s.last), s.first.entry);
                }
                return;
            }
            self.body.place(cx.arena.add(self.arena), cx.scratch);
            let between = cx.scratch.add(self.body_bytes);
            let (carries, xs) = (self.states.len(), self.xs.len());
            for (i, c) in self.constants.iter().enumerate() {
                self.body.set_input(carries + xs + i, address(c));
            }
            for step in 0..self.steps {
                let t = if self.reverse { self.steps - 1 - step } else { step };
                for (i, s) in self.states.iter().enumerate() {
                    let old =
                        if step == 0 { address(&s.first) } else { between.add(s.places[(step - 1) % 2]) };
                    let new = if step + 1 == self.steps {
                        address(&s.last)
                    } else {
                        between.add(s.places[step % 2])
                    };
                    self.body.set_input(i, old);
                    self.body.set_output(i, new);
                }
                for (i, x) in self.xs.iter().enumerate() {
                    self.body.set_input(carries + i, address(x).add(t * x.entry));
                }
                for (i, y) in self.ys.iter().enumerate() {
                    self.body.set_output(carries + i, address(y).add(t * y.entry));
                }
                self.body.run(cx.pool);
            }
        }
    }
}
