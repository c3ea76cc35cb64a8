//! One file a command: its arguments and what it does.

pub mod bench;
pub mod demo;
pub mod evaluate;
pub mod fit;
pub mod list;
pub mod predict;
pub mod quantize;
pub mod summary;
