//! Clocks for launches.

use super::element_bytes;
use super::resolve::Setting;
use crate::pool::Pool;
use rhyton_graph::Type;
use rhyton_graph::backend::LaunchTime;
use rhyton_graph::ops::ConvKind;
use rhyton_graph::plan::{Kernel, Launch, Place, Plan, Program, View};
use rhyton_tensor::{Dim, Result};
use std::time::Instant;

/// Measures one launch.
pub(crate) struct Clock {
    time: LaunchTime,
}

impl Clock {
    /// A clock at zero.
    pub fn new(plan: &Plan, launch: &Launch, setting: &Setting) -> Result<Clock> {
        Ok(Clock {
            time: LaunchTime {
                label: launch.label.clone(),
                kernel: describe(&launch.kernel, setting)?,
                depth: 0,
                calls: 0,
                seconds: 0.0,
                flops: flops(&launch.kernel, setting)?,
                bytes: bytes(plan, launch, setting)?,
                threads: 1,
            },
        })
    }

    /// Adds one call.
    pub fn measure(&mut self, pool: &Pool, run: impl FnOnce()) {
        let (splits, start) = (pool.splits(), Instant::now());
        run();
        self.time.seconds += start.elapsed().as_secs_f64();
        self.time.calls += 1;
        if pool.splits() != splits {
            self.time.threads = pool.threads();
        }
    }

    /// The measurements; the clock goes back to zero.
    pub fn take(&mut self) -> LaunchTime {
        let zero = LaunchTime { calls: 0, seconds: 0.0, threads: 1, ..self.time.clone() };
        std::mem::replace(&mut self.time, zero)
    }
}

fn describe(kernel: &Kernel, setting: &Setting) -> Result<String> {
    let by = |dims: &[Dim]| -> Result<String> {
        Ok(setting.sizes(dims)?.iter().map(usize::to_string).collect::<Vec<_>>().join(" x "))
    };
    let many = |dims: &[Dim]| -> Result<usize> { Ok(setting.sizes(dims)?.iter().product()) };
    Ok(match kernel {
        Kernel::Loop { shape, .. } => format!("loop {}", by(shape)?),
        Kernel::Reduce { shape, folded, .. } => {
            let (kept, rest) = shape.split_at(shape.len().saturating_sub(*folded));
            format!("reduce {} over {}", by(kept)?, by(rest)?)
        }
        Kernel::Rows { rows, stages } => {
            let widest = |k: &Kernel| match k {
                Kernel::Loop { shape, .. } | Kernel::Reduce { shape, .. } => {
                    many(&shape[k.row_axes(rows).unwrap_or(shape.len())..])
                }
                _ => Ok(1),
            };
            let all = stages.iter().map(|s| widest(&s.kernel)).collect::<Result<Vec<_>>>()?;
            let longest = all.into_iter().max().unwrap_or(1);
            format!("{} stages over {} rows of {longest}", stages.len(), setting.size(rows)?)
        }
        Kernel::Dot { batch, m, n, k, .. } => {
            let times = if batch.is_empty() { String::new() } else { format!("{} times ", many(batch)?) };
            format!("dot {times}{} x {}, sums of {}", many(m)?, many(n)?, many(k)?)
        }
        Kernel::Conv { conv, x, w, y, .. } => {
            let kind = match conv.kind {
                ConvKind::Forward => "conv",
                ConvKind::InputGrad => "conv input gradient",
                ConvKind::KernelGrad => "conv kernel gradient",
            };
            format!("{kind} {} to {} by {}", by(x)?, by(y)?, by(w)?)
        }
        Kernel::Pool { window, outer, .. } => {
            let kind = format!("{:?}", window.kind).to_lowercase();
            format!(
                "pool {kind} {} by {:?}",
                by(&[&outer[..1], &window.full, &outer[1..]].concat())?,
                window.window
            )
        }
        Kernel::Primitive { op, inputs, outputs } => {
            let all = |types: &[Type]| -> Result<String> {
                Ok(types.iter().map(|t| by(&t.shape)).collect::<Result<Vec<_>>>()?.join(", "))
            };
            format!("{} {} of {}", op.name(), all(outputs)?, all(inputs)?)
        }
        Kernel::Scan { length, .. } => format!("scan of {}", setting.size(length)?),
        Kernel::Named { call } => match call.inputs.first() {
            Some(ty) => format!("{} {}", call.name, by(&ty.shape)?),
            None => call.name.clone(),
        },
    })
}

/// Arithmetic of a launch; 0 for what is mostly moving.
pub(crate) fn flops(kernel: &Kernel, setting: &Setting) -> Result<f64> {
    let many = |dims: &[Dim]| -> Result<f64> { Ok(setting.sizes(dims)?.iter().map(|n| *n as f64).product()) };
    let steps = |program: &Program| program.code.len() as f64;
    let after = |program: &Option<Program>| program.as_ref().map_or(0.0, steps);
    Ok(match kernel {
        Kernel::Loop { shape, program } => many(shape)? * steps(program),
        Kernel::Reduce { shape, program, .. } => {
            many(shape)? * (program.outputs.len() as f64 + steps(program))
        }
        Kernel::Rows { stages, .. } => {
            let all = stages.iter().map(|s| flops(&s.kernel, setting)).collect::<Result<Vec<_>>>()?;
            all.into_iter().sum()
        }
        Kernel::Dot { batch, m, n, k, epilogue } => {
            many(batch)? * many(m)? * many(n)? * (2.0 * many(k)? + after(epilogue))
        }
        Kernel::Conv { conv, x, w, y, epilogue } => {
            let [_, _, result] = conv.kind.sides([x, w, y]);
            // Every output pixel meets every weight of its group once.
            let pixels = many(&y[..y.len().saturating_sub(1)])?;
            2.0 * pixels * many(w)? + many(result)? * after(epilogue)
        }
        _ => 0.0,
    })
}

fn bytes(plan: &Plan, launch: &Launch, setting: &Setting) -> Result<f64> {
    let (reads, writes) = launch.shapes();
    let mut total = 0.0;
    let views: Vec<&View> = launch.reads.iter().chain(&launch.writes).collect();
    for (i, (view, shape)) in views.iter().zip(reads.iter().chain(&writes)).enumerate() {
        let View { buffer, strides, .. } = view;
        // What a later stage sees again is in the cache.
        if plan.buffers[*buffer].place == Place::Rows || views[..i].contains(view) {
            continue;
        }
        let mut elements = 1.0;
        for (stride, size) in strides.iter().zip(shape) {
            if setting.signed(stride)? != 0 {
                elements *= setting.size(size)? as f64;
            }
        }
        total += elements * element_bytes(plan.buffers[*buffer].dtype) as f64;
    }
    Ok(total)
}
