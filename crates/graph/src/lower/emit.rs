//! Writes the launches of groups.

use super::graph::{Graph, Kind, Value, internal, must};
use super::groups::{Group, Groups, folded};
use super::join;
use super::program::{Builder, Reg};
use super::recompute::{Recomputed, follow};
use super::storage::Storage;
use crate::access::Access;
use crate::backend::Backend;
use crate::expr::Expr;
use crate::ops::{Movement, Op, Reduce};
use crate::plan::{BufferId, Kernel, Launch, Reduction, View};
use rhyton_tensor::{Dim, Result};

/// Everything that was decided.
pub struct Emit<'a> {
    pub g: &'a Graph<'a>,
    pub r: &'a Recomputed,
    pub groups: &'a Groups,
    pub storage: &'a Storage,
    pub backend: &'a dyn Backend,
}

impl<'a> Emit<'a> {
    /// The launches of groups in this order, and the groups whose programs have more operands than the backend.
    pub fn launches(&self, order: &[usize]) -> Result<(Vec<Launch>, Vec<usize>)> {
        let (mut launches, mut too_large): (Vec<Launch>, _) = (vec![], vec![]);
        for id in order {
            if let Some((value, target)) = self.storage.copies.get(id) {
                launches.push(self.late_copy(*value, *target)?);
                continue;
            }
            let (group, first) = (&self.groups.groups[*id], launches.len());
            match group.kind {
                Kind::Pointwise => launches.push(self.pointwise(group)?),
                Kind::Dot | Kind::Conv | Kind::Pool => launches.push(self.product(group)?),
                Kind::Reduce => launches.push(self.reduce(group)?),
                Kind::Join => self.join(group.nodes[0], &mut launches)?,
                Kind::Kernel => launches.push(self.kernel(group.nodes[0])?),
                Kind::Source | Kind::View => return Err(internal("a view has no kernel")),
            }
            let operands = launches[first..].iter().filter_map(|l| Some(l.kernel.program()?.operands()));
            if operands.max().is_some_and(|n| n > self.g.limits.operands) {
                too_large.push(*id);
            }
        }
        Ok((launches, too_large))
    }

    pub fn builder(&self) -> Builder<'a> {
        Builder::new(self.g, self.r, &self.storage.of)
    }

    /// The stored value behind `e` as this kernel reads it from memory.
    pub fn operand(&self, e: &Expr) -> Result<View> {
        let (base, path) = self.g.resolve(e);
        let access = follow(self.g, Access::contiguous(self.g.value(base).shape()), &path);
        let access = must(access, "an operand that strides cannot say")?;
        Ok(view(self.buffer(base)?, access))
    }

    fn buffer(&self, value: Value) -> Result<BufferId> {
        must(self.storage.of.get(&value).copied(), "an operand is not stored")
    }

    /// The whole buffer of a result.
    pub fn result(&self, value: Value) -> Result<View> {
        Ok(View::contiguous(self.buffer(value)?, self.g.value(value).shape()))
    }

    /// The views that the values of a fused kernel are written to.
    fn targets(&self, value: Value) -> Result<Vec<View>> {
        let mut views = vec![];
        if self.storage.of.contains_key(&value) {
            views.push(self.result(value)?);
        }
        for p in self.storage.placements.get(&value).into_iter().flatten() {
            views.push(view(self.buffer((p.join, 0))?, p.access.clone()));
        }
        Ok(views)
    }

    fn members(&self, b: &mut Builder, nodes: &[usize]) -> Result<(Vec<Reg>, Vec<View>)> {
        let (mut outputs, mut writes) = (vec![], vec![]);
        for node in nodes {
            let reg = b.member(*node)?;
            for target in self.targets((*node, 0))? {
                outputs.push(reg);
                writes.push(target);
            }
        }
        Ok((outputs, writes))
    }

    fn pointwise(&self, group: &Group) -> Result<Launch> {
        let mut b = self.builder();
        let (outputs, writes) = self.members(&mut b, &group.nodes)?;
        let (program, reads) = b.finish(&outputs);
        let kernel = Kernel::Loop { shape: group.space.to_vec(), program };
        Ok(Launch { kernel, reads, writes, label: self.label(&group.nodes) })
    }

    fn product(&self, group: &Group) -> Result<Launch> {
        let (node, rest) = must(group.nodes.split_first(), "an empty product")?;
        let e = &self.g.nodes[*node];
        let mut b = self.builder();
        b.given((*node, 0), e.dtype());
        let mut outputs = vec![];
        let mut writes = self.targets((*node, 0))?;
        writes.iter().for_each(|_| outputs.push(Reg::Input(0)));
        let (more, targets) = self.members(&mut b, rest)?;
        outputs.extend(more);
        writes.extend(targets);
        let plain = rest.is_empty() && writes.len() == 1;
        let (program, extra) = b.finish(&outputs);
        let (kernel, mut reads) = self.fused(e, (!plain).then_some(program))?;
        reads.extend(extra);
        Ok(Launch { kernel, reads, writes, label: self.label(&group.nodes) })
    }

    fn reduce(&self, group: &Group) -> Result<Launch> {
        let (input, axes) = must(folded(&self.g.nodes[group.nodes[0]]), "no reduction")?;
        let order: Vec<usize> =
            (0..input.rank()).filter(|a| !axes.contains(a)).chain(axes.to_vec()).collect();
        let shape = order.iter().map(|a| input.shape()[*a].clone()).collect();
        let mut b = self.builder().over(order);
        let (mut folds, mut outputs, mut writes) = (vec![], vec![], vec![]);
        for node in &group.nodes {
            let e = &self.g.nodes[*node];
            folds.push(match e.op() {
                Op::Reduce(Reduce::Fold { kind, .. }) => Reduction::Fold(*kind),
                _ => Reduction::ArgMax,
            });
            outputs.push(b.read(&e.inputs()[0], &[])?);
            writes.push(self.result((*node, 0))?);
        }
        let (program, reads) = b.finish(&outputs);
        let kernel = Kernel::Reduce { shape, folded: axes.len(), folds, program };
        Ok(Launch { kernel, reads, writes, label: self.label(&group.nodes) })
    }

    /// The borders and the parts that no other kernel has written.
    fn join(&self, node: usize, launches: &mut Vec<Launch>) -> Result<()> {
        let e = &self.g.nodes[node];
        let whole = self.result((node, 0))?;
        if let Op::Movement(Movement::Pad { axis, lo, hi, between, value }) = e.op() {
            let n = e.shape()[*axis].clone();
            let borders = if *between > 0 {
                vec![(Dim::default(), n)]
            } else {
                vec![(Dim::default(), lo.clone()), (n - hi, hi.clone())]
            };
            for (start, len) in borders.into_iter().filter(|(_, len)| !len.is(0)) {
                let mut shape = e.shape().clone();
                shape.0[*axis] = len;
                let mut b = self.builder();
                let constant = b.constant(*value);
                let (program, reads) = b.finish(&[constant]);
                let target = view(whole.buffer, join::piece(e.shape(), *axis, &start, 1));
                let kernel = Kernel::Loop { shape: shape.to_vec(), program };
                launches.push(Launch { kernel, reads, writes: vec![target], label: self.label(&[node]) });
            }
        }
        for (part, (input, target)) in e.inputs().iter().zip(join::targets(self.g, node)).enumerate() {
            if !self.storage.placed.contains(&(node, part)) {
                let target = view(whole.buffer, target);
                launches.push(self.copy(input, target, self.label(&[node]))?);
            }
        }
        Ok(())
    }

    fn copy(&self, from: &Expr, to: View, label: String) -> Result<Launch> {
        let mut b = self.builder();
        let reg = b.read(from, &[])?;
        let (program, reads) = b.finish(&[reg]);
        let kernel = Kernel::Loop { shape: from.shape().to_vec(), program };
        Ok(Launch { kernel, reads, writes: vec![to], label })
    }

    fn late_copy(&self, value: Value, target: BufferId) -> Result<Launch> {
        let e = self.g.value(value);
        let to = View::contiguous(target, e.shape());
        let from = View::contiguous(self.buffer(value)?, e.shape());
        let program = crate::plan::Program { inputs: vec![e.dtype()], code: vec![], outputs: vec![0] };
        let kernel = Kernel::Loop { shape: e.shape().to_vec(), program };
        let label = format!("{}update", prefix(&e));
        Ok(Launch { kernel, reads: vec![from], writes: vec![to], label })
    }

    /// Layer path and operations.
    pub fn label(&self, nodes: &[usize]) -> String {
        let mut names: Vec<String> = Vec::new();
        for n in nodes {
            let name = name(self.g.op(*n));
            if names.last() != Some(&name) && names.len() < 8 {
                names.push(name);
            }
        }
        let last = nodes.last().map(|n| prefix(&self.g.nodes[*n])).unwrap_or_default();
        last + &names.join("+")
    }
}

pub fn view(buffer: BufferId, access: Access) -> View {
    View { buffer, offset: access.offset, strides: access.strides }
}

fn prefix(e: &Expr) -> String {
    let path = &e.node().path;
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}

/// A short word for an operation.
pub fn name(op: &Op) -> String {
    op.name().to_string()
}
