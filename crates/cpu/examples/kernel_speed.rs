//! Prints the speed of products and convolutions for the shapes of common networks, at 1 and 2 threads:
//! `cargo run --release -p rhyton-cpu --example kernel_speed [filter]`.

use rhyton_cpu::conv::{ConvArgs, ConvShape, conv, conv_scratch_len};
use rhyton_cpu::gemm::{GemmArgs, MatView, Steps, gemm, scratch_len};
use rhyton_cpu::isa::Isa;
use rhyton_cpu::pool::Pool;
use rhyton_cpu::primitives::random::random;
use rhyton_cpu::window::{PoolShape, Target, pool};
use rhyton_graph::ops::{ConvKind, Distribution, PoolKind};
use std::time::Instant;

/// Seconds of the best call: others may use the machine meanwhile.
fn time(mut f: impl FnMut()) -> f64 {
    let started = Instant::now();
    f();
    let once = started.elapsed().as_secs_f64();
    let repeats = (2e-3 / once.max(1e-9)).clamp(1.0, 1000.0) as usize;
    (0..15)
        .map(|_| {
            let started = Instant::now();
            (0..repeats).for_each(|_| f());
            started.elapsed().as_secs_f64() / repeats as f64
        })
        .fold(f64::INFINITY, f64::min)
}

fn report(name: &str, work: f64, mut run: impl FnMut(&Pool)) {
    print!("{name:44}");
    for threads in [1, 2] {
        let pool = Pool::new(threads);
        let seconds = time(|| run(&pool));
        print!("{:9.2} us {:6.1} GFLOP/s", seconds * 1e6, work / seconds / 1e9);
    }
    println!();
}

fn product(name: &str, [batch, m, n, k]: [usize; 4], transposed: &str) {
    let isa = Isa::detect();
    let (a, b, mut c) =
        (vec![0.5f32; batch * m * k], vec![0.25f32; batch * k * n], vec![0f32; batch * m * n]);
    let view = |p: &[f32], rows: usize, cols: usize, flip: bool| {
        let (rs, cs) = if flip { (1, rows) } else { (cols, 1) };
        MatView {
            ptr: p.as_ptr(),
            rs: rs as isize,
            cs: cs as isize,
            batch: Steps::every((rows * cols) as isize),
        }
    };
    let (va, vb) = (view(&a, m, k, transposed.contains('a')), view(&b, k, n, transposed.contains('b')));
    let mut scratch = vec![0.0; scratch_len(batch, m, n, k, 2)];
    report(&format!("{name} {batch}x{m}x{n}x{k} {transposed}"), 2.0 * (batch * m * n * k) as f64, |pool| {
        let c = Some((c.as_mut_ptr(), n, Steps::every((m * n) as isize)));
        let args = GemmArgs {
            isa,
            pairs: false,
            pool,
            batch,
            m,
            n,
            k,
            a: va,
            b: vb,
            c,
            epilogue: None,
            scratch: &mut scratch,
        };
        // SAFETY: the vectors have the sizes of the views.
        unsafe { gemm(args) }
    });
}

fn convolution(name: &str, batch: usize, size: usize, channels: [usize; 2], stride: usize, pad: usize) {
    // As many groups as channels where the name says so.
    let groups = if name.contains("depthwise") { channels[0] } else { 1 };
    let y = (size + 2 * pad - 3) / stride + 1;
    let s = ConvShape {
        kind: ConvKind::Forward,
        batch,
        x: [1, size, size],
        k: [1, 3, 3],
        y: [1, y, y],
        stride: [1, stride, stride],
        dilation: [1; 3],
        pad_lo: [0, pad, pad],
        groups,
        c_in: channels[0],
        c_out: channels[1],
    };
    let work = 2.0 * (batch * y * y * 9 * channels[0] / groups * channels[1]) as f64;
    let fill = |n: usize| vec![0.5f32; n];
    let mut sides = [
        fill(batch * size * size * channels[0]),
        fill(9 * channels[0] / groups * channels[1]),
        fill(batch * y * y * channels[1]),
    ];
    for kind in [ConvKind::Forward, ConvKind::InputGrad, ConvKind::KernelGrad] {
        let s = ConvShape { kind, ..s };
        let mut scratch = vec![0.0; conv_scratch_len(false, &s, 2)];
        let [a, b, out] = kind.sides([0, 1, 2]);
        let [a, b] = [sides[a].as_ptr(), sides[b].as_ptr()];
        let out = sides[out].as_mut_ptr();
        report(&format!("{name} {kind:?}"), work, |pool| {
            let (isa, out, scratch) = (Isa::detect(), Some(out), &mut scratch[..]);
            let args = ConvArgs { isa, pairs: false, pool, s: &s, a, b, out, epilogue: None, scratch };
            // SAFETY: the vectors have the sizes of the sides.
            unsafe { conv(args) }
        });
    }
}

fn pooling() {
    let (full, pooled, two) = ([1, 26, 26], [1, 13, 13], [1, 2, 2]);
    let x: Vec<f32> = (0..32 * 26 * 26 * 32).map(|i| (i * 7919 % 1013) as f32).collect();
    let mut out = vec![0.0; x.len()];
    for kind in [PoolKind::Max, PoolKind::MaxSpread, PoolKind::Sum, PoolKind::SumSpread] {
        let (batch, channels, stride) = (32, 32, two);
        let s = PoolShape { kind, batch, channels, full, pooled, window: two, stride, pad_lo: [0; 3] };
        report(&format!("pool 26x26x32 2x2 {kind:?}"), x.len() as f64, |threads| {
            let (sides, target) = ([x.as_ptr(); 2], Target::Memory(out.as_mut_ptr()));
            // SAFETY: the vectors have the sizes of the full side.
            unsafe { pool(Isa::detect(), threads, &s, sides, target) }
        });
    }
}

fn random_numbers() {
    let mut out = vec![0.0f32; 1 << 16];
    for distribution in [Distribution::Uniform, Distribution::Normal] {
        report(&format!("random {distribution:?} 65536"), out.len() as f64, |threads| {
            // SAFETY: the vector has this length.
            unsafe { random(threads, distribution, [1, 2], 3, [0, out.len()], out.as_mut_ptr()) }
        });
    }
}

fn main() {
    let filter = std::env::args().nth(1).unwrap_or_default();
    println!("{}", Isa::detect().name());
    let products: [(&str, [usize; 4], &str); 22] = [
        ("square", [1, 64, 64, 64], ""),
        ("square", [1, 256, 256, 256], ""),
        ("square", [1, 1024, 1024, 1024], ""),
        ("square", [1, 1024, 1024, 1024], "ab"),
        ("mlp dense1", [1, 32, 64, 100], ""),
        ("mlp dense1 weights", [1, 100, 64, 32], "a"),
        ("mlp dense2", [1, 32, 64, 64], ""),
        ("mlp dense2 input", [1, 32, 64, 64], "b"),
        ("mlp dense3", [1, 32, 10, 64], ""),
        ("mlp dense3 weights", [1, 64, 10, 32], "a"),
        ("mlp dense3 input", [1, 32, 64, 10], "b"),
        ("cnn dense", [1, 32, 64, 5408], ""),
        ("cnn dense input", [1, 32, 5408, 64], "b"),
        ("cnn dense weights", [1, 5408, 64, 32], "a"),
        ("lstm recurrent", [1, 32, 256, 64], ""),
        ("lstm recurrent input", [1, 32, 64, 256], "b"),
        ("gpt mlp", [1, 768, 512, 128], ""),
        ("gpt mlp input", [1, 768, 128, 512], "b"),
        ("gpt mlp weights", [1, 128, 512, 768], "a"),
        ("gpt scores", [48, 64, 64, 32], "b"),
        ("predict mlp", [1, 1, 64, 100], ""),
        ("vector", [1, 1, 1024, 1024], ""),
    ];
    for (name, shape, transposed) in products {
        if name.contains(&filter) {
            product(name, shape, transposed);
        }
    }
    let convolutions = [
        ("conv cnn 28x28x1-32", 32, 28, [1, 32], 1, 0),
        ("conv resnet 32x32x3-16", 64, 32, [3, 16], 1, 1),
        ("conv resnet 32x32x16-16", 64, 32, [16, 16], 1, 1),
        ("conv resnet 32x32x16-32 step 2", 64, 32, [16, 32], 2, 1),
        ("conv resnet 16x16x32-32", 64, 16, [32, 32], 1, 1),
        ("conv resnet 8x8x64-64", 64, 8, [64, 64], 1, 1),
        ("conv vgg 32x32x64-64", 32, 32, [64, 64], 1, 1),
        ("conv vgg 16x16x128-128", 32, 16, [128, 128], 1, 1),
        ("conv vgg 8x8x256-256", 32, 8, [256, 256], 1, 1),
        ("conv depthwise 16x16x128", 32, 16, [128, 128], 1, 1),
        ("conv one 8x8x256-256", 1, 8, [256, 256], 1, 1),
    ];
    for (name, batch, size, channels, stride, pad) in convolutions {
        if name.contains(&filter) {
            convolution(name, batch, size, channels, stride, pad);
        }
    }
    if "pool".contains(&filter) {
        pooling();
    }
    if "random".contains(&filter) {
        random_numbers();
    }
}
