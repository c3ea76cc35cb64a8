//! Plans over sizes that no machine has, or that are almost nothing: a right result or an error, never a panic, never
//! a byte of somebody else. Alone in its process for its small memory limit; `.ci/sanitize` runs it under
//! AddressSanitizer.

use rhyton_cpu::CpuBackend;
use rhyton_cpu::isa::Isa;
use rhyton_graph::ops::{Contract, ConvKind, Convolution, Op, PoolKind, Window};
use rhyton_graph::testing::{Runner, assert_close, random_args};
use rhyton_graph::{Expr, Function, Type, compile, expr, interpret, text};
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{Bindings, DType, Dim, Result, Tensor, memory};

const LIMIT: usize = 32 << 20;
const EXTREMES: [usize; 17] = [
    0,
    9,
    64,
    1 << 16,
    1 << 20,
    1_923_865,
    (1 << 31) - 1,
    1 << 31,
    429_509_837,
    1 << 32,
    1 << 40,
    1 << 44,
    i64::MAX as usize - 1,
    i64::MAX as usize,
    1 << 63,
    usize::MAX - 1,
    usize::MAX,
];

struct Random(Stream);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0.below(n.max(1) as u32) as usize
    }
    /// Mostly small.
    fn size(&mut self) -> usize {
        if self.below(4) > 0 { self.below(6) } else { EXTREMES[self.below(EXTREMES.len())] }
    }
    fn dim(&mut self) -> Dim {
        match self.below(6) {
            0 => Dim::symbol("batch"),
            1 => Dim::symbol("batch") * self.size(),
            2 => Dim::fixed(self.size()) - Dim::symbol("batch"),
            _ => Dim::fixed(self.size()),
        }
    }

    /// `x` after one operation; poisoned where it makes no sense.
    fn step(&mut self, x: &Expr) -> Expr {
        let axis = self.below(x.rank());
        match self.below(13) {
            0 => {
                let mut shape = x.shape().0.clone();
                shape.insert(axis, self.dim());
                x.expand_dims(&[axis]).broadcast_to(shape)
            }
            1 => x.reshape([x.shape().elements()].to_vec()),
            2 => {
                let (a, n) = (self.size(), x.shape().elements());
                let rest = n.exact_div(&Dim::fixed(a.max(1))).unwrap_or_else(|| self.dim());
                x.reshape(vec![Dim::fixed(a.max(1)), rest])
            }
            3 => x.slice_step(axis, self.dim(), self.dim(), self.size()),
            4 => x.pad(axis, self.dim(), self.dim(), self.size(), 0.5),
            5 => Expr::concat(&[x.clone(), x.exp(), x.clone()], axis),
            6 => x.flip(axis),
            7 => x.sum(&[axis]),
            8 => x.argmax(axis).cast(DType::F32),
            9 => {
                let last = x.shape().last().cloned().unwrap_or_default();
                x.matmul(&Expr::full(vec![last, self.dim()], 0.5))
            }
            10 => x.gather(axis, &Expr::iota(vec![self.dim()], 0)),
            11 => self.conv(x),
            _ => self.pool(x),
        }
    }

    fn conv(&mut self, x: &Expr) -> Expr {
        let channels = x.shape().last().cloned().unwrap_or_default();
        let groups = if self.below(2) == 0 { 1 } else { self.size() };
        let w = Expr::full(vec![self.dim(), channels.floor_div(groups.max(1)), self.dim()], 0.5);
        let op = Contract::Conv(Convolution {
            kind: ConvKind::Forward,
            sizes: vec![self.dim()],
            strides: vec![self.size()],
            dilation: vec![self.size()],
            pad_lo: vec![self.dim()],
            groups,
        });
        Expr::apply(op, vec![x.clone(), w])
    }

    fn pool(&mut self, x: &Expr) -> Expr {
        let full = x.shape().get(1).cloned().unwrap_or_default();
        let op = Window {
            kind: if self.below(2) == 0 { PoolKind::Max } else { PoolKind::Sum },
            pooled: vec![self.dim()],
            full: vec![full],
            window: vec![self.size()],
            strides: vec![self.size()],
            pad_lo: vec![self.dim()],
        };
        Expr::apply(op, vec![x.clone()])
    }
}

/// A function of a few operations; those that make no sense are left out, and counted.
fn function(seed: u64, refused: &mut usize) -> Function {
    let mut random = Random(Stream::new(seed, 0, 5));
    let x = Expr::param("x", Type::f32(vec![Dim::symbol("batch"), 5.into(), 3.into()]));
    let mut y = x.clone();
    for _ in 0..2 + random.below(5) {
        let next = random.step(&y);
        match next.error() {
            Some(e) => {
                assert!(!e.to_string().is_empty());
                *refused += 1;
            }
            None if next.rank() > 0 => y = next,
            None => {}
        }
    }
    Function::new("f", vec![x], vec![y.sum_all(), y])
}

/// Whether the interpreter, which stores everything in double precision, is done in a moment.
fn is_small(f: &Function, batch: usize) -> bool {
    let bindings = Bindings::from([("batch".into(), batch)]);
    let few = |e: &Expr| {
        // A window is walked whole, though most of it lies beside the input.
        let window = match e.op() {
            Op::Window(w) => w.window.iter().all(|n| *n < 100),
            _ => true,
        };
        window && e.shape().eval(&bindings).is_some_and(|s| memory::elements(&s).is_ok_and(|n| n < 5000))
    };
    expr::topological(&f.results).iter().all(few)
}

fn run(f: &Function, args: &[Tensor], threads: usize) -> Result<Vec<Tensor>> {
    let backend = CpuBackend::with(threads, Isa::detect());
    let mut program = Runner::new(&backend, compile(f, 0, &[], &backend)?)?;
    let mut results = vec![];
    program.run(&mut [], args, &mut results)?;
    Ok(results)
}

#[test]
fn a_right_result_or_an_error() {
    memory::set_limit(LIMIT);
    let (mut refused, mut right, mut errors) = (0, 0, 0);
    let seeds: u64 = std::env::var("RHYTON_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(400);
    for seed in 0..seeds {
        let f = function(seed, &mut refused);
        // What is written reads back, or is refused.
        if let Ok(read) = text::parse(&text::print(&f)) {
            assert_eq!(text::print(&read), text::print(&f), "seed {seed}");
        }
        for batch in [0, 1, 4] {
            let args = random_args(&f, batch, seed);
            match run(&f, &args, 1 + seed as usize % 2) {
                Err(e) => {
                    assert!(!e.to_string().contains("fault of Rhyton"), "seed {seed}, batch {batch}: {e}");
                    errors += 1;
                }
                Ok(have) if is_small(&f, batch) => {
                    // The interpreter refuses what is sliced outside and then not used; the plan does not have it.
                    if let Ok(want) = interpret(&f, &args) {
                        assert_close(&have, &want, 1e-4, &format!("seed {seed}, batch {batch}"));
                        right += 1;
                    }
                }
                Ok(_) => {}
            }
        }
    }
    println!("{refused} operations refused, {errors} runs refused, {right} compared");
    assert!(
        refused > 100 && right > 100 && errors > 50,
        "{refused} {right} {errors}: the sizes are not mixed"
    );
}
