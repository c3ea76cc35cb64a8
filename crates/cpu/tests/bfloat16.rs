//! bfloat16 on the processor against the interpreter, on every instruction set, with the same bits at any number of
//! threads.

use rhyton_cpu::CpuBackend;
use rhyton_cpu::isa::Isa;
use rhyton_graph::ops::{ConvKind, PoolKind};
use rhyton_graph::testing::{Runner, assert_close, random_args, with_gradients};
use rhyton_graph::{Expr, Function, Type, compile, interpret};
use rhyton_tensor::{DType, Dim, Tensor};

fn typed(dtype: DType, rest: &[usize]) -> Type {
    let shape: Vec<Dim> =
        [Dim::symbol("batch")].into_iter().chain(rest.iter().map(|n| Dim::fixed(*n))).collect();
    Type::new(dtype, shape)
}

fn narrow(e: &Expr) -> Expr {
    e.cast(DType::BF16)
}

/// `f` and its gradients at these types, near the interpreter up to some roundings to eight bits.
fn check(what: &str, types: &[Type], f: impl FnOnce(&[Expr]) -> Vec<Expr>) {
    let f = with_gradients(&Function::trace("f", types, f));
    f.check().unwrap();
    for batch in [3, 1, 8] {
        let args = random_args(&f, batch, 7);
        let want = interpret(&f, &args).unwrap();
        for isa in Isa::available() {
            let mut first: Option<Vec<Tensor>> = None;
            for threads in [1, 2, 3] {
                let backend = CpuBackend::with(threads, isa);
                let mut program = Runner::new(&backend, compile(&f, 0, &[], &backend).unwrap()).unwrap();
                let mut have = vec![];
                program.run(&mut [], &args, &mut have).unwrap();
                assert_close(&have, &want, 2e-2, &format!("{what}, batch {batch}, {isa:?}"));
                let first = first.get_or_insert_with(|| have.clone());
                assert!(first.iter().zip(&have).all(|(a, b)| a.same_bits(b)), "{what}: {threads} threads");
            }
        }
    }
}

#[test]
fn elementwise_chains() {
    let types = [typed(DType::F32, &[5, 37]), Type::f32([37])];
    check("chain", &types, |p| {
        let (x, b) = (narrow(&p[0]), narrow(&p[1]));
        let y = (&x * 0.5 + &b).tanh();
        let z = (y.exp() - 1.0).transpose(&[0, 2, 1]);
        vec![y.sum(&[1]), z.max(&[1]), z.cast(DType::F32), x.greater(&y).select(&x, &y)]
    });
}

/// A cast rounds wherever it stands: in the middle of a kernel, kept for a fold, or on the way to memory.
#[test]
fn casts_round_within_a_kernel() {
    let types = [typed(DType::F32, &[37]), Type::f32([37])];
    let f = Function::trace("f", &types, |p| {
        let (x, b) = (narrow(&p[0]), narrow(&p[1]));
        let apart = x.cast(DType::F32) - &p[0];
        let many = (&p[0] * 1000.0).cast(DType::I32).cast(DType::BF16).cast(DType::F32) * 3.0;
        vec![apart.clone(), apart.abs().max(&[1]), x.cast(DType::F32) * b.cast(DType::F32), x, many]
    });
    for batch in [1, 3, 8] {
        let args = random_args(&f, batch, 7);
        let want = interpret(&f, &args).unwrap();
        for isa in Isa::available() {
            let backend = CpuBackend::with(2, isa);
            let mut program = Runner::new(&backend, compile(&f, 0, &[], &backend).unwrap()).unwrap();
            let mut have = vec![];
            program.run(&mut [], &args, &mut have).unwrap();
            assert!(
                want.iter().zip(&have).all(|(a, b)| a.same_bits(b)),
                "batch {batch}, {isa:?}: {want:?} {have:?}"
            );
        }
    }
}

#[test]
fn movements() {
    let types = [typed(DType::F32, &[6, 5]), typed(DType::BF16, &[6, 5])];
    check("movements", &types, |p| {
        let x = narrow(&p[0]) * 2.0;
        let joined = Expr::concat(&[x.clone(), p[1].clone()], 2).pad(1, 1, 2, 0, 0.0);
        vec![joined.slice(1, 1, 4).flip(2).cast(DType::F32), joined.mean(&[1, 2])]
    });
}

#[test]
fn products_of_all_layouts() {
    for k in [1, 2, 7, 40] {
        let types = [typed(DType::F32, &[k]), Type::f32([k, 19]), Type::f32([19, 1]), Type::f32([k])];
        check(&format!("products over {k}"), &types, |p| {
            let x = narrow(&p[0]);
            let h = (x.matmul(&narrow(&p[1])) + 0.1).tanh();
            vec![h.matmul(&narrow(&p[2])), x.dot(&narrow(&p[3]), &[1], &[0]), x.dot(&x, &[0], &[0])]
        });
    }
    let heads = [typed(DType::F32, &[9, 4, 6]), typed(DType::F32, &[5, 4, 6])];
    check("products with batch axes", &heads, |p| {
        let (q, k) = (narrow(&p[0]), narrow(&p[1]));
        let logits = q.dot_general(&k, &[0, 2], &[0, 2], &[3], &[3]);
        vec![logits.dot_general(&k, &[0, 1], &[0, 2], &[3], &[1])]
    });
}

#[test]
fn long_and_large_products() {
    check("a large product", &[typed(DType::F32, &[50, 130]), Type::f32([130, 150])], |p| {
        vec![narrow(&p[0]).matmul(&narrow(&p[1])).cast(DType::F32).mean(&[1])]
    });
    check("a long product", &[typed(DType::F32, &[600, 40]), typed(DType::F32, &[600, 30])], |p| {
        vec![narrow(&p[0]).dot(&narrow(&p[1]), &[0, 1], &[0, 1]) * 0.01]
    });
}

fn convolution(what: &str, size: [usize; 2], k: usize, stride: usize, pad: usize, channels: [usize; 2]) {
    let out = size.map(|n| Dim::fixed((n + 2 * pad - k) / stride + 1));
    let types =
        [typed(DType::F32, &[size[0], size[1], channels[0]]), Type::f32([k, k, channels[0], channels[1]])];
    check(what, &types, |p| {
        let pads = [Dim::fixed(pad), Dim::fixed(pad)];
        let y = narrow(&p[0]).conv(&narrow(&p[1]), ConvKind::Forward, &out, &[stride; 2], &[1; 2], &pads, 1);
        vec![(y * 0.3).tanh()]
    });
}

#[test]
fn convolutions() {
    convolution("same", [9, 8], 3, 1, 1, [4, 20]);
    convolution("odd channels", [9, 7], 3, 1, 1, [3, 5]);
    convolution("strided", [10, 11], 3, 2, 1, [6, 18]);
    convolution("wide padding", [5, 6], 3, 2, 2, [2, 3]);
    convolution("points", [5, 7], 1, 1, 0, [6, 10]);
    convolution("strided points", [6, 7], 1, 2, 0, [5, 7]);
    // Too few for Winograd, whose larger errors have a test of their own.
    convolution("many channels", [6, 5], 3, 1, 1, [32, 48]);
}

#[test]
fn groups_are_computed_in_float32() {
    let types = [typed(DType::F32, &[7, 4]), Type::f32([3, 2, 6])];
    check("groups", &types, |p| {
        let sizes = [Dim::fixed(5)];
        let zero = [Dim::fixed(0)];
        vec![narrow(&p[0]).conv(&narrow(&p[1]), ConvKind::Forward, &sizes, &[1], &[1], &zero, 2)]
    });
}

#[test]
fn pooling() {
    check("pooling", &[typed(DType::F32, &[8, 6, 21])], |p| {
        let x = narrow(&p[0]);
        let (sizes, zero) = ([Dim::fixed(4), Dim::fixed(3)], [Dim::fixed(0), Dim::fixed(0)]);
        let pool = |kind| x.pool(kind, &sizes, &[2, 2], &[2, 2], &zero);
        vec![pool(PoolKind::Max), pool(PoolKind::Sum)]
    });
}

#[test]
fn gathers() {
    check("gather", &[typed(DType::I32, &[5]), Type::f32([9, 12])], |p| {
        vec![narrow(&p[1]).gather(0, &p[0].maximum(&Expr::scalar(0i32))) * 2.0]
    });
}

#[test]
fn rounding_is_that_of_the_interpreter() {
    // Halves, both neighbours of a half, infinities, the largest number, the smallest, NaN.
    let bits = [
        0x3f80_8000,
        0x3f81_8000,
        0x3f80_8001,
        0x3f80_7fff,
        0x7f80_0000,
        0x7f7f_ffff,
        1,
        0x8000_0001,
        0xff80_0000,
    ];
    let mut x: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
    x.extend([f32::NAN, -0.0, 1e-40, 3.0e38, -1.2345]);
    let args = [Tensor::vector(x)];
    let f = Function::trace("f", &[Type::f32([14])], |p| vec![narrow(&p[0]), narrow(&p[0]).cast(DType::F32)]);
    let want = interpret(&f, &args).unwrap();
    for isa in Isa::available() {
        let backend = CpuBackend::with(1, isa);
        let mut program = Runner::new(&backend, compile(&f, 0, &[], &backend).unwrap()).unwrap();
        let mut have = vec![];
        program.run(&mut [], &args, &mut have).unwrap();
        assert_eq!(have[0].dtype(), DType::BF16);
        assert_close(&have[..1], &want[..1], 0.0, &format!("{isa:?}"));
    }
}
