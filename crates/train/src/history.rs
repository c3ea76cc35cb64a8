//! [`History`]: what every epoch reached.

use super::Logs;
use super::logs::{from_number, number};
use serde_json::{Map, Value as Json, json};

/// The figures of every epoch, as `fit` returns them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Numbers of the epochs that ran, from 0.
    pub epoch: Vec<usize>,
    /// Last epoch asked for.
    pub epochs: usize,
    /// Steps of an epoch, where known.
    pub steps: Option<usize>,
    series: Vec<(String, Vec<f64>)>,
}

impl History {
    /// The figures of this name, epoch by epoch; empty when there is none.
    pub fn get(&self, name: &str) -> &[f64] {
        self.series.iter().find(|(n, _)| n == name).map_or(&[], |(_, v)| v)
    }

    /// The last figure of this name.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.get(name).last().copied()
    }

    /// Names, in the order they first appeared.
    pub fn names(&self) -> Vec<&str> {
        self.series.iter().map(|(n, _)| n.as_str()).collect()
    }

    /// Names and figures.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[f64])> {
        self.series.iter().map(|(n, v)| (n.as_str(), v.as_slice()))
    }

    /// Adds an epoch.
    pub(crate) fn push(&mut self, epoch: usize, logs: &Logs) {
        self.epoch.push(epoch);
        for (name, value) in logs.iter() {
            match self.series.iter_mut().find(|(n, _)| n == name) {
                Some((_, v)) => v.push(value),
                None => self.series.push((name.into(), vec![value])),
            }
        }
    }

    /// `{"loss": [..], ..}`; figures that are not finite are strings.
    pub fn to_json(&self) -> Json {
        let list = |v: &[f64]| Json::Array(v.iter().map(|x| number(*x)).collect());
        Json::Object(self.iter().map(|(n, v)| (n.to_string(), list(v))).collect::<Map<_, _>>())
    }

    pub(crate) fn to_state(&self) -> Json {
        json!({ "epoch": self.epoch, "history": self.to_json() })
    }

    pub(crate) fn from_state(state: &Json) -> History {
        let list = |v: &Json| v.as_array().map(|v| v.iter().filter_map(from_number).collect());
        let epochs = state["epoch"].as_array();
        let epoch = epochs.map(|v| v.iter().filter_map(Json::as_u64).map(|e| e as usize).collect());
        let series = state["history"].as_object();
        let series =
            series.map(|m| m.iter().map(|(n, v)| (n.clone(), list(v).unwrap_or_default())).collect());
        History { epoch: epoch.unwrap_or_default(), series: series.unwrap_or_default(), ..History::default() }
    }
}
