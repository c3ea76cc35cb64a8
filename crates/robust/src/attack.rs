//! [`Attack`]: a method that changes inputs so that a model errs.

use crate::Victim;
use crate::attacks::*;
use rhyton_graph::Expr;
use rhyton_nn::{Handle, Object};
use rhyton_tensor::Result;

/// A method of attack. A new one is a file in `attacks/` and a row of the registry below.
pub trait Attack: Object {
    /// The adversarial inputs, like the victim's clean ones.
    ///
    /// # Errors
    /// When a setting makes no sense for this model.
    fn perturb(&self, victim: &mut Victim) -> Result<Expr>;

    /// How many rounds there are at most. Each begins where the one before ended, with other random numbers, and takes
    /// on the samples that are not fooled yet.
    fn rounds(&self, _classes: usize) -> usize {
        1
    }

    /// Attacks that are tried one after the other, each on the samples that withstood those before, in place of
    /// [`perturb`](Attack::perturb).
    fn stages(&self) -> Vec<AttackRef> {
        vec![]
    }

    /// Whether samples that are fooled to begin with are left as they are.
    fn spares_fooled(&self) -> bool {
        false
    }

    /// Whether labels are the classes that samples are to be taken for.
    fn is_targeted(&self) -> bool {
        false
    }
}

/// A shared attack.
pub type AttackRef = Handle<dyn Attack>;

// The attacks.
rhyton_nn::registry! {
    local dyn Attack, "attack" in "rhyton.robust";
    Fgsm "one step along the sign of the gradient";
    Bim ["i_fgsm"] "steps along the sign of the gradient";
    PgdLinf ["pgd"] "steps along the sign of the gradient from a random start": PgdLinf::default().steps(3);
    PgdL2 "steps along the gradient, within a Euclidean distance": PgdL2::default().steps(3);
    PgdL1 "steps along the gradient, within a sum of changes": PgdL1::default().steps(3);
    Ffgsm ["fgsm_rs"] "one step along the sign of the gradient from a random start";
    Rfgsm ["r_fgsm"] "random signs, then steps along the sign of the gradient";
    NiFgsm "steps along the sign of a gradient where momentum would lead";
    MiFgsm "steps along the sign of a gradient with momentum";
    DeepFool ["deepfool"] "steps over the nearest linearised border of a class": DeepFool::default().steps(3);
    Cw ["carlini_wagner"] "the least Euclidean change, found by Adam": Cw::default().steps(3);
    Ead "the least mixture of Euclidean change and sum of changes": Ead::default().steps(3).search_steps(2);
    Jsma "pairs of values that raise a class most": Jsma::default().gamma(0.1);
    Fmn "the least change, by steps in a ball that adapts": Fmn::default().steps(3), Fmn::default().norm(crate::Norm::L2).steps(3);
    ApgdCe ["apgd"] "projected gradient descent that halves its step where it stops gaining": ApgdCe::default().steps(5);
    ApgdT "the same towards each of the likeliest other classes": ApgdT::default().steps(5);
    FabT ["fab"] "the nearest points of linearised borders of classes": FabT::default().steps(3);
    Square "random search over squares, without gradients": Square::default().n_queries(5);
    HopSkipJump ["hsja"] "steps along directions that predicted classes show": HopSkipJump::default().steps(2).evaluations(4);
    Boundary ["boundary_attack"] "a random walk along the border that predicted classes show": Boundary::default().steps(5);
    Universal ["uap"] "one change for all samples of a batch": Universal::default().steps(3);
    AutoAttack ["standard"] "apgd_ce, apgd_t, fab_t and square, each on what withstood those before": AutoAttack::default().steps(5).n_queries(5);
}
