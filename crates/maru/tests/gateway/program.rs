//! Runs the `maru` program.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::fake_gateway::{EMAIL, FakeGateway, PASSWORD};

/// The program with these words, as the owner of the fake system.
pub(crate) fn maru(gateway: &FakeGateway, data: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maru"));
    command
        .args(words)
        .env("MARU_GATEWAY_URL", &gateway.url)
        .env("MARU_OWNER_EMAIL", EMAIL)
        .env("MARU_OWNER_PASSWORD", PASSWORD)
        .env("MARU_DATA", data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a run said and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the program to its end.
pub(crate) fn run(gateway: &FakeGateway, data: &Path, words: &[&str]) -> Ended {
    let Output {
        status,
        stdout,
        stderr,
    } = maru(gateway, data, words).output().unwrap();
    Ended {
        code: status.code().unwrap_or(-1),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}
