//! Recurring work, one file for each job.

pub(crate) mod resolve;
