//! The OpenID Connect provider: what works, and what each trick meets.

mod application;
mod authorize;
mod browser;
mod clients;
mod pages;
mod programs;
mod second_factors;
mod secrets;
mod sessions;
mod tokens;

pub(crate) use application::Application;
