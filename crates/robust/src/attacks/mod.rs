//! The attacks, a file each.

mod apgd;
mod apgd_ce;
mod apgd_t;
mod auto_attack;
mod bim;
mod cw;
mod deepfool;
mod dlr;
mod fab_t;
mod ffgsm;
mod fgsm;
mod mi_fgsm;
mod pgd_l1;
mod pgd_l2;
mod pgd_linf;
mod rfgsm;
mod square;

pub use apgd_ce::ApgdCe;
pub use apgd_t::ApgdT;
pub use auto_attack::AutoAttack;
pub use bim::Bim;
pub use cw::Cw;
pub use deepfool::DeepFool;
pub use fab_t::FabT;
pub use ffgsm::Ffgsm;
pub use fgsm::Fgsm;
pub use mi_fgsm::MiFgsm;
pub use pgd_l1::PgdL1;
pub use pgd_l2::PgdL2;
pub use pgd_linf::PgdLinf;
pub use rfgsm::Rfgsm;
pub use square::Square;
