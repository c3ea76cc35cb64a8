//! What the tests of prepared launches share.

use super::resolve::Lane;
use super::resolve::Setting;
use super::task::{Context, Task};
use crate::isa::Isa;
use crate::pool::Pool;
use crate::tile::space::Table;
use rhyton_graph::plan::{Buffer, Kernel, Launch, Place, Plan, View};
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{Bindings, DType, Dim};

/// Random choices.
pub(crate) struct Random(pub Stream);

impl Random {
    pub fn below(&mut self, n: usize) -> usize {
        self.0.below(n as u32) as usize
    }
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
    pub fn dtype(&mut self) -> DType {
        self.pick(&[DType::F32, DType::F32, DType::I32, DType::Bool])
    }
}

/// Memory of one buffer: values as doubles, stored in its type.
#[derive(Clone)]
pub(crate) struct Memory {
    pub dtype: DType,
    pub values: Vec<f64>,
}

impl Memory {
    pub fn bytes(&self) -> Vec<u8> {
        let one = |x: &f64| match self.dtype {
            DType::Bool => vec![u8::from(*x != 0.0)],
            DType::I32 => (*x as i32).to_le_bytes().to_vec(),
            DType::I8 => vec![*x as i8 as u8],
            _ => (*x as f32).to_le_bytes().to_vec(),
        };
        self.values.iter().flat_map(one).collect()
    }
    pub fn from_bytes(dtype: DType, bytes: &[u8]) -> Memory {
        let word = |c: &[u8]| [c[0], c[1], c[2], c[3]];
        let values = match dtype {
            DType::Bool => bytes.iter().map(|b| f64::from(*b)).collect(),
            DType::I8 => bytes.iter().map(|b| f64::from(*b as i8)).collect(),
            DType::I32 => bytes.chunks(4).map(|c| f64::from(i32::from_le_bytes(word(c)))).collect(),
            _ => bytes.chunks(4).map(|c| f64::from(f32::from_le_bytes(word(c)))).collect(),
        };
        Memory { dtype, values }
    }
}

/// A view of a buffer of its own over `sizes`: axes permuted, repeated (inputs only), reversed or with gaps.
pub(crate) fn view(r: &mut Random, buffer: usize, sizes: &[usize], input: bool) -> (Lane, usize) {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    if r.below(3) == 0 {
        r.0.shuffle(&mut order);
    }
    let (mut strides, mut offset, mut unit) = (vec![0isize; sizes.len()], 0isize, 1usize);
    let plain = r.below(2) == 0;
    for a in order.into_iter().rev() {
        if input && !plain && r.below(3) == 0 {
            continue;
        }
        let gap = if plain || r.below(4) > 0 { 1 } else { 2 };
        strides[a] = (unit * gap) as isize;
        if !plain && r.below(5) == 0 && sizes[a] > 0 {
            offset += strides[a] * (sizes[a] as isize - 1);
            strides[a] = -strides[a];
        }
        unit *= gap * sizes[a].max(1);
    }
    (Lane { buffer, offset, strides }, unit + 1)
}

/// Position of an element.
pub(crate) fn offset(lane: &Lane, at: &[usize]) -> usize {
    let o = lane.strides.iter().zip(at).fold(lane.offset, |o, (s, i)| o + s * *i as isize);
    usize::try_from(o).unwrap()
}

fn signed(n: isize) -> Dim {
    if n < 0 { Dim::default() - Dim::fixed(n.unsigned_abs()) } else { Dim::fixed(n as usize) }
}

/// Runs one launch over these buffers on `isa` with `threads`; the buffers afterwards, as bytes.
pub(crate) fn launch(
    kernel: &Kernel,
    reads: &[Lane],
    writes: &[Lane],
    memory: &[Memory],
    isa: Isa,
    threads: usize,
) -> Vec<Vec<u8>> {
    let views = |lanes: &[Lane]| -> Vec<View> {
        let view = |l: &Lane| View {
            buffer: l.buffer,
            offset: signed(l.offset),
            strides: l.strides.iter().map(|s| signed(*s)).collect(),
        };
        lanes.iter().map(view).collect()
    };
    let buffer = |m: &Memory| Buffer {
        dtype: m.dtype,
        shape: vec![Dim::fixed(m.values.len())].into_iter().collect(),
        place: Place::Temp,
    };
    let launch =
        Launch { kernel: kernel.clone(), reads: views(reads), writes: views(writes), label: "test".into() };
    let plan = Plan {
        name: "test".into(),
        params: vec![],
        buffers: memory.iter().map(buffer).collect(),
        launches: vec![],
        inputs: vec![],
        state: 0,
        updates: vec![],
        stop: None,
        outputs: vec![],
    };
    let bindings = Bindings::new();
    let setting = Setting { isa, threads, bindings: &bindings, profile: false };
    let mut task = Task::new(&plan, &launch, None, &setting).unwrap();
    let mut bytes: Vec<Vec<u8>> = memory.iter().map(Memory::bytes).collect();
    let table: Vec<*mut u8> = bytes.iter_mut().map(|b| b.as_mut_ptr()).collect();
    let mut scratch = vec![u64::MAX; task.scratch() / 8 + 16];
    let scratch = scratch.as_mut_ptr().cast::<u8>();
    let scratch = scratch.wrapping_add(scratch.align_offset(64));
    // SAFETY: views lie inside their buffers, scratch memory is as large as asked for.
    let pool = Pool::new(threads);
    let cx = Context { isa, pool: &pool, table: Table(table.as_ptr()), arena: scratch, scratch };
    unsafe { task.run(cx) };
    bytes
}

/// The same launch at several thread counts on every instruction set: `check` sees the buffers of each set, which
/// must have the same bits at any thread count.
pub(crate) fn everywhere(
    kernel: &Kernel,
    reads: &[Lane],
    writes: &[Lane],
    memory: &[Memory],
    check: impl Fn(&[Memory], Isa),
) {
    for isa in Isa::available() {
        let one = launch(kernel, reads, writes, memory, isa, 1);
        for threads in [2, 3] {
            assert_eq!(
                one,
                launch(kernel, reads, writes, memory, isa, threads),
                "{isa:?}, {threads} threads"
            );
        }
        let got: Vec<Memory> = one.iter().zip(memory).map(|(b, m)| Memory::from_bytes(m.dtype, b)).collect();
        check(&got, isa);
    }
}
