//! Graphs, functions and plans give their memory back.

use rhyton_graph::reference::ReferenceBackend;
use rhyton_graph::testing::{random_function, with_gradients};
use rhyton_graph::{Expr, Function, Type, compile};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

struct Counting;
static LIVE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call is handed to the system allocator unchanged; counting touches no memory of the caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn memory_is_flat_and_long_chains_drop() {
    let round = |seed: u64| {
        let f = with_gradients(&random_function(seed, 15));
        compile(&f, 0, &[], &ReferenceBackend::default()).unwrap();
    };
    round(3);
    let before = LIVE.load(Ordering::Relaxed);
    (0..500).for_each(|i| round(i % 10));
    let f = Function::trace("deep", &[Type::f32([2])], |p| {
        vec![(0..200_000).fold(p[0].clone(), |x: Expr, _| x.exp())]
    });
    drop(f);
    let grown = LIVE.load(Ordering::Relaxed) - before;
    assert!(grown.abs() < 4096, "{grown} bytes more");
}
