//! [`CSVLogger`].

use crate::files;
use rhyton_tensor::Result;
use rhyton_train::callbacks::{Callback, CallbackState};
use rhyton_train::{Logs, Training};
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

/// Writes the figures of every epoch as a line of a CSV file, with Keras's columns. Training that goes on after an
/// interruption goes on in the file, too, without lines of epochs that are done again.
#[derive(Clone, Debug)]
pub struct CSVLogger {
    path: PathBuf,
    separator: char,
    append: bool,
    columns: Vec<String>,
    /// Bytes that are ours and those before them.
    written: Option<u64>,
}

impl CSVLogger {
    /// Writes to this file.
    pub fn new(path: impl Into<PathBuf>) -> CSVLogger {
        CSVLogger { path: path.into(), separator: ',', append: false, columns: vec![], written: None }
    }

    /// Between the figures; a comma otherwise.
    pub fn separator(mut self, separator: char) -> Self {
        self.separator = separator;
        self
    }

    /// Goes on in a file that is there instead of replacing it.
    pub fn append(mut self, yes: bool) -> Self {
        self.append = yes;
        self
    }

    /// Writes at the end of what is ours, and drops what lies behind.
    fn write(&mut self, text: &str) -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.path)?;
        file.set_len(self.written.unwrap_or(0))?;
        file.seek(SeekFrom::End(0))?;
        file.write_all(text.as_bytes())?;
        self.written = Some(file.stream_position()?);
        Ok(())
    }

    /// Opens the file as every epoch will; what is there stays.
    fn try_file(&self) -> std::io::Result<()> {
        let new = !self.path.exists();
        OpenOptions::new().create(true).append(true).open(&self.path)?;
        if new { std::fs::remove_file(&self.path) } else { Ok(()) }
    }

    fn line(&self, cells: impl Iterator<Item = String>) -> String {
        let separator = self.separator.to_string();
        cells.collect::<Vec<_>>().join(&separator) + "\n"
    }

    fn header(&mut self, logs: &Logs) -> String {
        self.columns = logs.sorted().iter().map(|(n, _)| n.to_string()).collect();
        // An epoch without validation may come first.
        if !self.columns.iter().any(|c| c.starts_with("val_")) {
            let more: Vec<String> = self.columns.iter().map(|c| format!("val_{c}")).collect();
            self.columns.extend(more);
        }
        self.line(["epoch".to_string()].into_iter().chain(self.columns.iter().cloned()))
    }
}

/// A figure as Python writes it.
fn cell(x: Option<f64>) -> String {
    match x {
        None => "NA".into(),
        Some(x) if x.is_nan() => "nan".into(),
        Some(x) if x.is_infinite() => if x > 0.0 { "inf" } else { "-inf" }.into(),
        Some(x) => format!("{x:?}"),
    }
}

impl Callback for CSVLogger {
    fn on_train_begin(&mut self, _: &mut Training<'_>) -> Result<()> {
        let old = std::fs::metadata(&self.path).map_or(0, |m| m.len());
        self.written = (self.append && old > 0).then_some(old);
        self.columns.clear();
        self.try_file().map_err(|e| files::explain("write the figures of epochs", &self.path, &e))?;
        files::try_target(&self.path, 0)
    }

    fn on_epoch_end(&mut self, epoch: usize, cx: &mut Training<'_>) -> Result<()> {
        let mut text = String::new();
        if self.columns.is_empty() {
            let header = self.header(cx.logs());
            if self.written.is_none() {
                text = header;
            }
        }
        let cells = self.columns.iter().map(|c| cell(cx.logs().get(c)));
        text += &self.line([epoch.to_string()].into_iter().chain(cells));
        self.write(&text).map_err(|e| files::explain("write the figures of an epoch", &self.path, &e))
    }

    fn state(&self) -> CallbackState {
        json!({ "columns": self.columns, "written": self.written }).into()
    }

    fn restore(&mut self, state: &CallbackState) -> Result<()> {
        let columns = state.json["columns"].as_array().into_iter().flatten();
        self.columns = columns.filter_map(|c| c.as_str().map(String::from)).collect();
        self.written = state.json["written"].as_u64();
        Ok(())
    }
}
