//! [`TrainingState`]: everything that training needs to go on with the same bits.

use super::{Compiled, History};
use crate::callbacks::{Callback, CallbackState};
use rhyton_tensor::{Error, Result, Tensor};
use serde_json::{Value as Json, json};

/// Everything that training needs to go on with the same bits: all tensors by name, and numbers as JSON. Plain data,
/// for any file format that keeps names, shapes, types and bits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingState {
    /// Weights, figures, optimizer state, random key and tensors of callbacks.
    pub tensors: Vec<(String, Tensor)>,
    /// Epoch, step, place in the data, seed, history and numbers of callbacks.
    pub json: Json,
}

/// How far training has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Position {
    /// Epochs done.
    pub(crate) epoch: usize,
    /// Steps done in the epoch that is running.
    pub(crate) step: usize,
    /// Pass over the data.
    pub(crate) pass: usize,
    /// Batches of the pass that were dealt out.
    pub(crate) seen: usize,
    /// Seed of shuffling.
    pub(crate) seed: u64,
    /// Whether a callback ended training.
    pub(crate) stopped: bool,
}

const FORMAT: u64 = 2;

impl TrainingState {
    /// Epochs done when the state was taken.
    pub fn epoch(&self) -> usize {
        self.number("epoch")
    }

    /// Steps done in the epoch that was running.
    pub fn step(&self) -> usize {
        self.number("step")
    }

    fn number(&self, key: &str) -> usize {
        self.json[key].as_u64().unwrap_or(0) as usize
    }

    pub(crate) fn capture(
        model: &Compiled,
        position: &Position,
        history: &History,
        callbacks: &[Box<dyn Callback + '_>],
        conditions: &Json,
    ) -> TrainingState {
        let mut tensors = model.named_state();
        let mut saved = vec![];
        for (i, c) in callbacks.iter().enumerate() {
            let state = c.state();
            saved.push(state.json);
            tensors.extend(state.tensors.into_iter().map(|(n, t)| (format!("callbacks/{i}/{n}"), t)));
        }
        let p = position;
        let json = json!({
            "format": FORMAT,
            "epoch": p.epoch,
            "step": p.step,
            "pass": p.pass,
            "seen": p.seen,
            "seed": p.seed,
            "stopped": p.stopped,
            "history": history.to_state(),
            "callbacks": saved,
            "conditions": conditions,
        });
        TrainingState { tensors, json }
    }

    pub(crate) fn position(&self) -> Position {
        Position {
            epoch: self.number("epoch"),
            step: self.number("step"),
            pass: self.number("pass"),
            seen: self.number("seen"),
            seed: self.json["seed"].as_u64().unwrap_or(0),
            stopped: self.json["stopped"].as_bool().unwrap_or(false),
        }
    }

    pub(crate) fn history(&self) -> History {
        History::from_state(&self.json["history"])
    }

    fn part(&self, prefix: &str) -> Vec<(String, Tensor)> {
        let inside =
            self.tensors.iter().filter_map(|(n, t)| Some((n.strip_prefix(prefix)?.to_string(), t.clone())));
        inside.collect()
    }

    /// Whether this version of Rhyton wrote it.
    pub(crate) fn check_format(&self) -> Result<()> {
        if self.json["format"].as_u64() == Some(FORMAT) {
            return Ok(());
        }
        Err(Error::new("the state of training is of another version")
            .place("resume")
            .fix("resume with the version of Rhyton that wrote it"))
    }

    /// Puts the tensors into a model.
    pub(crate) fn apply(&self, model: &mut Compiled) -> Result<()> {
        let values = |prefix: &str| self.part(prefix).into_iter().map(|(_, t)| t).collect::<Vec<_>>();
        let same = model.variables().iter().map(|v| &v.path).eq(self.part("weights/").iter().map(|(n, _)| n));
        if !same {
            return Err(Error::new("the state of training belongs to another model")
                .place("resume")
                .fix("build the model exactly as it was built when training began"));
        }
        model.set_weights(&values("weights/")).map_err(|e| e.place("resume"))?;
        model.set_figure_state(values("figures/"));
        model.set_optimizer_state(&values("optimizer/")).map_err(|e| e.place("resume"))?;
        let key = self.tensors.iter().find(|(n, t)| n == "key" && t.shape() == [2]);
        let key = key.ok_or_else(|| Error::new("the state of training has no random key").place("resume"))?;
        model.set_key(key.1.clone());
        Ok(())
    }

    /// Gives callbacks their states back.
    pub(crate) fn restore(&self, callbacks: &mut [Box<dyn Callback + '_>]) -> Result<()> {
        let saved = self.json["callbacks"].as_array().cloned().unwrap_or_default();
        if saved.len() != callbacks.len() {
            return Err(Error::new(format!("training was saved with {} callbacks", saved.len()))
                .place("resume")
                .expected(format!("{}, as fit got now", callbacks.len()))
                .fix("give fit the same callbacks in the same order"));
        }
        for (i, (c, json)) in callbacks.iter_mut().zip(saved).enumerate() {
            c.restore(&CallbackState { json, tensors: self.part(&format!("callbacks/{i}/")) })?;
        }
        Ok(())
    }
}

impl Compiled {
    /// Parts of the state by name, for checkpoints.
    pub(crate) fn named_state(&self) -> Vec<(String, Tensor)> {
        let pair = |prefix: &str, names: Vec<String>, tensors: &[Tensor]| -> Vec<(String, Tensor)> {
            names.iter().zip(tensors).map(|(n, t)| (format!("{prefix}/{n}"), t.clone())).collect()
        };
        let numbered = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        let paths = self.model.variables().iter().map(|v| v.path.clone()).collect();
        let mut all = pair("weights", paths, self.model.weights());
        let figures = self.figure_state();
        all.extend(pair("figures", numbered(figures.len()), figures));
        let optimizer = self.optimizer_state();
        all.extend(pair("optimizer", numbered(optimizer.len()), optimizer));
        all.extend(self.key().map(|k| ("key".to_string(), k.clone())));
        all
    }

    /// The state of training between two calls of `fit`, to be gone on from with `Fit::resume`.
    pub fn training_state(&self, history: &History) -> TrainingState {
        let epoch = history.epoch.last().map_or(0, |e| e + 1);
        let position = Position { epoch, pass: self.passes, seed: self.seed, ..Position::default() };
        TrainingState::capture(self, &position, history, &[], &Json::Null)
    }
}
