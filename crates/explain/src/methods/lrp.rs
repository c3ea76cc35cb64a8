//! Layer-wise relevance propagation and its composites.

use crate::rules::relevance::{Composite, Relevance, Rule, Share};
use crate::{Attribution, Scene};
use rhyton_graph::transform::Walked;
use rhyton_graph::{Expr, grad};
use rhyton_tensor::{DType, Error, Result};

/// The largest error of conservation that passes, as a share of what adds up.
const TOLERANCE: f32 = 1e-2;

/// Relevance of the explained values.
fn relevance(scene: &mut Scene, composite: &Composite) -> Result<Vec<Expr>> {
    let values = scene.values();
    let absorbed = Expr::iota([1], 0).cast(DType::F32) + 1.0;
    let rules = Relevance { composite, absorbed: absorbed.clone() };
    let given: Vec<(Expr, Share)> = values.iter().map(|x| (x.clone(), Share::given(x))).collect();
    let Walked::Image(Share { value, .. }) = scene.walk(&rules, &given)? else {
        return Err(Error::new("the score does not depend on what is to be explained"));
    };
    let score = scene.pick(&value);
    let wrt: Vec<Expr> = values.iter().chain([&absorbed]).cloned().collect();
    let mut slopes = grad(&score.sum_all(), &wrt);
    let kept = slopes.remove(values.len()).sum_all();
    let found: Vec<Expr> = values.iter().zip(&slopes).map(|(x, g)| x * g).collect();
    // Biases keep relevance of the batch as a whole.
    let total = found.iter().map(Expr::sum_all).fold(kept, |a, b| a + b);
    let scale = found.iter().map(|r| r.abs().sum_all()).fold(score.abs().sum_all(), |a, b| a.maximum(&b));
    let [total, wanted, scale] = [total, score.sum_all(), scale].map(|e| scene.for_all(&e));
    scene.check("conservation", total, wanted, scale, TOLERANCE);
    Ok(found)
}

/// Defines methods: settings, and the composite made of them.
macro_rules! composites {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $ty:ty = $default:expr),* $(,)? } |$me:ident| $composite:expr;)*) => { $(
        rhyton_nn::object! {
            $(#[$doc])*
            pub struct $name { $($(#[$fdoc])* $field: $ty = $default),* }
        }

        impl Attribution for $name {
            fn attribute(&self, scene: &mut Scene) -> Result<Vec<Expr>> {
                let $me = self;
                relevance(scene, &$composite)
            }
        }
    )* };
}

/// The same rule for all layers.
fn all(rule: Rule) -> Composite {
    by_kind(rule, rule)
}

/// Rules for dense layers and for convolutions.
fn by_kind(dense: Rule, convolution: Rule) -> Composite {
    Composite { dense, convolution, first: None, layers: vec![] }
}

composites! {
    /// Relevance in proportion to contributions, over their sum moved away from 0 (Bach et al. 2015).
    LrpEpsilon {
        /// How far.
        epsilon: f64 = 1e-6,
    } |me| all(Rule::Epsilon(me.epsilon));
    /// Relevance in proportion to contributions, of which positive weights count more (Montavon et al. 2019).
    LrpGamma {
        /// By how much.
        gamma: f64 = 0.25,
    } |me| all(Rule::Gamma(me.gamma));
    /// Relevance in proportion to positive contributions (Montavon et al. 2017).
    LrpZPlus {} |_me| all(Rule::ZPlus);
    /// `alpha` of the relevance for positive contributions, less `beta` for negative ones (Bach et al. 2015).
    LrpAlphaBeta {
        /// What positive contributions share.
        alpha: f64 = 2.0,
        /// What negative contributions share.
        beta: f64 = 1.0,
    } |me| all(Rule::AlphaBeta(me.alpha, me.beta));
    /// Equal shares for all inputs of a layer (Lapuschkin et al. 2019).
    LrpFlat {} |_me| all(Rule::Flat);
    /// Shares in proportion to squared weights (Montavon et al. 2017).
    LrpWSquare {} |_me| all(Rule::WSquare);
    /// The epsilon rule for dense layers, positive contributions for convolutions: zennit's EpsilonPlus.
    LrpEpsilonPlus {
        /// How far sums are moved away from 0.
        epsilon: f64 = 1e-6,
    } |me| by_kind(Rule::Epsilon(me.epsilon), Rule::ZPlus);
    /// The epsilon rule for dense layers, gamma for convolutions, and bounded inputs for the first layer: zennit's
    /// EpsilonGammaBox.
    LrpEpsilonGammaBox {
        /// How far sums are moved away from 0.
        epsilon: f64 = 1e-6,
        /// By how much positive weights count more.
        gamma: f64 = 0.25,
        /// The least value of an input.
        low: f64 = 0.0,
        /// The largest.
        high: f64 = 1.0,
    } |me| Composite {
        first: Some(Rule::ZBox(me.low, me.high)),
        ..by_kind(Rule::Epsilon(me.epsilon), Rule::Gamma(me.gamma))
    };
    /// The epsilon rule for dense layers, alpha 2 and beta 1 for convolutions: zennit's EpsilonAlpha2Beta1.
    LrpEpsilonAlpha2Beta1 {
        /// How far sums are moved away from 0.
        epsilon: f64 = 1e-6,
    } |me| by_kind(Rule::Epsilon(me.epsilon), Rule::AlphaBeta(2.0, 1.0));
    /// A rule for each kind of layer, and for layers by name.
    Lrp {
        /// Dense layers, cells and attention.
        dense: Rule = Rule::Epsilon(1e-6),
        /// Convolutions.
        convolution: Rule = Rule::Gamma(0.25),
        /// What reads the inputs, where that is apart.
        first: Option<Rule> = None,
        /// Layers by the end of their path: `[["block/conv", "z_plus"]]`.
        layers: Vec<(String, Rule)> = vec![],
    } |me| Composite { dense: me.dense, convolution: me.convolution, first: me.first, layers: me.layers.clone() };
}
