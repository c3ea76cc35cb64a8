//! An allocator that counts, for programs that report or test what they allocate:
//!
//! ```
//! use rhyton_cpu::counting::{Counting, allocations};
//! #[global_allocator]
//! static ALLOCATOR: Counting = Counting;
//!
//! let before = allocations();
//! let boxed = Box::new(3);
//! assert!(allocations() > before && *boxed == 3);
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};

/// The system's allocator, counted.
pub struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicIsize = AtomicIsize::new(0);

/// Allocations so far, of all threads; 0 where the program does not use [`Counting`].
pub fn allocations() -> usize {
    CALLS.load(Relaxed)
}

/// Bytes allocated and not given back.
pub fn live_bytes() -> isize {
    LIVE.load(Relaxed)
}

fn count(bytes: isize) {
    CALLS.fetch_add(1, Relaxed);
    LIVE.fetch_add(bytes, Relaxed);
}

// SAFETY: every call is passed on to the system's allocator; counting touches no memory of the caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(p, layout, size) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(p, layout) }
    }
}
