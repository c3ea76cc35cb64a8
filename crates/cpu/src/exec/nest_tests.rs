//! Random programs over random views, against the plain meaning element by element.

use super::axes::NestBuilder;
use super::resolve::{Lane, Setting};
use super::side::row_major;
use crate::exec::testing::{Memory, Random, offset, view};
use crate::isa::Isa;
use crate::pool::Pool;
use crate::tile::space::Table;
use rhyton_graph::ops::{Binary, Elementwise, Scalar, Unary};
use rhyton_graph::plan::{Instruction, Program, Step};
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{Bindings, DType};

fn instruction(r: &mut Random, dtypes: &[DType], rank: usize) -> Instruction {
    use Binary::*;
    let of = |r: &mut Random, d: DType| {
        let all: Vec<usize> = (0..dtypes.len()).filter(|i| dtypes[*i] == d).collect();
        (!all.is_empty()).then(|| r.pick(&all))
    };
    loop {
        let d = r.dtype();
        let (a, b, c) = (of(r, d), of(r, d), of(r, DType::Bool));
        let (op, args, dtype) = match (r.below(8), a, b, c) {
            (0, ..) => (Step::Constant(Scalar::from_f64(r.below(7) as f64 - 3.0, d)), vec![], d),
            (1, ..) if rank > 0 => (Step::Position(r.below(rank)), vec![], DType::I32),
            (2, Some(a), ..) => {
                let to = r.dtype();
                (Step::Apply(Elementwise::Cast(to)), vec![a], to)
            }
            (3, Some(a), Some(b), Some(c)) => (Step::Apply(Elementwise::Select), vec![c, a, b], d),
            (4, Some(a), ..) => {
                let u = match d {
                    DType::Bool => Unary::Not,
                    _ => r.pick(&[Unary::Neg, Unary::Abs, Unary::Sign, Unary::StopGradient]),
                };
                (Step::Apply(Elementwise::Unary(u)), vec![a], d)
            }
            (_, Some(a), Some(b), _) => {
                let (op, bool) = match d {
                    DType::Bool => (r.pick(&[And, Or, Equal]), true),
                    DType::I32 => (r.pick(&[Add, Sub, Max, Min, Less, LessEqual, Equal]), false),
                    _ => (r.pick(&[Add, Sub, Mul, Div, Max, Min, Less, LessEqual, Equal]), false),
                };
                let to = if bool || op.is_bool() { DType::Bool } else { d };
                (Step::Apply(Elementwise::Binary(op)), vec![a, b], to)
            }
            _ => continue,
        };
        return Instruction { op, args, dtype };
    }
}

fn program(r: &mut Random, rank: usize) -> Program {
    let inputs: Vec<DType> = (0..r.below(4)).map(|_| r.dtype()).collect();
    let mut dtypes = inputs.clone();
    let mut code = vec![];
    for _ in 0..1 + r.below(12) {
        let i = instruction(r, &dtypes, rank);
        dtypes.push(i.dtype);
        code.push(i);
    }
    let outputs = (0..1 + r.below(3)).map(|_| r.below(dtypes.len())).collect();
    Program { inputs, code, outputs }
}

/// Every step in double precision, then rounded to its type.
fn expected(p: &Program, sizes: &[usize], reads: &[Lane], writes: &[Lane], memory: &mut [Memory]) {
    for at in rhyton_graph::interp::coordinates(sizes) {
        let mut x: Vec<f64> = reads.iter().map(|l| memory[l.buffer].values[offset(l, &at)]).collect();
        for i in &p.code {
            let args: Vec<f64> = i.args.iter().map(|a| x[*a]).collect();
            let y = match &i.op {
                Step::Apply(e) => e.eval(&args, i.dtype),
                Step::Constant(s) => s.as_f64(),
                Step::Size(_) => unreachable!("not generated"),
                Step::Position(a) => at[*a] as f64,
            };
            x.push(if i.dtype == DType::F32 { f64::from(y as f32) } else { y });
        }
        for (w, r) in writes.iter().zip(&p.outputs) {
            memory[w.buffer].values[offset(w, &at)] = x[*r];
        }
    }
}

fn one_case(seed: u64) {
    let mut r = Random(Stream::new(seed, 0, 0));
    let rank = r.below(4);
    let most = [2000, 60, 14, 14][rank.max(1) - 1];
    let sizes: Vec<usize> = (0..rank).map(|_| r.below(most)).collect();
    let p = program(&mut r, rank);
    let mut memory: Vec<Memory> = vec![];
    let mut lanes = vec![];
    let n = p.inputs.len();
    let types = p
        .inputs
        .iter()
        .copied()
        .chain(p.outputs.iter().map(|o| if *o < n { p.inputs[*o] } else { p.code[*o - n].dtype }));
    for (i, dtype) in types.enumerate() {
        let (lane, len) = view(&mut r, i, &sizes, i < n);
        let values = (0..len)
            .map(|_| if dtype == DType::Bool { r.below(2) as f64 } else { r.below(9) as f64 - 4.0 })
            .collect();
        memory.push(Memory { dtype, values });
        lanes.push(lane);
    }
    // Some outputs overwrite an input in place.
    for w in n..lanes.len() {
        let i = r.below(n + 1);
        let whole = |l: &Lane| l.strides.iter().zip(&sizes).all(|(s, n)| *s != 0 || *n < 2);
        let taken = |l: &Lane| lanes[n..].iter().any(|o| o.buffer == l.buffer);
        if i < n && memory[i].dtype == memory[w].dtype && whole(&lanes[i]) && !taken(&lanes[i]) {
            lanes[w] = lanes[i].clone();
        }
    }
    let (reads, writes) = lanes.split_at(n);
    let mut want = memory.clone();
    expected(&p, &sizes, reads, writes, &mut want);
    for isa in Isa::available() {
        for threads in [1, 3] {
            let setting = Setting { isa, threads, bindings: &Bindings::new(), profile: false };
            let sources: Vec<Option<Lane>> = reads.iter().cloned().map(Some).collect();
            let builder = NestBuilder {
                setting: &setting,
                program: &p,
                sizes: &sizes,
                groups: None,
                reads: &sources,
                writes,
            };
            let nest = builder.build().unwrap();
            let mut bytes: Vec<Vec<u8>> = memory.iter().map(Memory::bytes).collect();
            let table: Vec<*mut u8> = bytes.iter_mut().map(|b| b.as_mut_ptr()).collect();
            // SAFETY: every view lies inside its buffer.
            unsafe { nest.all(&Pool::new(threads), Table(table.as_ptr())) };
            for (i, (got, want)) in bytes.iter().zip(&want).enumerate() {
                let got = Memory::from_bytes(want.dtype, got);
                for (e, (g, w)) in got.values.iter().zip(&want.values).enumerate() {
                    let same = g == w || (g.is_nan() && w.is_nan());
                    assert!(
                        same,
                        "seed {seed} {isa:?}: buffer {i} element {e} is {g}, not {w}\n{sizes:?} {p:?} {lanes:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn random_programs_over_random_views() {
    for seed in 0..1500 {
        one_case(seed);
    }
}

#[test]
fn row_major_strides() {
    assert_eq!(row_major(&[2, 3, 4]), [12, 4, 1]);
    assert_eq!(row_major(&[]), [0; 0]);
}
