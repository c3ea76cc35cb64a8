//! What all convolutional layers are declared with: their common settings, and what a call does around the product
//! itself.

/// Declares a layer with windows over `$n` spatial axes. It has a method
/// `convolve(&self, &mut Cx, &Expr, &Convolution) -> Result<(Expr, usize)>` of its own for the result without bias
/// and the number of its channels. Settings of its own come first, after the padding and after the dilation rate;
/// then come its kernels: what each is called, its shape, and the names of its initializer, regularizer and
/// constraint.
macro_rules! convolution {
    (
        $(#[$meta:meta])* $name:ident, $n:literal, causal: $causal:expr,
        { $($(#[$first_meta:meta])* $first:ident : $first_ty:ty = $first_default:expr,)* }
        { $($(#[$pad_meta:meta])* $after_padding:ident : $pad_ty:ty = $pad_default:expr,)* }
        { $($(#[$rate_meta:meta])* $after_rate:ident : $rate_ty:ty = $rate_default:expr,)* }
        { $($kernel:literal $shape:literal: $initializer:ident, $regularizer:ident, $constraint:ident;)* }
        { $($method:item)* }
    ) => {
        crate::layer! {
            $(#[$meta])*
            pub struct $name {
                $($(#[$first_meta])* $first: $first_ty = $first_default,)*
                /// Sizes of the window.
                kernel_size: Sizes<$n> = 1usize.into(),
                /// Steps between windows.
                strides: Sizes<$n> = 1usize.into(),
                /// `valid` stays inside the input, `same` keeps its size at stride 1; Conv1D and SeparableConv1D know
                /// `causal` too.
                padding: String = "valid".into(),
                $($(#[$pad_meta])* $after_padding: $pad_ty = $pad_default,)*
                /// `channels_last`.
                data_format: String = "channels_last".into(),
                /// Distances between the entries of the window.
                dilation_rate: Sizes<$n> = 1usize.into(),
                $($(#[$rate_meta])* $after_rate: $rate_ty = $rate_default,)*
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
            fn output(&self, cx: &mut Cx<'_>, x: &Expr) -> Result<Expr> {
                let class = self.class_name();
                let (kernel, strides, dilation) =
                    (&self.kernel_size[..], &self.strides[..], &self.dilation_rate[..]);
                let windows = Windows { class, kernel, strides, dilation };
                let conv = Convolution { windows, padding: &self.padding, causal: $causal };
                let (mut y, channels) = self.convolve(cx, x, &conv)?;
                if self.use_bias {
                    let of_bias = (&self.bias_initializer, &self.bias_regularizer, &self.bias_constraint);
                    y = y + parameter(cx, "bias", [channels], of_bias);
                }
                Ok(self.activation.apply(&y))
            }
        }

        impl Layer for $name {
            fn call(&self, cx: &mut Cx<'_>, args: &Args) -> Outputs {
                self.output(cx, &args.x()).into()
            }
            fn activity_regularizer_follows(&self) -> Option<&'static str> {
                Some("bias_regularizer")
            }
            $($method)*
        }
    };
}
