//! Reductions over any axes, sizes and layouts.

use super::FOLDS;
use crate::exec::resolve::Lane;
use crate::exec::testing::{Memory, Random, everywhere, offset, view};
use rhyton_graph::interp::coordinates;
use rhyton_graph::ops::{Binary, Elementwise, Fold};
use rhyton_graph::plan::{Instruction, Kernel, Program, Reduction, Step};
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{DType, Dim};

fn one_case(seed: u64, most: usize) {
    let mut r = Random(Stream::new(seed, 2, 0));
    let rank = 1 + r.below(4);
    let most = [most, most / 20, most / 100, 9][rank - 1].max(2);
    let mut sizes: Vec<usize> = (0..rank).map(|_| r.below(most)).collect();
    while sizes.iter().product::<usize>() > 300_000 {
        let widest = (0..rank).max_by_key(|i| sizes[*i]).unwrap();
        sizes[widest] /= 2;
    }
    let folded = r.below(rank + 1);
    let kept = &sizes[..rank - folded];
    let dtype = r.pick(&[DType::F32, DType::F32, DType::I32]);
    let folds = [Fold::Sum, Fold::Sum, Fold::Max, Fold::Min].map(Reduction::Fold);
    let count = 1 + r.below(FOLDS);
    let all = [folds[0], folds[1], folds[2], folds[3], Reduction::ArgMax];
    // The first alone, or several; of sums, maybe of products.
    let folds: Vec<Reduction> = (0..count).map(|_| r.pick(&all)).collect();
    let (a, na) = view(&mut r, 0, &sizes, true);
    let (b, nb) = view(&mut r, 1, &sizes, true);
    let written: Vec<(Lane, usize)> = (0..count).map(|i| view(&mut r, 2 + i, kept, false)).collect();
    let special = dtype == DType::F32 && r.below(4) == 0;
    let mut fill = |dtype, n: usize| {
        let value =
            |r: &mut Random| if special && r.below(200) == 0 { f64::NAN } else { r.below(17) as f64 - 8.0 };
        Memory { dtype, values: (0..n).map(|_| value(&mut r)).collect() }
    };
    let mut memory = vec![fill(dtype, na), fill(dtype, nb)];
    for (fold, (_, n)) in folds.iter().zip(&written) {
        let dtype = if *fold == Reduction::ArgMax { DType::I32 } else { dtype };
        memory.push(Memory { dtype, values: vec![7.0; *n] });
    }
    let writes: Vec<Lane> = written.into_iter().map(|(w, _)| w).collect();
    let ops = [Binary::Add, Binary::Mul].map(Elementwise::Binary);
    let step = |op: Elementwise, args: Vec<usize>| Instruction { op: Step::Apply(op), args, dtype };
    // Registers: a, b, a + b, a * b, (a * b) * b.
    let code = vec![step(ops[0], vec![0, 1]), step(ops[1], vec![0, 1]), step(ops[1], vec![3, 1])];
    let values = |at: &[usize]| {
        let (a, b) = (memory[0].values[offset(&a, at)], memory[1].values[offset(&b, at)]);
        [a, b, a + b, a * b, a * b * b]
    };
    let outputs: Vec<usize> = (0..count).map(|_| r.below(5)).collect();
    let program = Program { inputs: vec![dtype; 2], code, outputs: outputs.clone() };
    let shape = sizes.iter().map(|n| Dim::fixed(*n)).collect();
    let kernel = Kernel::Reduce { shape, folded, folds: folds.clone(), program };
    let mut want = memory.clone();
    for at in coordinates(kept) {
        let all: Vec<[f64; 5]> = coordinates(&sizes[rank - folded..])
            .map(|f| values(&at.iter().chain(&f).copied().collect::<Vec<usize>>()))
            .collect();
        for (i, fold) in folds.iter().enumerate() {
            let folded = all.iter().map(|v| v[outputs[i]]).collect();
            want[2 + i].values[offset(&writes[i], &at)] = meaning(*fold, folded);
        }
    }
    everywhere(&kernel, &[a.clone(), b.clone()], &writes, &memory, |got, isa| {
        for (got, want) in got.iter().zip(&want).skip(2) {
            for (e, (g, w)) in got.values.iter().zip(&want.values).enumerate() {
                let w = if got.dtype == DType::I32 { f64::from(*w as i32) } else { *w };
                // Sums of products beyond 2^24 round.
                let near = (g - w).abs() <= 1e-6 * w.abs() || (g.is_nan() && w.is_nan()) || *g == w;
                assert!(near, "seed {seed} {isa:?} {e}: {g}, not {w}; {kernel:?}");
            }
        }
    });
}

fn meaning(fold: Reduction, values: Vec<f64>) -> f64 {
    match fold {
        Reduction::Fold(Fold::Sum) => values.iter().sum(),
        Reduction::Fold(Fold::Max) => values.iter().fold(f64::NEG_INFINITY, |a, b| Binary::Max.eval(a, *b)),
        Reduction::Fold(Fold::Min) => values.iter().fold(f64::INFINITY, |a, b| Binary::Min.eval(a, *b)),
        Reduction::ArgMax => {
            let better = |a: f64, b: f64| b > a || (b.is_nan() && !a.is_nan());
            let first = (0..values.len()).reduce(|i, j| if better(values[i], values[j]) { j } else { i });
            first.map_or(0.0, |i| i as f64)
        }
    }
}

#[test]
fn small_reductions_of_any_layout() {
    for seed in 0..1500 {
        one_case(seed, 300);
    }
}

#[test]
fn large_reductions_are_cut_into_parts_by_shape_alone() {
    for seed in 0..25 {
        one_case(seed, 200_000);
    }
}

#[test]
fn long_sums_of_floats_stay_accurate() {
    let mut r = Random(Stream::new(5, 5, 5));
    for (rows, cols, folded) in [(300_007, 1, 1), (9_000, 33, 0), (7, 40_001, 1)] {
        let n = rows * cols;
        let values: Vec<f64> = (0..n).map(|_| f64::from(r.0.uniform())).collect();
        // Folds rows (0) or columns (1).
        let strides = if folded == 1 && cols > 1 { vec![cols as isize, 1] } else { vec![1, cols as isize] };
        let (kept, fold) = if folded == 1 && cols > 1 { (rows, cols) } else { (cols, rows) };
        let x = Lane { buffer: 0, offset: 0, strides };
        let y = Lane { buffer: 1, offset: 0, strides: vec![1] };
        let memory =
            [Memory { dtype: DType::F32, values }, Memory { dtype: DType::F32, values: vec![0.0; kept] }];
        let kernel = Kernel::Reduce {
            shape: vec![Dim::fixed(kept), Dim::fixed(fold)],
            folded: 1,
            folds: vec![Reduction::Fold(Fold::Sum)],
            program: Program { inputs: vec![DType::F32], code: vec![], outputs: vec![0] },
        };
        everywhere(&kernel, std::slice::from_ref(&x), &[y], &memory, |got, isa| {
            for k in 0..kept {
                let exact: f64 = (0..fold).map(|f| got[0].values[offset(&x, &[k, f])]).sum();
                let error = (got[1].values[k] - exact).abs() / exact;
                assert!(error < 3e-7, "{isa:?} {rows} x {cols}: {error}");
            }
        });
    }
}
