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
//!
//! It can also run short of memory on purpose, as a computer does.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};

/// The system's allocator, counted.
pub struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicIsize = AtomicIsize::new(0);
static LIMIT: AtomicIsize = AtomicIsize::new(isize::MAX);

/// Allocations so far, of all threads; 0 where the program does not use [`Counting`].
pub fn allocations() -> usize {
    CALLS.load(Relaxed)
}

/// Bytes allocated and not given back.
pub fn live_bytes() -> isize {
    LIVE.load(Relaxed)
}

/// From now on no more than `bytes` may be live: an allocation beyond fails. What is live already stays.
pub fn limit(bytes: usize) {
    LIMIT.store(isize::try_from(bytes).unwrap_or(isize::MAX), Relaxed);
}

/// Counts an allocation, unless it goes beyond the limit.
fn count(bytes: isize) -> bool {
    if LIVE.fetch_add(bytes, Relaxed).saturating_add(bytes) > LIMIT.load(Relaxed) && bytes > 0 {
        LIVE.fetch_sub(bytes, Relaxed);
        return false;
    }
    CALLS.fetch_add(1, Relaxed);
    true
}

// SAFETY: every call is passed on to the system's allocator, or answered with null, which says that there is no memory
// and leaves a block to be made larger as it is; counting touches no memory of the caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !count(layout.size() as isize) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !count(layout.size() as isize) {
            return std::ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !count(size as isize - layout.size() as isize) {
            return std::ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { System.realloc(p, layout, size) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(p, layout) }
    }
}
