//! How every service is: a background check of each one's `/health`, and what
//! `GET /api/services/status` shows of it.

mod board;
mod checker;
mod report;
mod verdict;

pub(crate) use board::Board;
pub(crate) use checker::run as run_checks;
pub(crate) use report::OwnApi;
pub(crate) use verdict::{ServiceStatus, Verdict, VerdictParams};
