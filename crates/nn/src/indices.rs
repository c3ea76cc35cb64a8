//! Whole numbers that choose: rows of a table, classes. Whoever uses such numbers marks them with [`chosen`]; what is
//! marked is checked before a program runs, so that a wrong number is an error that names it, and nothing has changed.
//!
//! The mark itself computes nothing. Where the numbers are a tensor that the program is given, the check reads that
//! tensor; where they are computed from it, or by the network itself, a small program computes them beforehand. Only
//! numbers made inside a loop over time escape: there an index outside the table gives NaN, but a fraction or NaN is cast
//! to a whole number as everywhere (towards zero, to 0) and chooses that row.

use rhyton_graph::{Expr, named};
use rhyton_tensor::{Data, Error, Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What chosen numbers choose among.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Among {
    /// Rows of a table of so many.
    Row(usize),
    /// So many classes, or the one number that does not count.
    Class(usize, Option<i64>),
}

/// `x`, marked as numbers that choose.
///
/// ```
/// use rhyton_nn::indices::{Among, chosen};
/// use rhyton_graph::{Expr, Type};
/// /// A layer's own table look-up, with the errors that Embedding has.
/// fn look_up(table: &Expr, rows: usize, x: &Expr) -> Expr {
///     table.gather(0, &chosen(x, Among::Row(rows)).cast(rhyton_tensor::DType::I32))
/// }
/// ```
#[track_caller]
pub fn chosen(x: &Expr, among: Among) -> Expr {
    named::CHOSEN.apply(json!({ "among": among }), std::slice::from_ref(x), |x| x[0].clone())
}

impl Among {
    /// Whether `x` is one of the numbers.
    fn has(self, x: f64) -> bool {
        let (n, also) = match self {
            Among::Row(n) => (n, None),
            Among::Class(n, also) => (n, also),
        };
        // NaN becomes 0, which it is not.
        let whole = x as i64;
        whole as f64 == x && (usize::try_from(whole).is_ok_and(|i| i < n) || Some(whole) == also)
    }

    /// Where in `t` the first number lies that is none of them.
    fn first_wrong(self, t: &Tensor) -> Option<usize> {
        macro_rules! find {
            ($v:expr, $as:ty) => {
                $v.iter().position(|x| !self.has(<$as>::from(*x).into()))
            };
        }
        match t.data() {
            Data::F32(v) => find!(v, f32),
            Data::I32(v) => find!(v, i32),
            Data::U8(v) => find!(v, u8),
            Data::I8(v) => find!(v, i8),
            Data::U16(v) => find!(v, u16),
            Data::I16(v) => find!(v, i16),
            Data::U32(v) => find!(v, u32),
            data => (0..data.len()).find(|i| !self.has(data.get_f64(*i))),
        }
    }

    /// An error when a number of `t`, which belong to `samples` samples, chooses nothing. `first` is the number of the
    /// first of them.
    ///
    /// # Errors
    /// Says which sample, which number, and what it may be.
    pub fn check(self, t: &Tensor, samples: usize, first: usize) -> Result<()> {
        let Some(at) = self.first_wrong(t) else { return Ok(()) };
        let sample = first + at / (t.len() / samples.max(1)).max(1);
        Err(self.wrong(t.data().get_f64(at), &shown(t, at), sample))
    }

    fn wrong(self, x: f64, number: &str, sample: usize) -> Error {
        let (what, n) = match self {
            Among::Row(n) => (format!("the index {number} of sample {sample} is no row of the table"), n),
            Among::Class(n, _) => (format!("the label {number} of sample {sample} is no class"), n),
        };
        let error = Error::new(what).expected(format!("whole numbers from 0 to {}", n.saturating_sub(1)));
        let rows = matches!(self, Among::Row(_));
        match x {
            x if x == n as f64 && rows => error.fix("count from 0, or make input_dim one larger"),
            x if x == n as f64 => error.fix("count classes from 0, or give the last layer one unit more"),
            x if x.fract() != 0.0 && rows => {
                error.fix("an embedding takes positions in its table: round them")
            }
            x if x.fract() != 0.0 => error.fix("use another loss if the targets are no labels"),
            x if x < 0.0 && rows => error.fix("count from 0: negative numbers choose no row"),
            _ if rows => error.fix("make input_dim the largest index and one"),
            _ => error.fix("give the last layer as many units as there are classes"),
        }
    }
}

/// The number at `at` as people write it: 0.1, not what a float32 holds of it.
pub fn shown(t: &Tensor, at: usize) -> String {
    match t.data() {
        Data::F32(v) => v[at].to_string(),
        data => data.get_f64(at).to_string(),
    }
}
