//! The primitives, in families. One file a family holds, side by side, the enumeration, its builders (methods of [`Expr`];
//! the elementwise ones are in `build.rs`) and its rules: `infer` (types), `vjp` (gradient), `interp` (the slow, obvious meaning in double precision) and `class` (how
//! the compiler may treat it). The matches are exhaustive: an operation that lacks a rule does not compile.

/// What people call each variant. One list makes `name` and `NAMES`, so that a variant cannot be left out of either.
macro_rules! names {
    ($family:ident { $($variant:pat => $name:literal,)* }) => {
        impl $family {
            /// The names of all.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// What people call it.
            pub fn name(&self) -> &'static str {
                match self { $($variant => $name,)* }
            }
        }
    };
}

pub mod contract;
pub mod control;
pub mod convolution;
pub mod cumulative;
pub mod elementwise;
pub mod index;
pub mod movement;
pub mod random;
pub mod reduce;
pub mod sort;
pub mod window;

pub use contract::Contract;
pub use control::{Control, Literal, Scalar};
pub use convolution::{ConvKind, Convolution};
pub use cumulative::{Cumulative, Running};
pub use elementwise::{Binary, Elementwise, Unary};
pub use index::Index;
pub use movement::Movement;
pub use random::{Distribution, Random};
pub use reduce::{Fold, Reduce};
pub use sort::Sort;
pub use window::{PoolKind, Window};

use crate::expr::{Expr, Type};
use crate::interp::Value;
use rhyton_tensor::{Bindings, Result};
use serde::{Deserialize, Serialize};

/// A primitive.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Op {
    Elementwise(Elementwise),
    Reduce(Reduce),
    Movement(Movement),
    Index(Index),
    Contract(Contract),
    Window(Window),
    Random(Random),
    Cumulative(Cumulative),
    Sort(Sort),
    Control(Control),
}

/// How the compiler may treat an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// One result element from one element of each input: fuses.
    Elementwise,
    /// The same elements seen under other indices: costs nothing where strides can say it.
    View,
    /// Parts and borders written into one array: each by the kernel that computes it, where that can.
    Join,
    /// Folds axes: takes an elementwise producer in.
    Reduce,
    /// Computed by a kernel of its own, which takes an elementwise consumer in: products, pooling.
    Anchor,
    /// Computed by a kernel of its own that reads and writes one element after the other and takes nothing in.
    Kernel,
    /// Has no computation: parameters and constants.
    Source,
}

macro_rules! families {
    ($($family:ident),*) => {
        impl Op {
            /// Result types from input types.
            ///
            /// # Errors
            /// When the inputs do not fit the operation.
            pub fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>> {
                match self { $(Op::$family(op) => op.infer(inputs),)* }
            }

            /// Cotangents of the inputs from cotangents of the results (`None` is zero).
            pub fn vjp(&self, out: &Expr, cotangents: &[Option<Expr>]) -> Vec<Option<Expr>> {
                match self { $(Op::$family(op) => op.vjp(out, cotangents),)* }
            }

            /// The meaning, in double precision.
            pub fn interp(&self, inputs: &[&Value], outs: &[Type], bindings: &Bindings) -> Result<Vec<Value>> {
                match self { $(Op::$family(op) => op.interp(inputs, outs, bindings),)* }
            }

            /// The primitive: `add`, `broadcast`, `dot`, `call`.
            pub fn primitive(&self) -> &'static str {
                match self { $(Op::$family(op) => op.name(),)* }
            }

            /// The names of all primitives.
            pub fn primitives() -> Vec<&'static str> {
                [Unary::NAMES, Binary::NAMES, $($family::NAMES),*].concat()
            }

            /// How the compiler may treat it.
            pub fn class(&self) -> Class {
                match self { $(Op::$family(op) => op.class(),)* }
            }
        }
        $(impl From<$family> for Op {
            fn from(op: $family) -> Op { Op::$family(op) }
        })*
    };
}

impl Op {
    /// What people call it: the primitive, or the function's name for a call.
    pub fn name(&self) -> &str {
        match self {
            Op::Control(Control::Call(f)) => &f.name,
            op => op.primitive(),
        }
    }
}

families!(Elementwise, Reduce, Movement, Index, Contract, Window, Random, Cumulative, Sort, Control);
