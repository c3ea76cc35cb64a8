//! Kernels of their own: products, convolutions, pooling, loops, named functions, and what is one primitive alone.

use super::emit::Emit;
use super::graph::{internal, must};
use super::lower;
use crate::access::Access;
use crate::expr::Expr;
use crate::ops::{Contract, Control, Op};
use crate::plan::{Kernel, Launch, NamedCall, Program, View, row_major};
use rhyton_tensor::{Dim, Result};

impl Emit<'_> {
    /// A kernel with an epilogue, and its operands.
    pub fn fused(&self, e: &Expr, epilogue: Option<Program>) -> Result<(Kernel, Vec<View>)> {
        match e.op() {
            Op::Contract(Contract::Dot { .. }) => self.dot(e, epilogue),
            Op::Contract(Contract::Conv(_)) => self.conv(e, epilogue),
            Op::Window(window) => {
                let shape = e.shape();
                let channels = must(shape.last(), "pooling without channels")?;
                let outer = [shape[0].clone(), channels.clone()];
                let operands = e.inputs().iter().map(|i| self.contiguous(i)).collect::<Result<_>>()?;
                Ok((Kernel::Pool { window: window.clone(), outer, epilogue }, operands))
            }
            _ => Err(internal("no product")),
        }
    }

    fn dot(&self, e: &Expr, epilogue: Option<Program>) -> Result<(Kernel, Vec<View>)> {
        let Op::Contract(Contract::Dot { lhs_batch, rhs_batch, lhs_contract, rhs_contract }) = e.op() else {
            return Err(internal("no matrix product"));
        };
        let (a, b) = (&e.inputs()[0], &e.inputs()[1]);
        let free = |e: &Expr, batch: &[usize], summed: &[usize]| -> Vec<usize> {
            (0..e.rank()).filter(|i| !batch.contains(i) && !summed.contains(i)).collect()
        };
        let (m, n) = (free(a, lhs_batch, lhs_contract), free(b, rhs_batch, rhs_contract));
        let sizes =
            |e: &Expr, axes: &[usize]| axes.iter().map(|i| e.shape()[*i].clone()).collect::<Vec<Dim>>();
        let over = |e: &Expr, axes: [&[usize]; 3]| -> Result<View> {
            let v = self.operand(e)?;
            let strides = axes.concat().iter().map(|i| v.strides[*i].clone()).collect();
            Ok(View { strides, ..v })
        };
        let reads = vec![over(a, [lhs_batch, &m, lhs_contract])?, over(b, [rhs_batch, rhs_contract, &n])?];
        let kernel = Kernel::Dot {
            batch: sizes(a, lhs_batch),
            m: sizes(a, &m),
            n: sizes(b, &n),
            k: sizes(a, lhs_contract),
            epilogue,
        };
        Ok((kernel, reads))
    }

    fn conv(&self, e: &Expr, epilogue: Option<Program>) -> Result<(Kernel, Vec<View>)> {
        let Op::Contract(Contract::Conv(conv)) = e.op() else { return Err(internal("no convolution")) };
        let (a, b) = (&e.inputs()[0], &e.inputs()[1]);
        let [x, w, y] = conv.kind.sides([a, b, e]).map(|e| e.shape().to_vec());
        let kernel = Kernel::Conv { conv: conv.clone(), x, w, y, epilogue };
        Ok((kernel, vec![self.contiguous(a)?, self.contiguous(b)?]))
    }

    /// An operand that is read one element after the other.
    fn contiguous(&self, e: &Expr) -> Result<View> {
        Ok(View { strides: row_major(e.shape()), ..self.operand(e)? })
    }

    /// A node with a kernel of its own.
    pub fn kernel(&self, node: usize) -> Result<Launch> {
        let e = &self.g.nodes[node];
        let kernel = match e.op() {
            Op::Control(Control::Scan { body, carries, xs, length, reverse }) => Kernel::Scan {
                length: length.clone(),
                reverse: *reverse,
                carries: *carries,
                xs: *xs,
                body: Box::new(lower(body, 0, &[], None, self.backend)?),
            },
            Op::Control(Control::Call(f)) => Kernel::Named { call: NamedCall::new(f) },
            op => Kernel::Primitive {
                op: op.clone(),
                inputs: e.inputs().iter().map(|i| i.ty().clone()).collect(),
                outputs: e.node().outs.clone(),
            },
        };
        let reads = e.inputs().iter().map(|i| self.operand(i)).collect::<Result<_>>()?;
        let writes = (0..e.node().outs.len()).map(|o| self.result((node, o))).collect::<Result<_>>()?;
        let mut launch = Launch { kernel, reads, writes, label: self.label(&[node]) };
        // All these kernels read and write one element after the other, in index spaces of their own. What is read
        // lies so already: the pass `views` saw to it.
        let outs = e.node().outs.iter().map(|t| &t.shape);
        let sides = e.inputs().iter().map(Expr::shape).chain(outs);
        let views = launch.reads.iter().chain(&launch.writes);
        let in_order = |v: &View, shape: &[Dim]| {
            Access::new(v.offset.clone(), v.strides.clone(), shape).is_contiguous(shape)
        };
        if views.zip(sides).any(|(v, shape)| !in_order(v, shape)) {
            return Err(internal("a kernel that reads in order got a value laid out otherwise"));
        }
        let (reads, writes) = launch.shapes();
        let views = launch.reads.iter_mut().chain(&mut launch.writes);
        views.zip(reads.iter().chain(&writes)).for_each(|(v, shape)| v.strides = row_major(shape));
        Ok(launch)
    }
}
