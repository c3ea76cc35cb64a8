//! SimpleRNN, LSTM and GRU: the settings of each.

use super::cells::Cell;
use super::driver::RecurrentSettings;
use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layer::{LayerRef, Recurrent, default_name};
use crate::regularizers::Regularizer;
use crate::{Args, Cx, Layer, Object, Outputs};

/// Declares the fields of a recurrent layer in the order in which Keras writes them. What a kind of cell has besides
/// comes after the activation, after the start of the bias, and last.
macro_rules! recurrent {
    ($(#[$meta:meta])* pub struct $name:ident {
        activation { $($gates:tt)* }
        bias_initializer { $($bias:tt)* }
        last { $($last:tt)* }
    }) => {
        crate::layer! {
            $(#[$meta])*
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
                $($gates)*
                /// Adds a bias.
                use_bias: bool = true,
                /// How the kernel of the input starts.
                kernel_initializer: Initializer = "glorot_uniform".into(),
                /// How the kernel of the state starts.
                recurrent_initializer: Initializer = "orthogonal".into(),
                /// How the bias starts.
                bias_initializer: Initializer = "zeros".into(),
                $($bias)*
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
                $($last)*
            }
        }

        impl $name {
            /// A state of `units` numbers.
            #[track_caller]
            pub fn new(units: usize) -> $name {
                $name::default().units(units)
            }

            /// The settings that all recurrent layers have, around a cell.
            fn around<'a>(&'a self, cell: Cell<'a>) -> RecurrentSettings<'a> {
                RecurrentSettings {
                    class: self.class_name(),
                    cell,
                    units: self.units,
                    use_bias: self.use_bias,
                    kernel: (&self.kernel_initializer, &self.kernel_regularizer, &self.kernel_constraint),
                    recurrent:
                        (&self.recurrent_initializer, &self.recurrent_regularizer, &self.recurrent_constraint),
                    bias: (&self.bias_initializer, &self.bias_regularizer, &self.bias_constraint),
                    unit_forget_bias: false,
                    dropout: self.dropout,
                    recurrent_dropout: self.recurrent_dropout,
                    seed: None,
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
                let go_backwards = self.go_backwards == forward;
                let layer = self.clone().go_backwards(go_backwards);
                one_way(layer.zero_output_for_mask(self.return_sequences), forward)
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
                self.settings().run(cx, args).into()
            }
        }
    };
}

/// A layer for one of two directions, named after it, with the policy that is in force now.
fn one_way<L: Layer>(mut layer: L, forward: bool) -> LayerRef {
    let way = if forward { "forward" } else { "backward" };
    let (name, policy) = (default_name(&layer), layer.base().policy());
    layer.base_mut().name = Some(format!("{way}_{name}"));
    layer.base_mut().dtype.get_or_insert(Ok(policy));
    layer.into()
}

recurrent! {
    /// A recurrent layer: `h' = activation(x . kernel + bias + h . recurrent_kernel)`.
    pub struct SimpleRNN {
        activation {}
        bias_initializer {}
        last {}
    }
}

impl SimpleRNN {
    fn settings(&self) -> RecurrentSettings<'_> {
        self.around(Cell::Simple { activation: &self.activation })
    }
}

recurrent! {
    /// Long short-term memory (Hochreiter and Schmidhuber 1997). With `z = x . kernel + h . recurrent_kernel + bias`
    /// split into `i, f, g, o`: `c' = s(f) * c + s(i) * activation(g)`, `h' = s(o) * activation(c')`, where `s` is
    /// the recurrent activation. States: `h, c`.
    pub struct LSTM {
        activation {
            /// Applied to the gates.
            recurrent_activation: Activation = "sigmoid".into(),
        }
        bias_initializer {
            /// Starts the bias of the forget gate at one.
            unit_forget_bias: bool = true,
        }
        last {
            /// Gives the layer random numbers of its own.
            seed: Option<u64> = None,
        }
    }
}

impl LSTM {
    fn settings(&self) -> RecurrentSettings<'_> {
        let cell = Cell::Lstm { activation: &self.activation, recurrent: &self.recurrent_activation };
        let unit_forget_bias = self.unit_forget_bias;
        RecurrentSettings { unit_forget_bias, seed: self.seed, ..self.around(cell) }
    }
}

recurrent! {
    /// A gated recurrent unit (Cho et al. 2014) with the gates `z, r` and the new value `n`:
    /// `h' = z * h + (1 - z) * n`. With `reset_after`, `n = activation(x_n + r * (h . recurrent_n + bias_n))`,
    /// otherwise `n = activation(x_n + (r * h) . recurrent_n)`.
    pub struct GRU {
        activation {
            /// Applied to the gates.
            recurrent_activation: Activation = "sigmoid".into(),
        }
        bias_initializer {}
        last {
            /// Resets after the product with the recurrent kernel, and gives it a bias of its own.
            reset_after: bool = true,
            /// Gives the layer random numbers of its own.
            seed: Option<u64> = None,
        }
    }
}

impl GRU {
    fn settings(&self) -> RecurrentSettings<'_> {
        let (activation, recurrent) = (&self.activation, &self.recurrent_activation);
        let cell = Cell::Gru { activation, recurrent, reset_after: self.reset_after };
        RecurrentSettings { seed: self.seed, ..self.around(cell) }
    }
}
