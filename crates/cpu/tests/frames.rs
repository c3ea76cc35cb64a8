//! What a session keeps for sizes seen before stays within its share of the memory limit. One test in a process of its
//! own, because it sets the limit and counts allocations.

mod common {
    #[allow(dead_code)] // of several networks, this file takes one
    pub mod models;
}

use common::models::dense_net;
use rhyton_cpu::CpuBackend;
use rhyton_cpu::counting::{Counting, allocations};
use rhyton_cpu::isa::Isa;
use rhyton_graph::compile;
use rhyton_graph::testing::{Runner, random_args};
use rhyton_tensor::{Tensor, memory};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_sizes_used_last_are_kept() {
    memory::set_limit(32 << 20);
    let m = dense_net();
    let backend = CpuBackend::with(1, Isa::detect());
    let plan = compile(&m.step, m.state, &m.updates, &backend).unwrap();
    let mut program = Runner::new(&backend, plan).unwrap();
    let mut args: Vec<Vec<Tensor>> = (1..=40).map(|n| random_args(&m.step, n, 3)).collect();
    let batches: Vec<Vec<Tensor>> = args.iter_mut().map(|a| a.split_off(m.state)).collect();
    let mut state = args.remove(0);
    let mut results: Vec<Vec<Tensor>> = vec![vec![]; batches.len()];
    // How many of these runs had to allocate.
    let mut fresh = |which: &mut dyn Iterator<Item = usize>| {
        let mut run = |i: usize| {
            let before = allocations();
            program.run(&mut state, &batches[i], &mut results[i]).unwrap();
            allocations() > before
        };
        which.map(&mut run).filter(|new| *new).count()
    };
    // Largest first, so that the arena and the results are there in the second round.
    fresh(&mut (0..40).rev());
    let again = fresh(&mut (0..40).rev());
    assert!(
        again == 40,
        "{again} of 40 frames are made anew: in turn, those that are needed are those dropped"
    );
    assert_eq!(fresh(&mut [1, 0, 1, 0].into_iter()), 0, "the last two are kept");
    assert_eq!(fresh(&mut [7, 0, 1, 7].into_iter()), 1, "a new one drops what was not used for longest");
}
