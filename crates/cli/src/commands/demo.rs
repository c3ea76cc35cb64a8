//! `rhyton demo`: three networks on real data that is part of the program.

use crate::commands::report;
use crate::output::say;
use rhyton::data::{Standardize, datasets, resize_bilinear, timeseries_windows};
use rhyton::io;
use rhyton::plot::{Chart, save_panels};
use rhyton::prelude::*;
use rhyton::train::Verbose;
use std::path::PathBuf;
use std::time::Instant;

#[derive(clap::Args)]
pub struct Arguments {
    /// The folder for the models and the picture of the learning curves
    #[arg(long, default_value = "rhyton-demo")]
    out: PathBuf,
    /// Train for one epoch only
    #[arg(long)]
    quick: bool,
    /// 0 says nothing, 1 shows a bar, 2 writes a line an epoch [default: a bar on a terminal, lines elsewhere]
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=2))]
    verbose: Option<u8>,
}

/// A network, what it learns from, and how.
struct Network {
    name: &'static str,
    layers: Sequential,
    rate: f64,
    loss: &'static str,
    metrics: Vec<&'static str>,
    epochs: usize,
    batch_size: usize,
    train: (Tensor, Tensor),
    test: (Tensor, Tensor),
}

pub fn run(a: &Arguments) -> Result<()> {
    let start = Instant::now();
    std::fs::create_dir_all(&a.out).map_err(|e| Error::io("create the folder", &a.out, &e))?;
    let mut charts = vec![];

    say("1/3  Dense network: handwritten digits of 10x10 pixels, 1,437 to learn from, 360 held out")?;
    let dense = dense()?;
    let (model, chart) = train(&dense, a)?;
    say(&digits_reached(model, &dense)?)?;
    charts.push(chart);

    say("\n2/3  Convolutional network: the same digits enlarged to 28x28 pixels")?;
    let convolutional = convolutional()?;
    let (model, chart) = train(&convolutional, a)?;
    say(&digits_reached(model, &convolutional)?)?;
    charts.push(chart);
    let (x, y) = &convolutional.test;
    io::write_npz(a.out.join("digits.npz"), &[("x0", x), ("y0", y)])?;

    say(
        "\n3/3  Two LSTM layers: airline passengers a month ahead, 1949 to 1957 to learn from, the rest held out",
    )?;
    let series = Series::new()?;
    let recurrent = recurrent(&series)?;
    let (model, chart) = train(&recurrent, a)?;
    say(&series.reached(&model.predict(&recurrent.test.0)?)?)?;
    charts.push(chart);

    say("\nHow far the convolutional network can be trusted: explanations, attacks, certificates")?;
    let file = |name: &str| a.out.join(name);
    let samples = if a.quick { 16 } else { 64 };
    report::run(&report::Arguments::of(
        file("convolutional.keras"),
        file("digits.npz"),
        file("report.html"),
        samples,
    ))?;

    let picture = a.out.join("learning_curves.png");
    save_panels(&charts, &picture)?;
    let dense = a.out.join("dense.keras");
    say(&format!(
        "\nDone in {:.0} s. The models are {}, convolutional.keras and recurrent.keras beside it;\nthe learning curves are {}.\nTry: rhyton summary {}",
        start.elapsed().as_secs_f64(),
        dense.display(),
        picture.display(),
        dense.display(),
    ))
}

fn dense() -> Result<Network> {
    let ((x_train, y_train), (x_test, y_test)) = datasets::digits()?;
    let pixels = |x: &Tensor| resize_bilinear(x, 10, 10)?.reshape([x.len() / 64, 100]);
    Ok(Network {
        name: "dense",
        layers: Sequential::new([100])
            .add(Dense::new(64).relu())
            .add(Dense::new(64).relu())
            .add(Dense::new(10).softmax()),
        rate: 1e-3,
        loss: "sparse_categorical_crossentropy",
        metrics: vec!["accuracy"],
        epochs: 30,
        batch_size: 32,
        train: (pixels(&x_train)?, y_train),
        test: (pixels(&x_test)?, y_test),
    })
}

fn convolutional() -> Result<Network> {
    let (train, test) = datasets::digits_28x28()?;
    Ok(Network {
        name: "convolutional",
        layers: Sequential::new([28, 28, 1])
            .add(Conv2D::new(32, 3).relu())
            .add(MaxPooling2D::new(2))
            .add(Flatten::new())
            .add(Dense::new(64).relu())
            .add(Dense::new(10).softmax()),
        rate: 1e-3,
        loss: "sparse_categorical_crossentropy",
        metrics: vec!["accuracy"],
        epochs: 12,
        batch_size: 32,
        train,
        test,
    })
}

fn recurrent(series: &Series) -> Result<Network> {
    Ok(Network {
        name: "recurrent",
        layers: Sequential::new([Series::WINDOW, 1])
            .add(LSTM::new(32).return_sequences(true))
            .add(LSTM::new(32))
            .add(Dense::new(1)),
        rate: 3e-3,
        loss: "mse",
        metrics: vec![],
        epochs: 60,
        batch_size: 16,
        train: timeseries_windows(&series.past, Series::WINDOW, 1)?,
        test: timeseries_windows(&series.future, Series::WINDOW, 1)?,
    })
}

/// Trains and saves a network; the chart shows its loss over the epochs.
fn train(network: &Network, a: &Arguments) -> Result<(Compiled, Chart)> {
    let model = network.layers.clone().name(network.name).build()?;
    say(&format!("     {} weights", model.count_params().0))?;
    let compile = Compile::new(Adam::new(network.rate), network.loss).metrics(network.metrics.clone());
    let mut model = model.compile(compile)?;
    let verbose = a.verbose.map_or(Verbose::Auto, Verbose::from);
    let fit = Fit::epochs(if a.quick { 1 } else { network.epochs })
        .batch_size(network.batch_size)
        .seed(0)
        .validation((&network.test.0, &network.test.1))
        .verbose(verbose);
    let history = model.fit((&network.train.0, &network.train.1), fit)?;
    model.save(a.out.join(format!("{}.keras", network.name)))?;
    let epochs: Vec<f64> = history.epoch.iter().map(|e| *e as f64 + 1.0).collect();
    let chart = Chart::new(network.name)
        .x_label("epoch")
        .y_label("loss")
        .whole_x()
        .line("training", &epochs, history.get("loss"))
        .line("held out", &epochs, history.get("val_loss"));
    Ok((model, chart))
}

fn digits_reached(mut model: Compiled, network: &Network) -> Result<String> {
    let (x, y) = &network.test;
    let figures = model.evaluate_with((x, y), Evaluate::new().verbose(0))?;
    let accuracy = figures.get("accuracy").unwrap_or(0.0);
    let right = (accuracy * y.len() as f64).round();
    Ok(format!(
        "     reads {right} of {} held-out digits correctly: accuracy {:.1}%",
        y.len(),
        100.0 * accuracy
    ))
}

/// The passengers of each month, and how they grew, as the network sees it: differences of logarithms, scaled.
struct Series {
    passengers: Vec<f32>,
    past: Tensor,
    future: Tensor,
    scale: Standardize,
}

impl Series {
    /// Months that the network sees.
    const WINDOW: usize = 12;
    /// Months of growth to learn from.
    const PAST: usize = 107;

    fn new() -> Result<Series> {
        let passengers = datasets::airline_passengers()?.to_vec::<f32>();
        let growth: Vec<f32> = passengers.windows(2).map(|w| (w[1] / w[0]).ln()).collect();
        let (months, growth) = (growth.len(), Tensor::vector(growth));
        let past = growth.slice_rows(0..Series::PAST)?;
        let scale = Standardize::fit(&past)?;
        let future = growth.slice_rows(Series::PAST - Series::WINDOW..months)?;
        Ok(Series { past: scale.apply(&past)?, future: scale.apply(&future)?, passengers, scale })
    }

    /// The mean error of the forecasts beside those of two simple rules.
    fn reached(&self, forecast: &Tensor) -> Result<String> {
        let growth = self.scale.invert(&forecast.reshape([forecast.len()])?)?.to_vec::<f32>();
        let p = &self.passengers;
        let error = |forecast: &dyn Fn(usize, usize) -> f32| {
            let off =
                (0..growth.len()).map(|i| (forecast(i, Series::PAST + i) - p[Series::PAST + 1 + i]).abs());
            off.sum::<f32>() / growth.len() as f32
        };
        Ok(format!(
            "     mean error {:.1} thousand passengers a month over {} held-out months;\n     \
             forecasting the last value: {:.1}; last year's growth again: {:.1}",
            error(&|i, now| p[now] * growth[i].exp()),
            growth.len(),
            error(&|_, now| p[now]),
            error(&|_, now| p[now] * p[now - 11] / p[now - 12]),
        ))
    }
}
