//! The fields of convolutional layers.

/// Declares the fields of a convolutional layer in the order in which Keras writes them. What a kind of layer has
/// besides comes first, after the padding and after the dilation rate; of each kernel the names are given of its
/// initializer, regularizer and constraint.
macro_rules! convolution {
    ($(#[$meta:meta])* pub struct $name:ident<$n:literal> {
        first { $($first:tt)* }
        padding { $($padding:tt)* }
        dilation_rate { $($rate:tt)* }
        kernels { $($kernel:literal $shape:literal: $initializer:ident, $regularizer:ident, $constraint:ident;)* }
    }) => {
        crate::layer! {
            $(#[$meta])*
            pub struct $name {
                $($first)*
                /// Sizes of the window.
                kernel_size: Sizes<$n> = 1usize.into(),
                /// Steps between windows.
                strides: Sizes<$n> = 1usize.into(),
                /// `valid` stays inside the input, `same` keeps its size at stride 1; Conv1D and SeparableConv1D know
                /// `causal` too.
                padding: String = "valid".into(),
                $($padding)*
                /// `channels_last`.
                data_format: String = "channels_last".into(),
                /// Distances between the entries of the window.
                dilation_rate: Sizes<$n> = 1usize.into(),
                $($rate)*
                /// Applied to the result.
                activation: Activation = "linear".into(),
                /// Adds a bias.
                use_bias: bool = true,
                $(#[doc = concat!("How ", $kernel, " `", $shape, "` starts.")]
                $initializer: Initializer = "glorot_uniform".into(),)*
                /// How the bias starts.
                bias_initializer: Initializer = "zeros".into(),
                $(#[doc = concat!("Penalty of ", $kernel, ".")]
                $regularizer: Option<Regularizer> = None,)*
                /// Penalty of the bias.
                bias_regularizer: Option<Regularizer> = None,
                $(#[doc = concat!("Projection of ", $kernel, ".")]
                $constraint: Option<Constraint> = None,)*
                /// Projection of the bias.
                bias_constraint: Option<Constraint> = None,
            }
        }

        impl $name {
            fn settings(&self) -> ConvSettings<'_, { [$($kernel),*].len() }> {
                ConvSettings {
                    windows: Windows {
                        class: self.class_name(),
                        kernel: &self.kernel_size,
                        strides: &self.strides,
                        dilation: &self.dilation_rate,
                    },
                    padding: &self.padding,
                    causal: false,
                    data_format: &self.data_format,
                    activation: &self.activation,
                    use_bias: self.use_bias,
                    kernels: [$((&self.$initializer, &self.$regularizer, &self.$constraint)),*],
                    bias: (&self.bias_initializer, &self.bias_regularizer, &self.bias_constraint),
                }
            }
        }
    };
}
