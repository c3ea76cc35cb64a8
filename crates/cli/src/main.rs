//! The `rhyton` program.
fn main() {}
