//! Two LSTM layers forecast airline passengers a month ahead: `cargo run --release --example recurrent`.

use rhyton::data::{Standardize, datasets, timeseries_windows};
use rhyton::prelude::*;

fn main() -> Result<()> {
    // The network sees how the last twelve months grew, as differences of logarithms, and forecasts the next.
    let passengers = datasets::airline_passengers()?.to_vec::<f32>();
    let growth = Tensor::vector(passengers.windows(2).map(|w| (w[1] / w[0]).ln()).collect::<Vec<_>>());
    let (past, future) = (growth.slice_rows(0..107)?, growth.slice_rows(95..143)?);
    let scale = Standardize::fit(&past)?;
    let (x_train, y_train) = timeseries_windows(&scale.apply(&past)?, 12, 1)?;
    let (x_test, y_test) = timeseries_windows(&scale.apply(&future)?, 12, 1)?;

    let model = Sequential::new([12, 1])
        .add(LSTM::new(32).return_sequences(true))
        .add(LSTM::new(32))
        .add(Dense::new(1))
        .build()?;
    println!("{}", model.summary());

    let mut model = model.compile(Compile::new(Adam::new(3e-3), "mse"))?;
    model.fit((&x_train, &y_train), Fit::epochs(60).batch_size(16).validation((&x_test, &y_test)))?;

    let forecast = scale.invert(&model.predict(&x_test)?.reshape([36])?)?.to_vec::<f32>();
    let (last, actual) = (&passengers[107..143], &passengers[108..144]);
    let error = |f: &dyn Fn(usize) -> f32| (0..36).map(|i| (f(i) - actual[i]).abs()).sum::<f32>() / 36.0;
    println!("mean error over the last three years, in thousands of passengers a month:");
    println!("  two LSTM layers          {:.1}", error(&|i| last[i] * forecast[i].exp()));
    println!("  same as last month       {:.1}", error(&|i| last[i]));
    println!(
        "  same growth as last year {:.1}",
        error(&|i| last[i] * passengers[96 + i] / passengers[95 + i])
    );
    model.save("recurrent.keras")
}
