//! JSON of the command line. Figures are written with `NaN` and `Infinity` as Python writes and reads them: a loss may
//! be one.

use rhyton::{Error, Result};
use serde_json::Value as Json;

/// A number.
pub fn number(x: f64) -> String {
    match x {
        x if x.is_finite() => Json::from(x).to_string(),
        x if x.is_nan() => "NaN".into(),
        x if x > 0.0 => "Infinity".into(),
        _ => "-Infinity".into(),
    }
}

/// A list of numbers.
pub fn list(values: &[f64]) -> String {
    format!("[{}]", values.iter().map(|x| number(*x)).collect::<Vec<_>>().join(", "))
}

/// An object of values that are JSON already.
pub fn object(items: impl Iterator<Item = (String, String)>) -> String {
    let items: Vec<String> = items.map(|(name, value)| format!("{}: {value}", Json::from(name))).collect();
    format!("{{{}}}", items.join(", "))
}

/// Weights of classes: `{"0": 1.0, "1": 2.5}`.
///
/// # Errors
/// When the text is no JSON object of whole numbers and weights.
pub fn class_weights(text: &str) -> Result<Vec<(i64, f64)>> {
    let wrong = || {
        Error::new(format!("'{text}' gives no weights of classes"))
            .place("--class-weight")
            .expected(r#"a JSON object of class and weight: {"0": 1.0, "1": 2.5}"#)
    };
    let map: serde_json::Map<String, Json> = serde_json::from_str(text).map_err(|_| wrong())?;
    let pair = |(class, weight): (String, Json)| Some((class.parse().ok()?, weight.as_f64()?));
    map.into_iter().map(|p| pair(p).ok_or_else(wrong)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_python() {
        let items = [("loss", vec![0.5, f64::NAN, f64::NEG_INFINITY]), ("a\"b", vec![1e-7, 3.0])];
        let text = object(items.iter().map(|(n, v)| ((*n).to_string(), list(v))));
        assert_eq!(text, r#"{"loss": [0.5, NaN, -Infinity], "a\"b": [1e-7, 3.0]}"#);
    }
}
