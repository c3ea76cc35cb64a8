//! [`CSVLogger`]: the figures of every epoch as a table.

use crate::files;
use rhyton_nn::callbacks::{Callback, CallbackState};
use rhyton_nn::training::Training;
use rhyton_tensor::Result;
use serde_json::json;
use std::path::PathBuf;

/// Writes `epoch` and the figures of every epoch, in alphabetical order, to a CSV file. Columns for validation are
/// there from the first row on, filled with `NA` where there was none, as in Keras.
///
/// ```no_run
/// let log = rhyton_io::CSVLogger::new("training.csv");
/// ```
pub struct CSVLogger {
    path: PathBuf,
    separator: char,
    append: bool,
    keys: Vec<String>,
    text: String,
}

impl CSVLogger {
    /// Writes to this file.
    pub fn new(path: impl Into<PathBuf>) -> CSVLogger {
        CSVLogger { path: path.into(), separator: ',', append: false, keys: vec![], text: String::new() }
    }

    /// What stands between columns.
    pub fn separator(mut self, c: char) -> CSVLogger {
        self.separator = c;
        self
    }

    /// Keeps the rows that are there already.
    pub fn append(mut self, yes: bool) -> CSVLogger {
        self.append = yes;
        self
    }

    fn row(&mut self, cells: impl Iterator<Item = String>) {
        let cells: Vec<String> = cells.collect();
        self.text.push_str(&cells.join(&self.separator.to_string()));
        self.text.push('\n');
    }
}

impl Callback for CSVLogger {
    fn on_train_begin(&mut self, _: &mut Training<'_>) -> Result<()> {
        if self.append && self.text.is_empty() && self.path.exists() {
            self.text = String::from_utf8_lossy(&files::read(&self.path)?).into_owned();
        }
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, cx: &mut Training<'_>) -> Result<()> {
        let logs = cx.logs().sorted();
        if self.keys.is_empty() {
            self.keys = logs.names().into_iter().map(String::from).collect();
            if !self.keys.iter().any(|k| k.starts_with("val_")) {
                self.keys.extend(logs.names().iter().map(|k| format!("val_{k}")));
            }
            if self.text.is_empty() {
                let header: Vec<String> =
                    std::iter::once("epoch".to_string()).chain(self.keys.iter().cloned()).collect();
                self.row(header.into_iter());
            }
        }
        let figure = |k: &String| logs.get(k).map_or("NA".to_string(), |v| v.to_string());
        let cells: Vec<String> =
            std::iter::once(epoch.to_string()).chain(self.keys.iter().map(figure)).collect();
        self.row(cells.into_iter());
        files::write_atomically(&self.path, |out| {
            out.write_all(self.text.as_bytes()).map_err(|e| files::write_failed(&e))
        })
    }

    fn state(&self) -> CallbackState {
        json!({ "keys": self.keys, "text": self.text }).into()
    }

    fn restore(&mut self, state: &CallbackState) -> Result<()> {
        self.text = state.json["text"].as_str().unwrap_or_default().into();
        let keys = state.json["keys"].as_array().into_iter().flatten();
        self.keys = keys.filter_map(|k| k.as_str().map(String::from)).collect();
        Ok(())
    }
}
