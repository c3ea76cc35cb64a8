//! The memory of temporaries.

use rhyton_tensor::Result;
use rhyton_tensor::memory::{self, Held};

/// Memory that every frame of a program uses in turn.
#[derive(Default)]
pub(crate) struct Arena {
    memory: Vec<Line>,
    /// Counts it.
    _held: Option<Held>,
}

/// A cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

impl Arena {
    /// Bytes there are.
    pub fn bytes(&self) -> usize {
        self.memory.len() * 64
    }

    /// Makes room; what was in it is lost.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn reserve(&mut self, bytes: usize) -> Result<()> {
        let lines = bytes.div_ceil(64);
        if lines > self.memory.len() {
            (self.memory, self._held) = (vec![], None);
            let mut memory = memory::room(lines)?;
            self._held = Some(Held::given(lines * 64));
            // Before the first touch: later the small pages are there already.
            huge_pages(&memory);
            memory.resize(lines, Line([0; 64]));
            self.memory = memory;
        }
        Ok(())
    }

    /// First byte, 64-byte aligned.
    pub fn base(&mut self) -> *mut u8 {
        self.memory.as_mut_ptr().cast()
    }
}

/// Asks for pages of 2 MiB where the whole capacity has room for them: loops stream through many arrays at once, and
/// each small page costs a walk through the page tables of the machine and of its host.
#[cfg(target_os = "linux")]
fn huge_pages(memory: &Vec<Line>) {
    const HUGE: usize = 2 << 20;
    const MADV_HUGEPAGE: i32 = 14;
    unsafe extern "C" {
        fn madvise(address: *mut std::ffi::c_void, bytes: usize, advice: i32) -> i32;
    }
    let start = memory.as_ptr() as usize;
    let (from, to) = (start.next_multiple_of(HUGE), (start + memory.capacity() * 64) / HUGE * HUGE);
    if from < to {
        // SAFETY: whole pages inside memory that the vector owns; the advice changes no content. A kernel that
        // refuses it leaves small pages, which is why the answer does not matter.
        unsafe { madvise(from as *mut std::ffi::c_void, to - from, MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn huge_pages(_: &Vec<Line>) {}
