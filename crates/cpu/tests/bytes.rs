//! Graphs with int8 values on the processor against the interpreter.

use rhyton_cpu::CpuBackend;
use rhyton_cpu::isa::Isa;
use rhyton_graph::ops::ConvKind;
use rhyton_graph::plan::Kernel;
use rhyton_graph::testing::{Runner, assert_close, random_args};
use rhyton_graph::{Expr, Function, Type, compile, interpret};
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{DType, Dim, Tensor};

/// The same bits at any number of threads, and near the interpreter: exact where results are whole numbers.
fn check(f: &Function, batch: usize, seed: u64) {
    let args = random_args(f, batch, seed);
    let want = interpret(f, &args).unwrap();
    for isa in Isa::available() {
        for threads in [1, 2, 3] {
            let backend = CpuBackend::with(threads, isa);
            let mut program = Runner::new(&backend, compile(f, 0, &[], &backend).unwrap()).unwrap();
            let mut have: Vec<Tensor> = vec![];
            for _ in 0..2 {
                program.run(&mut [], &args, &mut have).unwrap();
            }
            assert_close(&have, &want, 2e-6, &format!("seed {seed} on {isa:?} with {threads} threads"));
        }
    }
}

fn bytes(shape: Vec<Dim>) -> Type {
    Type::new(DType::I8, shape)
}

/// A product with an epilogue, between conversions.
#[test]
fn matrix_products() {
    for seed in 0..40 {
        let mut r = Stream::new(seed, 0, 5);
        let mut pick = |most: u32| 1 + r.below(most) as usize;
        let (k, n) = (pick(70), pick(90));
        let batch = Dim::symbol("batch");
        let turned = seed % 3 == 0;
        let w = if turned { vec![n.into(), k.into()] } else { vec![k.into(), n.into()] };
        let types = [bytes(vec![batch, 3.into(), k.into()]), bytes(w), Type::f32([n])];
        let f = Function::trace("product", &types, |p| {
            let y = if turned { p[0].dot(&p[1], &[2], &[1]) } else { p[0].matmul(&p[1]) };
            let scaled = y.cast(DType::F32) / 1000.0 + &p[2];
            vec![y.clone(), scaled.maximum(&Expr::scalar(0.0f32)), y.cast(DType::I8)]
        });
        check(&f, pick(9), seed);
    }
}

#[test]
fn convolutions() {
    for seed in 0..40 {
        let mut r = Stream::new(seed, 0, 6);
        let mut pick = |most: u32| 1 + r.below(most) as usize;
        let (window, stride, dilation, lo) = (pick(3), pick(2), pick(2), pick(3) - 1);
        let (groups, inner, outer, size) = (pick(2), pick(9), pick(20), 6 + pick(6));
        let out = (size + 2 * lo - (window - 1) * dilation - 1) / stride + 1;
        let fixed = |n: usize| vec![Dim::fixed(n); 2];
        let x = vec![Dim::symbol("batch"), size.into(), size.into(), (groups * inner).into()];
        let w = vec![window.into(), window.into(), inner.into(), (groups * outer).into()];
        let f = Function::trace("conv", &[bytes(x), bytes(w)], |p| {
            let (strides, dilations) = ([stride; 2], [dilation; 2]);
            let kind = ConvKind::Forward;
            let y = p[0].conv(&p[1], kind, &fixed(out), &strides, &dilations, &fixed(lo), groups);
            vec![y.cast(DType::F32) * 0.01, y]
        });
        check(&f, pick(4), seed);
    }
}

#[test]
fn conversions_and_views() {
    for (seed, batch) in [(0, 1), (1, 5), (2, 67)] {
        let b = Dim::symbol("batch");
        let types = [
            bytes(vec![b.clone(), 5.into()]),
            Type::f32(vec![b.clone(), 5.into()]),
            Type::new(DType::I32, vec![b.clone(), 5.into()]),
            Type::new(DType::Bool, vec![b, 5.into()]),
        ];
        let f = Function::trace("conversions", &types, |p| {
            let wide = (&p[1] * 100.0).round();
            let quotient = (&p[1] / &p[1].zeros_like()).cast(DType::I8);
            let all = Expr::concat(&[p[0].clone(), wide.cast(DType::I8)], 1);
            vec![
                all.transpose(&[1, 0]),
                all.slice(1, 2, 6).cast(DType::F32) + 0.5,
                (&p[2] * &Expr::scalar(70)).cast(DType::I8),
                p[3].cast(DType::I8).cast(DType::F32),
                p[0].cast(DType::Bool),
                &p[0] + &p[0],
                quotient,
                p[0].reshape(p[0].shape().clone()).expand_dims(&[0]),
            ]
        });
        check(&f, batch, seed);
    }
}

/// As `nn::quantizers` writes it.
fn quantized(x: &Expr, axes: &[usize]) -> Vec<Expr> {
    let attrs = serde_json::json!({ "axes": axes });
    let both = rhyton_graph::named::ABS_MAX_QUANTIZE.apply_all(attrs, std::slice::from_ref(x), |p| {
        let scale = 127.0 / (p[0].abs().max(axes).expand_dims(axes) + 1e-7);
        let (low, high) = (Expr::scalar(-127.0f32), Expr::scalar(127.0f32));
        [(&p[0] * &scale).round().maximum(&low).minimum(&high).cast(DType::I8), scale]
    });
    both.to_vec()
}

/// The kernel that takes quantization whole gives the bits of its body, special numbers included.
#[test]
fn quantization_is_taken_whole_and_agrees_with_its_body() {
    let shapes: [(&[usize], &[usize]); 6] = [
        (&[5, 1], &[1]),
        (&[64, 33], &[1]),
        (&[3, 7, 130], &[2]),
        (&[4, 9, 11, 3], &[1, 2, 3]),
        (&[7], &[0]),
        (&[0, 4], &[1]),
    ];
    for (shape, axes) in shapes {
        let ty = Type::f32(shape.iter().map(|n| Dim::fixed(*n)).collect::<Vec<_>>());
        let whole = Function::trace("whole", &[ty.clone()], |p| quantized(&p[0], axes));
        // A function of another name is not known to the backend.
        let body = Function::trace("body", &[ty], |p| {
            let both = quantized(&p[0], axes);
            let (mut values, scale) = (p[0].clone(), &both[1]);
            values = (&values * scale).round().maximum(&Expr::scalar(-127.0f32));
            vec![values.minimum(&Expr::scalar(127.0f32)).cast(DType::I8), scale.clone()]
        });
        let special = |i: usize| match i % 577 {
            100 => f32::NAN,
            200 => f32::NEG_INFINITY,
            300 => 1e38,
            i if i < 34 => 0.0,
            _ => ((i * 37 % 101) as f32) / 9.0 - 5.0,
        };
        let x = Tensor::from_fn(shape.to_vec(), special);
        for isa in Isa::available() {
            let run = |f: &Function, threads: usize| {
                let backend = CpuBackend::with(threads, isa);
                let plan = compile(f, 0, &[], &backend).unwrap();
                let named = plan.launches.iter().any(|l| matches!(l.kernel, Kernel::Named { .. }));
                assert!(named, "the function is inlined");
                let mut have = vec![];
                Runner::new(&backend, plan)
                    .unwrap()
                    .run(&mut [], std::slice::from_ref(&x), &mut have)
                    .unwrap();
                have
            };
            let have = run(&whole, 1);
            for other in [run(&whole, 3), run(&body, 2)] {
                let same = have.iter().zip(&other).all(|(a, b)| a.same_bits(b));
                assert!(same, "{shape:?} on {isa:?}: {have:?} {other:?}");
            }
            // The largest numbers are those of the definition.
            let want = interpret(&whole, std::slice::from_ref(&x)).unwrap();
            assert_close(&have[1..], &want[1..], 1e-6, &format!("{shape:?} on {isa:?}"));
        }
    }
}

#[test]
fn rows_of_a_table() {
    let index = Type::new(DType::I32, vec![Dim::symbol("batch"), 4.into()]);
    let f = Function::trace("rows", &[bytes(vec![3.into(), 7.into()]), index], |p| {
        let rows = p[0].gather(0, &p[1]);
        vec![rows.cast(DType::F32), rows]
    });
    (0..5).for_each(|seed| check(&f, 6, seed));
}

#[test]
fn what_int8_does_not_know_is_said() {
    let x = Expr::param("x", bytes(vec![4.into(), 4.into()]));
    let kinds = [-&x, x.max(&[1]), x.matmul(&x.cast(DType::F32))];
    for e in kinds {
        assert!(e.error().is_some_and(|e| e.to_string().contains("int8")), "{:?}", e.error());
    }
}

/// Images as they come: uint8 is converted where it is read, whatever the view.
#[test]
fn unsigned_bytes_come_in() {
    for n in [1, 7, 40, 300] {
        let x = Type::new(DType::U8, vec![Dim::symbol("batch"), n.into(), 3.into()]);
        let f = Function::trace("images", &[x.clone(), x], |p| {
            let turned = p[0].transpose(&[0, 2, 1]);
            vec![
                p[0].cast(DType::F32) / 255.0 - 0.5,
                turned.cast(DType::I32),
                p[0].slice(1, 0, 1).cast(DType::Bool),
                turned.cast(DType::F32).sum(&[1]),
                Expr::concat(&[p[0].clone(), p[1].clone()], 1).cast(DType::F32).sqrt(),
                p[0].clone(),
                p[1].flip(1).cast(DType::BF16).cast(DType::F32).max(&[1, 2]),
            ]
        });
        check(&f, 5, n as u64);
    }
    let x = Type::new(DType::U8, [4]);
    let refused = |f: fn(&Expr) -> Expr| {
        let f = Function::trace("f", std::slice::from_ref(&x), |p| vec![f(&p[0])]);
        compile(&f, 0, &[], &CpuBackend::with(1, Isa::Portable)).unwrap_err().to_string()
    };
    assert!(refused(|x| x.cast(DType::I8)).contains("int8 cannot hold what uint8 does"));
    assert!(refused(|_| Expr::param("x", Type::new(DType::F64, [4]))).contains("'x' is float64"));
}
