//! What of the `rhyton` program others use too: the fuzzer reads what its users write.

pub mod json;
