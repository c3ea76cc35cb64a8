//! A system that does not give memory: an error, and the program goes on working with what it has.

use rhyton_cpu::CpuBackend;
use rhyton_cpu::isa::Isa;
use rhyton_graph::testing::Runner;
use rhyton_graph::{Expr, Function, Type, compile};
use rhyton_tensor::{DType, Dim, Tensor, memory};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Stingy;

/// Larger pieces are not given.
static MOST: AtomicUsize = AtomicUsize::new(usize::MAX);

// SAFETY: every call is passed on to the system's allocator, or answered by null, which means that there is none.
unsafe impl GlobalAlloc for Stingy {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        if layout.size() > MOST.load(Relaxed) {
            std::ptr::null_mut()
        } else {
            unsafe { System.alloc(layout) }
        }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        if size > MOST.load(Relaxed) {
            std::ptr::null_mut()
        } else {
            unsafe { System.realloc(at, layout, size) }
        }
    }
}

#[global_allocator]
static ALLOCATOR: Stingy = Stingy;

/// A state that counts, and `(x @ w @ w).sum()`, which needs an arena, or `exp(x)`, which needs none.
fn program(arena: bool) -> Runner {
    let counter = Expr::param("counter", Type::f32([16]));
    let x = Expr::param("x", Type::f32(vec![Dim::symbol("batch"), 16.into()]));
    let w = Expr::param("w", Type::f32([16, 16]));
    let y = if arena { x.matmul(&w).matmul(&w).sum_all() } else { x.exp() };
    let f = Function::new("train", vec![counter.clone(), x, w], vec![&counter + 1.0, y]);
    let backend = CpuBackend::with(1, Isa::detect());
    Runner::new(&backend, compile(&f, 1, &[(0, 0)], &backend).unwrap()).unwrap()
}

fn batch(n: usize) -> Vec<Tensor> {
    vec![
        Tensor::try_from_fn([n, 16], |i| i as f32 * 0.01).unwrap(),
        Tensor::try_full([16, 16], 0.1f32).unwrap(),
    ]
}

#[test]
fn refused_memory_is_an_error_and_no_state_is_lost() {
    memory::set_limit(1 << 40);
    let (small, large) = (batch(4), batch(1 << 16));
    for arena in [true, false] {
        let mut program = program(arena);
        let mut state = [Tensor::try_zeros(DType::F32, [16]).unwrap()];
        let (mut before, mut after) = (vec![], vec![]);
        program.run(&mut state, &small, &mut before).unwrap();
        for _ in 0..2 {
            MOST.store(1 << 20, Relaxed);
            let e = program.run(&mut state, &large, &mut vec![]).unwrap_err().to_string();
            MOST.store(usize::MAX, Relaxed);
            assert!(e.contains("the system does not give") && e.contains("train"), "{e}");
            program.run(&mut state, &small, &mut after).unwrap();
            assert!(before[0].same_bits(&after[0]));
        }
        program.run(&mut state, &large, &mut vec![]).unwrap();
        assert_eq!(state[0].as_slice::<f32>(), Some(&[4.0; 16][..]), "each run that succeeded counted once");
    }
    tensors();
}

fn tensors() {
    let t = Tensor::try_full([1 << 20], 1.0f32).unwrap();
    let (bytes, rows, mut shared) = (vec![0; 1 << 22], vec![0; 1 << 19], t.clone());
    MOST.store(1 << 20, Relaxed);
    let all = [
        Tensor::try_zeros(DType::F32, [1 << 20]).map(|_| ()),
        Tensor::try_full([1 << 20], 1i32).map(|_| ()),
        Tensor::try_from_fn([1 << 20], |i| i as f64).map(|_| ()),
        Tensor::from_le_bytes(DType::U8, [1 << 22], &bytes).map(|_| ()),
        t.rows(&rows).map(|_| ()),
        t.try_cast(DType::F64).map(|_| ()),
        Tensor::concat_rows(&[t.clone(), t.clone()]).map(|_| ()),
        shared.unshare(),
    ];
    MOST.store(usize::MAX, Relaxed);
    for (i, made) in all.iter().enumerate() {
        assert!(made.as_ref().is_err_and(|e| e.to_string().contains("does not give")), "{i}: {made:?}");
    }
}
