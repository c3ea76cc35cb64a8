//! Symbols become numbers.

use crate::isa::Isa;
use rhyton_graph::bounds;
use rhyton_graph::plan::View;
use rhyton_tensor::{Bindings, Dim, Error, Result};

/// What a plan is prepared for.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    /// Instruction set.
    pub isa: Isa,
    /// Number of threads.
    pub threads: usize,
    /// Values of the symbols.
    pub bindings: &'a Bindings,
    /// Whether launches are to be measured.
    pub profile: bool,
}

impl Setting<'_> {
    /// A size.
    pub fn size(&self, d: &Dim) -> Result<usize> {
        Ok(self.sizes(std::slice::from_ref(d))?[0])
    }

    /// Sizes.
    pub fn sizes(&self, dims: &[Dim]) -> Result<Vec<usize>> {
        bounds::sizes(dims, self.bindings)
    }

    /// A distance, which may be negative.
    pub fn signed(&self, d: &Dim) -> Result<isize> {
        let n = d.eval_signed(self.bindings).and_then(|n| isize::try_from(n).ok());
        n.ok_or_else(|| Error::new(format!("the offset {d} is not known")))
    }

    /// A view.
    pub fn view(&self, v: &View) -> Result<Lane> {
        let strides = v.strides.iter().map(|s| self.signed(s)).collect::<Result<_>>()?;
        Ok(Lane { buffer: v.buffer, offset: self.signed(&v.offset)?, strides })
    }

    /// Views.
    pub fn views(&self, views: &[View]) -> Result<Vec<Lane>> {
        views.iter().map(|v| self.view(v)).collect()
    }
}

/// A view with numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lane {
    /// Which buffer.
    pub buffer: usize,
    /// First element.
    pub offset: isize,
    /// Distances in elements.
    pub strides: Vec<isize>,
}

/// Three sizes, those not used being `fill`.
pub(crate) fn three(sizes: &[usize], fill: usize) -> Result<[usize; 3]> {
    let mut all = [fill; 3];
    let at = 3usize.checked_sub(sizes.len()).ok_or_else(|| {
        Error::new(format!("a window over {} spatial dims", sizes.len())).expected("at most three")
    })?;
    all[at..].copy_from_slice(sizes);
    Ok(all)
}
