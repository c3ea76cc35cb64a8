//! Convolutions, and what happens to their results on the way to memory.

use super::product::{Finish, epilogue};
use super::resolve::{Lane, Setting, three};
use super::task::Context;
use crate::conv::{ConvShape, conv, conv_scratch_len};
use crate::gemm::Epilogue;
use crate::tile::sweep::Sweep;
use rhyton_graph::ops::ConvKind;
use rhyton_graph::plan::{Kernel, Launch};
use rhyton_tensor::{Error, Result};

/// A prepared convolution.
pub(crate) struct ConvTask {
    kind: ConvKind,
    shape: ConvShape,
    a: Lane,
    b: Lane,
    /// Without an epilogue, where the result goes.
    out: Option<Lane>,
    finish: Option<Sweep>,
    work: usize,
    empty: bool,
}

impl ConvTask {
    pub fn new(launch: &Launch, setting: &Setting) -> Result<ConvTask> {
        let Kernel::Conv { kind, x, w, y, strides, dilation, pad_lo, groups, epilogue: program } =
            &launch.kernel
        else {
            return Err(Error::new("not a convolution"));
        };
        let (x, w, y) = (setting.sizes(x)?, setting.sizes(w)?, setting.sizes(y)?);
        let n = strides.len();
        let reads = setting.views(&launch.reads)?;
        let writes = setting.views(&launch.writes)?;
        let ranks = [x.len(), w.len(), y.len()].iter().all(|r| *r == n + 2);
        if !ranks || dilation.len() != n || pad_lo.len() != n || reads.len() < 2 || writes.is_empty() {
            return Err(Error::new("a convolution's views do not fit its axes"));
        }
        let shape = ConvShape {
            batch: x[0],
            x: three(&x[1..=n], 1)?,
            k: three(&w[..n], 1)?,
            y: three(&y[1..=n], 1)?,
            stride: three(strides, 1)?,
            dilation: three(dilation, 1)?,
            pad_lo: three(&setting.sizes(pad_lo)?, 0)?,
            groups: *groups,
            c_in: x[n + 1],
            c_out: y[n + 1],
        };
        let result = match kind {
            ConvKind::Forward => &y,
            ConvKind::InputGrad => &x,
            ConvKind::KernelGrad => &w,
        };
        let finish = match program {
            Some(p) => Some(epilogue(setting, p, result, [0, n + 1, 1], &reads[2..], &writes)?),
            None => None,
        };
        Ok(ConvTask {
            kind: *kind,
            shape,
            a: reads[0].clone(),
            b: reads[1].clone(),
            out: finish.is_none().then(|| writes[0].clone()),
            finish,
            work: conv_scratch_len(*kind, &shape, setting.threads),
            empty: result.contains(&0),
        })
    }

    pub fn scratch(&self) -> usize {
        self.work * 4
    }

    /// # Safety
    /// As for `Task::run`.
    pub unsafe fn run(&self, cx: Context) {
        if self.empty {
            return;
        }
        // SAFETY: the plan's views are contiguous and inside their buffers; scratch is as large as asked for.
        unsafe {
            let at = |l: &Lane| cx.table.get(l.buffer).cast::<f32>().offset(l.offset);
            let finish = self.finish.as_ref().map(|sweep| Finish::new(sweep, cx.table, 0));
            conv(
                self.kind,
                cx.isa,
                cx.pool,
                &self.shape,
                at(&self.a),
                at(&self.b),
                self.out.as_ref().map(at),
                finish.as_ref().map(|f| f as &dyn Epilogue),
                std::slice::from_raw_parts_mut(cx.scratch.cast(), self.work),
            );
        }
    }
}
