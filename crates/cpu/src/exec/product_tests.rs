//! Products over axes that no single stride can walk, with epilogues that read and write other layouts.

use super::resolve::Lane;
use super::testing::{Memory, Random, everywhere, offset, view};
use rhyton_graph::interp::coordinates;
use rhyton_graph::ops::{Binary, Elementwise};
use rhyton_graph::plan::{Instruction, Kernel, Program, Step};
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{DType, Dim};

fn one_case(seed: u64) {
    let mut r = Random(Stream::new(seed, 1, 0));
    let mut group =
        |most: usize, size: usize| (0..r.below(most)).map(|_| r.below(size)).collect::<Vec<usize>>();
    let (batch, m, n, k) = (group(3, 4), group(3, 9), group(3, 9), group(3, 7));
    let join = |parts: [&Vec<usize>; 3]| parts.into_iter().flatten().copied().collect::<Vec<usize>>();
    let sides = [join([&batch, &m, &k]), join([&batch, &k, &n]), join([&batch, &m, &n])];
    let with_epilogue = r.below(2) == 0;
    // Products of int8 are int32.
    let (side, sum) = r.pick(&[(DType::F32, DType::F32), (DType::I8, DType::I32)]);
    // Reads: both sides, then what is added; writes: the sum, the product.
    let spaces: Vec<(&Vec<usize>, bool)> = if with_epilogue {
        vec![(&sides[0], true), (&sides[1], true), (&sides[2], true), (&sides[2], false), (&sides[2], false)]
    } else {
        vec![(&sides[0], true), (&sides[1], true), (&sides[2], false)]
    };
    let (mut memory, mut lanes) = (vec![], vec![]);
    for (i, (sizes, input)) in spaces.iter().enumerate() {
        let (lane, len) = view(&mut r, i, sizes, *input);
        let values = (0..len).map(|_| r.below(9) as f64 - 4.0).collect();
        memory.push(Memory { dtype: if i < 2 { side } else { sum }, values });
        lanes.push(lane);
    }
    let (reads, writes): (&[Lane], &[Lane]) = lanes.split_at(if with_epilogue { 3 } else { 2 });
    let add = Instruction { op: Step::Apply(Elementwise::Binary(Binary::Add)), args: vec![0, 1], dtype: sum };
    let program = Program { inputs: vec![sum; 2], code: vec![add], outputs: vec![2, 0] };
    let dims = |s: &Vec<usize>| s.iter().map(|n| Dim::fixed(*n)).collect::<Vec<_>>();
    let kernel = Kernel::Dot {
        batch: dims(&batch),
        m: dims(&m),
        n: dims(&n),
        k: dims(&k),
        epilogue: with_epilogue.then_some(program),
    };
    let mut want = memory.clone();
    let (nb, nm) = (batch.len(), m.len());
    for at in coordinates(&sides[2]) {
        let mut sum = 0.0;
        for p in coordinates(&k) {
            let left: Vec<usize> = at[..nb + nm].iter().chain(&p).copied().collect();
            let right: Vec<usize> = at[..nb].iter().chain(&p).chain(&at[nb + nm..]).copied().collect();
            sum += memory[0].values[offset(&lanes[0], &left)] * memory[1].values[offset(&lanes[1], &right)];
        }
        if with_epilogue {
            want[3].values[offset(&lanes[3], &at)] = sum + memory[2].values[offset(&lanes[2], &at)];
            want[4].values[offset(&lanes[4], &at)] = sum;
        } else {
            want[2].values[offset(&lanes[2], &at)] = sum;
        }
    }
    everywhere(&kernel, reads, writes, &memory, |got, isa| {
        for (i, (g, w)) in got.iter().zip(&want).enumerate() {
            assert_eq!(g.values, w.values, "seed {seed} {isa:?} buffer {i}: {kernel:?} {lanes:?}");
        }
    });
}

#[test]
fn products_of_any_layout() {
    for seed in 0..400 {
        one_case(seed);
    }
}
