//! [`Logs`]: figures by name.

use serde_json::{Map, Value as Json};

/// Figures by name, in order.
///
/// ```
/// use rhyton_train::Logs;
/// let logs = Logs::from_iter([("loss", 0.5), ("accuracy", 0.75)]);
/// assert_eq!(logs.get("accuracy"), Some(0.75));
/// assert_eq!(logs.to_string(), "loss: 0.5000 - accuracy: 0.7500");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logs(Vec<(String, f64)>);

impl Logs {
    /// The figure of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| *v)
    }

    /// Sets a figure; a new one goes last.
    pub fn set(&mut self, name: &str, value: f64) {
        match self.0.iter_mut().find(|(n, _)| n == name) {
            Some((_, v)) => *v = value,
            None => self.0.push((name.into(), value)),
        }
    }

    /// Names and figures, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(n, v)| (n.as_str(), *v))
    }

    /// The names, in order.
    pub fn names(&self) -> Vec<&str> {
        self.iter().map(|(n, _)| n).collect()
    }

    /// Number of figures.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True without figures.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same figures in alphabetical order: how Keras prints them.
    pub fn sorted(&self) -> Logs {
        let mut sorted = self.clone();
        sorted.0.sort_by(|a, b| a.0.cmp(&b.0));
        sorted
    }

    /// The figures as a JSON object; those that are not finite are strings.
    pub fn to_json(&self) -> Json {
        Json::Object(self.iter().map(|(n, v)| (n.to_string(), number(v))).collect::<Map<_, _>>())
    }
}

impl<N: Into<String>> FromIterator<(N, f64)> for Logs {
    fn from_iter<I: IntoIterator<Item = (N, f64)>>(items: I) -> Logs {
        // Two outputs of one layer share their name; the last one's figure stays, as in Keras.
        let mut logs = Logs::default();
        items.into_iter().for_each(|(n, v)| logs.set(&n.into(), v));
        logs
    }
}

impl std::fmt::Display for Logs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, (name, value)) in self.iter().enumerate() {
            let dash = if i > 0 { " - " } else { "" };
            write!(f, "{dash}{name}: {}", super::progress::figure(value))?;
        }
        Ok(())
    }
}

/// A number for JSON, which has none that are not finite: those are strings.
pub fn number(x: f64) -> Json {
    if x.is_finite() { x.into() } else { x.to_string().into() }
}

/// What [`number`] wrote.
pub fn from_number(json: &Json) -> Option<f64> {
    json.as_f64().or_else(|| json.as_str().and_then(|s| s.parse().ok()))
}
