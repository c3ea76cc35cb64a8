//! Summary statistics.

use super::{Column, Frame};

impl Frame {
    /// Count, mean, standard deviation, minimum, quartiles and maximum of each column of numbers, missing cells
    /// left out, as pandas' `describe`: the deviation divides by n - 1, quartiles interpolate linearly.
    ///
    /// ```
    /// let t = rhyton_data::Frame::from_csv_bytes("t.csv", b"x\n1\n2\n3\n4\n")?;
    /// let d = t.describe();
    /// assert_eq!(d.columns(), ["", "x"]);
    /// assert_eq!(d.column("x")?.numbers().map(|v| v[4]), Some(1.75)); // the 25% quartile
    /// # Ok::<(), rhyton_tensor::Error>(())
    /// ```
    pub fn describe(&self) -> Frame {
        let labels = ["count", "mean", "std", "min", "25%", "50%", "75%", "max"];
        let mut names = vec![String::new()];
        let mut columns = vec![Column::Text(labels.map(|l| Some(l.to_string())).to_vec())];
        for (name, column) in self.names.iter().zip(&self.columns) {
            if let Column::Number(v) = column {
                names.push(name.clone());
                columns.push(Column::Number(statistics(v).to_vec()));
            }
        }
        let source = format!("describe of {}", self.source);
        Frame { source, names, columns, lines: (1..=labels.len() as u64).collect() }
    }
}

fn statistics(cells: &[f64]) -> [f64; 8] {
    let mut v: Vec<f64> = cells.iter().copied().filter(|x| !x.is_nan()).collect();
    v.sort_by(f64::total_cmp);
    let n = v.len() as f64;
    let mean = v.iter().sum::<f64>() / n;
    let variance = v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let std = if v.len() > 1 { variance.sqrt() } else { f64::NAN };
    let q = |fraction| quantile(&v, fraction);
    [n, mean, std, q(0.0), q(0.25), q(0.5), q(0.75), q(1.0)]
}

/// The `fraction` quantile of sorted values, between neighbours by linear interpolation; NaN without values.
fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = fraction * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    if low == high { low } else { low + (high - low) * at.fract() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_equal_pandas() {
        // pandas.Series([3, 1, None, 4, 1, 5]).describe()
        let s = statistics(&[3.0, 1.0, f64::NAN, 4.0, 1.0, 5.0]);
        let expected = [5.0, 2.8, 1.788_854_381_999_831_7, 1.0, 1.0, 3.0, 4.0, 5.0];
        assert!(s.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{s:?}");
    }

    #[test]
    fn few_values_and_infinities() {
        assert_eq!(statistics(&[])[0], 0.0);
        assert!(statistics(&[])[1..].iter().all(|x| x.is_nan()));
        let one = statistics(&[7.0]);
        assert!(one[2].is_nan() && one[4] == 7.0);
        assert_eq!(statistics(&[f64::INFINITY, f64::INFINITY])[5], f64::INFINITY);
    }
}
