//! Samples a second under attack: `cargo run --release -p rhyton-robust --example attack_speed [names]`. The model, sizes and
//! settings of the peers' table: a convolution, pooling and two dense layers over 28 x 28, random weights, 128 samples.

use rhyton_model::Sequential;
use rhyton_nn::layers::*;
use rhyton_robust::attacks::*;
use rhyton_robust::{AttackRef, Attacker};
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{Result, Tensor};
use std::sync::Arc;
use std::time::Instant;

fn main() -> Result<()> {
    rhyton_model::backend::set_backend(Arc::new(rhyton_cpu::CpuBackend::new()?));
    let net = Sequential::new([28, 28, 1])
        .add(Conv2D::new(32, 3).relu())
        .add(MaxPooling2D::new(2))
        .add(Flatten::new());
    let model = net.add(Dense::new(64).relu()).add(Dense::new(10)).build()?;
    let mut random = Stream::new(1, 0, 0);
    let x = Tensor::from_fn([128, 28, 28, 1], |_| random.uniform());
    let labels = Tensor::from_fn([128], |_| random.below(10) as i32);
    let methods: [(&str, AttackRef, usize); 6] = [
        ("fgsm", Fgsm::default().eps(0.1).into(), 128),
        ("pgd_40", PgdLinf::default().eps(0.3).step_size(0.01).steps(40).random_start(false).into(), 128),
        ("deepfool", DeepFool::default().into(), 32),
        ("cw_100", Cw::default().steps(100).into(), 128),
        ("apgd_ce_100", ApgdCe::default().eps(0.3).steps(100).into(), 128),
        ("square_500", Square::default().eps(0.3).n_queries(500).into(), 128),
    ];
    let only: Vec<String> = std::env::args().skip(1).collect();
    for (name, attack, n) in methods {
        if !only.is_empty() && !only.iter().any(|o| o == name) {
            continue;
        }
        let (x, labels) = (x.slice_rows(0..n)?, labels.slice_rows(0..n)?);
        let compiled = Attacker::new(&model).compile(attack)?;
        compiled.attack(&x, &labels)?;
        let mut times: Vec<f64> = (0..5)
            .map(|_| {
                let start = Instant::now();
                compiled.attack(&x, &labels).map(|_| start.elapsed().as_secs_f64())
            })
            .collect::<Result<_>>()?;
        times.sort_by(f64::total_cmp);
        println!("{{\"method\": \"{name}\", \"samples_per_s\": {:.1}}}", n as f64 / times[2]);
    }
    Ok(())
}
