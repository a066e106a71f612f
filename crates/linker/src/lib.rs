//! What the build scripts of the programs tell the linker.
#![expect(clippy::print_stdout, reason = "how a build script speaks to Cargo")]

use std::process::Command;

/// The first version of glibc whose loader reads packed relocations.
const SINCE: (u32, u32) = (2, 36);

/// Has an idle program keep less of itself in memory.
pub fn save_memory() {
    pack_relocations();
    if is("CARGO_CFG_TARGET_OS", "linux") {
        keep_cold_code_apart();
        keep_idle_code_together();
    }
}

/// Puts the functions that are marked `#[cold]`, by us and by others, in a part of the program of their
/// own. The system reads code in pieces of 64 KiB, so that what never runs would be kept in memory by
/// what runs beside it.
fn keep_cold_code_apart() {
    println!("cargo::rustc-link-arg-bins=-Wl,-z,keep-text-section-prefix");
}

/// Puts the functions that `idle.ld` names, which an idle system was seen to run, side by side, for the
/// same reason. That is done where Rust brings LLD along as its linker, and nobody chose another: the
/// GNU linker is not done with that many patterns after ten minutes.
fn keep_idle_code_together() {
    const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/idle.ld");
    println!("cargo::rerun-if-changed={SCRIPT}");
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let is_chosen = std::env::var_os("RUSTC_LINKER").is_some() || flags.contains("link");
    let is_lld = is("CARGO_CFG_TARGET_ARCH", "x86_64") && is("CARGO_CFG_TARGET_ENV", "gnu");
    if is("PROFILE", "release") && is_lld && !is_chosen {
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{SCRIPT}");
    }
}

fn is(variable: &str, value: &str) -> bool {
    std::env::var(variable).as_deref() == Ok(value)
}

/// Packs the relocations of a program (`DT_RELR`). The loader reads all of them when it starts; as a
/// plain table they are some 0.6 MB of what an idle service keeps in memory. The program is still
/// loaded at a random address. Where the C library is another or older one, nothing changes.
fn pack_relocations() {
    println!("cargo::rerun-if-changed=build.rs");
    if glibc().is_some_and(|version| version >= SINCE) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version on this machine; `None` where there is another C library, or where the program is built
/// for another machine.
fn glibc() -> Option<(u32, u32)> {
    if std::env::var_os("HOST") != std::env::var_os("TARGET") {
        return None;
    }
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    parse(&String::from_utf8(output.ok()?.stdout).ok()?)
}

fn parse(answer: &str) -> Option<(u32, u32)> {
    let (major, minor) = answer.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn only_glibc_counts() {
        assert_eq!(parse("glibc 2.36\n"), Some((2, 36)));
        assert_eq!(parse("glibc 2.9"), Some((2, 9)));
        for other in ["", "musl libc", "glibc", "glibc 2", "glibc 2.x"] {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }
}
