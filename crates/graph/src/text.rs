//! text
use crate::ops::Op;
/// The name of an operation.
pub fn op_name(op: &Op) -> String {
    match op {
        Op::Elementwise(e) => format!("{e:?}"),
        other => format!("{other:?}").split(['(', ' ']).nth(1).unwrap_or_default().into(),
    }
}
