//! The attacks, a file each.

mod bim;
mod cw;
mod deepfool;
mod ffgsm;
mod fgsm;
mod mi_fgsm;
mod pgd_l1;
mod pgd_l2;
mod pgd_linf;
mod rfgsm;

pub use bim::Bim;
pub use cw::Cw;
pub use deepfool::DeepFool;
pub use ffgsm::Ffgsm;
pub use fgsm::Fgsm;
pub use mi_fgsm::MiFgsm;
pub use pgd_l1::PgdL1;
pub use pgd_l2::PgdL2;
pub use pgd_linf::PgdLinf;
pub use rfgsm::Rfgsm;
