//! Recurrent layers: one loop over [`rhyton_graph::function::scan`], three cells, and Bidirectional.

mod bidirectional;
mod cells;
mod driver;
mod rows;

pub use bidirectional::Bidirectional;
pub use rows::{GRU, LSTM, SimpleRNN};
