//! Iteration spaces and what lies over them.

use super::code::{Access, Stage};
use rhyton_graph::plan::Register;
use rhyton_tensor::DType;

/// Sizes of an iteration space by what they are for: independent batches, rows and columns of a block. Each is a
/// list of axes in row-major order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Space<T> {
    /// Batches.
    pub batch: Vec<T>,
    /// Rows.
    pub rows: Vec<T>,
    /// Columns.
    pub cols: Vec<T>,
}

/// What an input or output of the program is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// A buffer, from this element on.
    Buffer {
        /// Index in the table of pointers.
        buffer: usize,
        /// First element.
        offset: isize,
    },
    /// The block given from outside (a product's tile).
    Block,
    /// The position itself: its value is the offset that its strides give.
    Count,
}

/// An input or output.
#[derive(Clone, Debug)]
pub struct Argument {
    /// Register of the program.
    pub register: Register,
    /// Element type.
    pub dtype: DType,
    /// Where.
    pub place: Place,
    /// Distance in elements along every axis.
    pub strides: Space<isize>,
    /// Overwritten by one result while another one still needs it: moved to a register first.
    pub overwritten: bool,
    /// One row for many short ones: see [`Access::Repeated`].
    pub repeated: bool,
}

impl Argument {
    /// Distance between rows.
    pub fn row(&self) -> isize {
        self.strides.rows.last().copied().unwrap_or(0)
    }
    /// Distance between columns.
    pub fn col(&self) -> isize {
        self.strides.cols.last().copied().unwrap_or(0)
    }
    /// Bytes of an element.
    pub fn bytes(&self) -> usize {
        self.dtype.size_bytes()
    }
    /// How it lies over a tile.
    pub fn access(&self) -> Access {
        match self.place {
            Place::Block => Access::Unit,
            Place::Count if self.col() != 0 => Access::Strided,
            // Registers hold bfloat16 as float32.
            _ if (self.overwritten || self.dtype == DType::BF16) && self.col() != 0 => Access::Strided,
            _ if self.repeated => Access::Repeated,
            _ => Access::of(self.row(), self.col()),
        }
    }
    /// How often it must be read.
    pub fn stage(&self) -> Stage {
        match self.access() {
            _ if self.once() => Stage::Once,
            Access::One | Access::Repeated => Stage::Patch,
            _ => Stage::Tile,
        }
    }
    /// The same value at every element.
    fn once(&self) -> bool {
        let s = &self.strides;
        self.place != Place::Block && s.batch.iter().chain(&s.rows).chain(&s.cols).all(|x| *x == 0)
    }
}

/// The address of every buffer, shared between threads.
#[derive(Clone, Copy)]
pub struct Table(pub *const *mut u8);

// SAFETY: whoever runs a kernel promises that its parts write disjoint places (see `LoopNest::block`).
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

impl Table {
    /// Address of a buffer.
    ///
    /// # Safety
    /// The table must have an entry for it.
    #[inline(always)]
    pub unsafe fn get(self, buffer: usize) -> *mut u8 {
        // SAFETY: the caller promises that the entry exists.
        unsafe { *self.0.add(buffer) }
    }
}

/// Rows or columns that follow one another with one stride.
pub struct Run {
    /// First.
    pub at: usize,
    /// Number.
    pub len: usize,
}

/// Number of elements.
pub fn product(sizes: &[usize]) -> usize {
    sizes.iter().product()
}

/// Offset of the element `linear` of axes in row-major order.
pub fn locate(sizes: &[usize], strides: &[isize], mut linear: usize) -> isize {
    let mut offset = 0;
    for (n, s) in sizes.iter().zip(strides).skip(1).rev() {
        offset += (linear % n) as isize * s;
        linear /= n;
    }
    // No division where it would leave things as they are.
    offset + linear as isize * strides.first().copied().unwrap_or(0)
}

/// Cuts `from..to` where the innermost axis of `sizes` ends.
pub fn runs(sizes: &[usize], from: usize, to: usize) -> impl Iterator<Item = Run> {
    let inner = if sizes.len() > 1 { sizes[sizes.len() - 1] } else { usize::MAX };
    let mut at = from;
    std::iter::from_fn(move || {
        let len = (inner - at % inner).min(to - at);
        let run = Run { at, len };
        at += len;
        (len > 0).then_some(run)
    })
}
