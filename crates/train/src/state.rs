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

const FORMAT: u64 = 3;

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
    ) -> Result<TrainingState> {
        let mut tensors = model.kept()?;
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
        Ok(TrainingState { tensors, json })
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

    /// Puts the tensors into a model. What a program that is not compiled yet will keep waits for it there.
    pub(crate) fn apply(&self, model: &mut Compiled) -> Result<()> {
        let weights = self.part("model.0/");
        if !model.variables().iter().map(|v| &v.path).eq(weights.iter().map(|(n, _)| n)) {
            return Err(Error::new("the state of training belongs to another model")
                .place("resume")
                .fix("build the model exactly as it was built when training began"));
        }
        if !self.tensors.iter().any(|(n, _)| n == "key") {
            return Err(Error::new("the state of training has no random key").place("resume"));
        }
        let optimizer: Vec<Tensor> = self.part("optimizer.0/").into_iter().map(|(_, t)| t).collect();
        model.check_optimizer_state(&optimizer).map_err(|e| e.place("resume"))?;
        let own = self.tensors.iter().filter(|(n, _)| !n.starts_with("callbacks/"));
        own.into_iter().try_for_each(|(n, t)| model.restore(n, t)).map_err(|e| e.place("resume"))
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
    /// Everything that training keeps, for checkpoints.
    fn kept(&self) -> Result<Vec<(String, Tensor)>> {
        let mut kept = self.values().with_prefix("")?;
        // Evaluation begins anew.
        kept.retain(|(name, _)| !name.starts_with("test/"));
        Ok(kept)
    }

    fn restore(&mut self, name: &str, value: &Tensor) -> Result<()> {
        let values = self.model.values_mut();
        if values.has(name) { values.set(name, value) } else { values.insert(name, value.clone()) }
    }

    /// The state of training between two calls of `fit`, to be gone on from with `Fit::resume`.
    ///
    /// # Errors
    /// When the backend cannot give what it keeps.
    pub fn training_state(&self, history: &History) -> Result<TrainingState> {
        let epoch = history.epoch.last().map_or(0, |e| e + 1);
        let position = Position { epoch, pass: self.passes, seed: self.seed, ..Position::default() };
        TrainingState::capture(self, &position, history, &[], &Json::Null)
    }
}
