//! SimpleRNN, LSTM and GRU: the settings of each.

use super::cells::Cell;
use super::driver::Driver;
use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layer::{LayerRef, Recurrent, default_name};
use crate::regularizers::Regularizer;
use crate::{Args, Cx, Layer, Object, Outputs};

macro_rules! recurrent {
    (
        $name:ident, $doc:literal, |$me:ident| $cell:expr, seed: $seed:expr, unit_forget_bias: $forget:expr;
        { $($(#[$before_meta:meta])* $before:ident : $before_ty:ty = $before_default:expr,)* }
        { $($(#[$bias_meta:meta])* $after_bias:ident : $after_bias_ty:ty = $after_bias_default:expr,)* }
        { $($(#[$last_meta:meta])* $last:ident : $last_ty:ty = $last_default:expr,)* }
    ) => {
        crate::layer! {
            #[doc = $doc]
            ///
            /// Takes `[batch, steps, features]`; the result is the last output `[batch, units]`, or all of
            /// them. Steps that the mask leaves out do not change the state.
            pub struct $name {
                /// All outputs, `[batch, steps, units]`, instead of the last.
                return_sequences: bool = false,
                /// The final states as further results.
                return_state: bool = false,
                /// Runs from the last step to the first; outputs come in the order they were made.
                go_backwards: bool = false,
                /// Not supported: pass states on with `return_state` and `initial_state`.
                stateful: bool = false,
                /// Kept for Keras: the plan decides how the loop runs.
                unroll: bool = false,
                /// Outputs of steps that the mask leaves out are zero instead of the output before.
                zero_output_for_mask: bool = false,
                /// Width of the state.
                units: usize = 0,
                /// Applied to the new value.
                activation: Activation = "tanh".into(),
                $($(#[$before_meta])* $before: $before_ty = $before_default,)*
                /// Adds a bias.
                use_bias: bool = true,
                /// How the kernel of the input starts.
                kernel_initializer: Initializer = "glorot_uniform".into(),
                /// How the kernel of the state starts.
                recurrent_initializer: Initializer = "orthogonal".into(),
                /// How the bias starts.
                bias_initializer: Initializer = "zeros".into(),
                $($(#[$bias_meta])* $after_bias: $after_bias_ty = $after_bias_default,)*
                /// Penalty of the kernel of the input.
                kernel_regularizer: Option<Regularizer> = None,
                /// Penalty of the kernel of the state.
                recurrent_regularizer: Option<Regularizer> = None,
                /// Penalty of the bias.
                bias_regularizer: Option<Regularizer> = None,
                /// Projection of the kernel of the input.
                kernel_constraint: Option<Constraint> = None,
                /// Projection of the kernel of the state.
                recurrent_constraint: Option<Constraint> = None,
                /// Projection of the bias.
                bias_constraint: Option<Constraint> = None,
                /// The share of input features that vanish in training, the same at all steps.
                dropout: f64 = 0.0,
                /// The share of state entries that vanish in training, the same at all steps.
                recurrent_dropout: f64 = 0.0,
                $($(#[$last_meta])* $last: $last_ty = $last_default,)*
            }
        }

        impl $name {
            /// A state of `units` numbers.
            #[track_caller]
            pub fn new(units: usize) -> $name {
                $name::default().units(units)
            }

            fn driver(&self) -> Driver<'_> {
                let $me = self;
                Driver {
                    class: self.class_name(),
                    cell: $cell,
                    units: self.units,
                    use_bias: self.use_bias,
                    kernel: (&self.kernel_initializer, &self.kernel_regularizer, &self.kernel_constraint),
                    recurrent:
                        (&self.recurrent_initializer, &self.recurrent_regularizer, &self.recurrent_constraint),
                    bias: (&self.bias_initializer, &self.bias_regularizer, &self.bias_constraint),
                    unit_forget_bias: $forget,
                    dropout: self.dropout,
                    recurrent_dropout: self.recurrent_dropout,
                    seed: $seed,
                    return_sequences: self.return_sequences,
                    return_state: self.return_state,
                    go_backwards: self.go_backwards,
                    stateful: self.stateful,
                    zero_output_for_mask: self.zero_output_for_mask,
                }
            }
        }

        impl Recurrent for $name {
            fn returns_sequences(&self) -> bool {
                self.return_sequences
            }
            fn directed(&self, forward: bool) -> LayerRef {
                let mut layer = self.clone();
                layer.go_backwards = if forward { self.go_backwards } else { !self.go_backwards };
                layer.zero_output_for_mask = self.return_sequences;
                let way = if forward { "forward" } else { "backward" };
                layer.base.name = Some(format!("{way}_{}", default_name(self)));
                layer.base.dtype.get_or_insert(Ok(self.base.policy()));
                layer.into()
            }
        }

        impl Layer for $name {
            fn recurrent(&self) -> Option<&dyn Recurrent> {
                Some(self)
            }
            // States round step after step.
            fn computes_in_float32(&self) -> bool {
                true
            }
            fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
                self.driver().run(cx, args).into()
            }
            fn activity_regularizer_follows(&self) -> Option<&'static str> {
                Some("bias_regularizer")
            }
        }
    };
}

recurrent!(
    SimpleRNN,
    "A recurrent layer: `h' = activation(x . kernel + bias + h . recurrent_kernel)`.",
    |me| Cell::Simple { activation: &me.activation }, seed: None, unit_forget_bias: false;
    {} {} {}
);

recurrent!(
    LSTM,
    "Long short-term memory (Hochreiter and Schmidhuber 1997). With `z = x . kernel + h . recurrent_kernel + bias` \
     split into `i, f, g, o`: `c' = s(f) * c + s(i) * activation(g)`, `h' = s(o) * activation(c')`, where `s` is \
     the recurrent activation. States: `h, c`.",
    |me| Cell::Lstm { activation: &me.activation, recurrent: &me.recurrent_activation },
    seed: me.seed, unit_forget_bias: me.unit_forget_bias;
    {
        /// Applied to the gates.
        recurrent_activation: Activation = "sigmoid".into(),
    }
    {
        /// Starts the bias of the forget gate at one.
        unit_forget_bias: bool = true,
    }
    {
        /// Gives the layer random numbers of its own.
        seed: Option<u64> = None,
    }
);

recurrent!(
    GRU,
    "A gated recurrent unit (Cho et al. 2014) with the gates `z, r` and the new value `n`: \
     `h' = z * h + (1 - z) * n`. With `reset_after`, `n = activation(x_n + r * (h . recurrent_n + bias_n))`, \
     otherwise `n = activation(x_n + (r * h) . recurrent_n)`.",
    |me| Cell::Gru {
        activation: &me.activation, recurrent: &me.recurrent_activation, reset_after: me.reset_after,
    },
    seed: me.seed, unit_forget_bias: false;
    {
        /// Applied to the gates.
        recurrent_activation: Activation = "sigmoid".into(),
    }
    {}
    {
        /// Resets after the product with the recurrent kernel, and gives it a bias of its own.
        reset_after: bool = true,
        /// Gives the layer random numbers of its own.
        seed: Option<u64> = None,
    }
);
