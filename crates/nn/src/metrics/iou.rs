//! Intersections over unions of classes.

use super::confusion::numbers;
use super::{Metric, poisoned};
use crate::object::Setting;
use rhyton_graph::{Expr, Type};
use rhyton_tensor::{DType, Dim, Error, Result, Tensor, limits};

impl Setting<Vec<usize>> for Vec<usize> {
    fn setting(self) -> Vec<usize> {
        self
    }
}

/// What all these classes are: a table of targets against predictions.
struct Table {
    classes: usize,
    targets: Vec<usize>,
    ignore: Option<i64>,
    sparse_true: bool,
    sparse_pred: bool,
    axis: i64,
    threshold: Option<f64>,
}

/// Classes of one-hot or sparse values, as a list.
fn listed(e: &Expr, sparse: bool, axis: i64) -> Expr {
    let e = if sparse {
        e.cast(DType::I32)
    } else {
        let at = if axis < 0 { axis + e.rank() as i64 } else { axis };
        e.argmax(usize::try_from(at).unwrap_or(usize::MAX))
    };
    if e.is_poisoned() { e } else { e.reshape([e.shape().elements()].to_vec()) }
}

impl Table {
    fn start(&self) -> Result<Vec<Tensor>> {
        Ok(vec![Tensor::try_full([self.classes, self.classes], 0i32)?])
    }

    fn update(&self, state: &[Expr], t: &Expr, p: &Expr, weight: Option<&Expr>) -> Vec<Expr> {
        let p = match self.threshold {
            Some(x) => p.greater_equal(&Expr::scalar(x as f32)).cast(DType::I32),
            None => p.clone(),
        };
        let (t, p) = (listed(t, self.sparse_true, self.axis), listed(&p, self.sparse_pred, self.axis));
        let [old] = state else { return state.to_vec() };
        if t.shape() != p.shape() || t.is_poisoned() || p.is_poisoned() {
            let bad = [&t, &p].into_iter().find(|e| e.is_poisoned()).cloned().unwrap_or_else(|| {
                let shapes = format!("{} and {}", t.shape(), p.shape());
                Expr::poison(Error::new(format!("as many targets as predictions are needed, got {shapes}")))
            });
            return poisoned(state, bad);
        }
        let n = Dim::fixed(self.classes);
        let one_hot = |e: &Expr| e.one_hot(n.as_fixed().unwrap_or(0));
        let mut rows = one_hot(&t);
        if let Some(c) = self.ignore.and_then(|c| i32::try_from(c).ok()) {
            rows = rows * t.equal(&Expr::scalar(c)).not().cast(DType::F32).expand_dims(&[1]);
        }
        if let Some(w) = weight {
            // The table counts in integers, as Keras's does: weights are cut to integers too.
            let w = w.cast(DType::I32).cast(DType::F32);
            let w = w.reshape([w.shape().elements()].to_vec()).broadcast_to(t.shape().clone());
            rows = rows * w.expand_dims(&[1]);
        }
        let table = rows.dot(&one_hot(&p), &[0], &[0]);
        vec![old + table.cast(DType::I32)]
    }

    fn result(&self, state: &[Tensor]) -> f64 {
        let (table, n) = (numbers(state, 0), self.classes);
        if table.len() != n * n {
            return 0.0;
        }
        let (mut sum, mut valid) = (0.0, 0.0);
        for c in self.targets.iter().copied().filter(|c| *c < n) {
            let row: f64 = (0..n).map(|k| table[c * n + k]).sum();
            let column: f64 = (0..n).map(|k| table[k * n + c]).sum();
            let union = row + column - table[c * n + c];
            if union > 1e-9 {
                sum += table[c * n + c] / (union + 1e-7);
                valid += 1.0;
            }
        }
        sum / (valid + 1e-7)
    }

    fn check(&self, class: &str) -> Result<()> {
        match self.targets.iter().find(|c| **c >= self.classes) {
            Some(c) => {
                Err(Error::new(format!("{class} got the target class {c} of {} classes", self.classes))
                    .expected("target_class_ids below num_classes"))
            }
            None if self.classes == 0 => {
                Err(Error::new(format!("{class} got num_classes=0")).expected("the number of classes"))
            }
            None => limits::CLASSES
                .check(self.classes as u64, || format!("{class} got num_classes={}", self.classes)),
        }
    }
}

macro_rules! tables {
    ($($(#[$meta:meta])* $class:ident($name:literal) {
        $($(#[$fmeta:meta])* $field:ident : $ty:ty = $default:expr),* $(,)?
    } |$s:ident| $table:expr;)*) => { $(
        crate::object! {
            $(#[$meta])*
            pub struct $class {
                $($(#[$fmeta])* $field: $ty = $default,)*
                /// The name in logs.
                name: String = $name.into(),
                /// The type of its state.
                dtype: String = "int32".into(),
            }
        }
        impl $class {
            fn table(&self) -> Table {
                let $s = self;
                $table
            }
        }
        impl Metric for $class {
            fn name(&self) -> String {
                self.name.clone()
            }
            fn start(&self, _: &Type) -> Result<Vec<Tensor>> {
                self.table().start()
            }
            fn update(&self, state: &[Expr], t: &Expr, p: &Expr, weight: Option<&Expr>) -> Vec<Expr> {
                self.table().update(state, t, p, weight)
            }
            fn result(&self, state: &[Tensor]) -> f64 {
                self.table().result(state)
            }
            fn larger_is_better(&self) -> Option<bool> {
                Some(true)
            }
            fn check(&self) -> Result<()> {
                self.table().check(stringify!($class))
            }
        }
    )* };
}

/// All classes. Of more than are allowed only the start: [`Table::check`] refuses them, and needs no list for it.
fn all(classes: usize) -> Vec<usize> {
    (0..classes.min(limits::CLASSES.get().unwrap_or(0) as usize)).collect()
}

fn table(classes: usize, targets: Vec<usize>, ignore: Option<i64>, sparse: [bool; 2], axis: i64) -> Table {
    let [sparse_true, sparse_pred] = sparse;
    Table { classes, targets, ignore, sparse_true, sparse_pred, axis, threshold: None }
}

tables! {
    /// Mean of intersection over union of some classes.
    IoU("io_u") {
        /// Number of classes.
        num_classes: usize = 2,
        /// The classes that count.
        target_class_ids: Vec<usize> = vec![0],
        /// A target that does not count.
        ignore_class: Option<i64> = None,
        /// Targets are labels, not one-hot.
        sparse_y_true: bool = true,
        /// Predictions are labels, not scores.
        sparse_y_pred: bool = true,
        /// The axis of the classes.
        axis: i64 = -1,
    } |s| table(
        s.num_classes, s.target_class_ids.clone(), s.ignore_class, [s.sparse_y_true, s.sparse_y_pred], s.axis
    );
    /// Mean of intersection over union of 0 and 1, decided by a threshold.
    BinaryIoU("binary_io_u") {
        /// The classes that count.
        target_class_ids: Vec<usize> = vec![0, 1],
        /// Predictions from here on are 1.
        threshold: f64 = 0.5,
    } |s| Table { threshold: Some(s.threshold), ..table(2, s.target_class_ids.clone(), None, [true; 2], -1) };
    /// Mean of intersection over union of all classes.
    MeanIoU("mean_io_u") {
        /// Number of classes.
        num_classes: usize = 2,
        /// A target that does not count.
        ignore_class: Option<i64> = None,
        /// Targets are labels, not one-hot.
        sparse_y_true: bool = true,
        /// Predictions are labels, not scores.
        sparse_y_pred: bool = true,
        /// The axis of the classes.
        axis: i64 = -1,
    } |s| table(
        s.num_classes, all(s.num_classes), s.ignore_class, [s.sparse_y_true, s.sparse_y_pred], s.axis
    );
    /// Mean of intersection over union of some classes, with one-hot targets.
    OneHotIoU("one_hot_io_u") {
        /// Number of classes.
        num_classes: usize = 2,
        /// The classes that count.
        target_class_ids: Vec<usize> = vec![0],
        /// A target that does not count.
        ignore_class: Option<i64> = None,
        /// Predictions are labels, not scores.
        sparse_y_pred: bool = false,
        /// The axis of the classes.
        axis: i64 = -1,
    } |s| table(s.num_classes, s.target_class_ids.clone(), s.ignore_class, [false, s.sparse_y_pred], s.axis);
    /// Mean of intersection over union of all classes, with one-hot targets.
    OneHotMeanIoU("one_hot_mean_io_u") {
        /// Number of classes.
        num_classes: usize = 2,
        /// A target that does not count.
        ignore_class: Option<i64> = None,
        /// Predictions are labels, not scores.
        sparse_y_pred: bool = false,
        /// The axis of the classes.
        axis: i64 = -1,
    } |s| table(s.num_classes, all(s.num_classes), s.ignore_class, [false, s.sparse_y_pred], s.axis);
}
