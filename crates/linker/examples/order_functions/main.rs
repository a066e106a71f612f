//! Writes `idle.ld` from what was seen to run: `scripts/order-functions` calls it.
//!
//! ```text
//! order_functions PROGRAMS PROFILES
//! ```
//!
//! `PROFILES` holds a file of callgrind, with mangled names, for each program of that name, without the
//! ending `.callgrind`, in the folder `PROGRAMS`, where the programs still have their symbols. The
//! linker script goes to standard output.
#![expect(clippy::print_stdout, reason = "the linker script is what this makes")]

mod names;
mod patterns;
mod profile;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use names::without_hashes;
use patterns::{Function, patterns};

fn main() -> Result<(), String> {
    let folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [programs, profiles] = folders.as_slice() else {
        return Err("order_functions PROGRAMS PROFILES".to_owned());
    };
    let mut functions = BTreeMap::new();
    for entry in std::fs::read_dir(profiles).map_err(|error| says(profiles, &error))? {
        let profile = entry.map_err(|error| says(profiles, &error))?.path();
        if profile
            .extension()
            .is_some_and(|ending| ending == "callgrind")
        {
            let program = programs.join(profile.file_stem().unwrap_or_default());
            add(&mut functions, &program, &profile)?;
        }
    }
    if !functions.values().any(|function: &Function| function.runs) {
        return Err(format!("nothing has run in {}", profiles.display()));
    }
    print(&patterns(&functions));
    Ok(())
}

/// Adds a program's functions. Those that differ in nothing but a hash are one, which runs when one of
/// them does.
fn add(
    functions: &mut BTreeMap<String, Function>,
    program: &Path,
    profile: &Path,
) -> Result<(), String> {
    let profile = std::fs::read(profile).map_err(|error| says(profile, &error))?;
    let ran: HashSet<String> = profile::functions(&String::from_utf8_lossy(&profile));
    for (name, bytes) in symbols(program)? {
        let runs = ran.contains(&name);
        let function: &mut Function = functions.entry(without_hashes(&name)).or_default();
        function.bytes += bytes;
        function.runs |= runs;
    }
    Ok(())
}

/// The functions of a program and their sizes, each place once.
fn symbols(program: &Path) -> Result<Vec<(String, u64)>, String> {
    let output = Command::new("nm").arg("-S").arg(program).output();
    let output = output.map_err(|error| says(Path::new("nm"), &error))?;
    let mut seen = HashSet::new();
    let lines = String::from_utf8_lossy(&output.stdout);
    let found: Vec<_> = lines
        .lines()
        .filter_map(|line| {
            // Address, size, kind, name; what has no size is no function.
            let mut words = line.splitn(4, ' ');
            let (address, size) = (words.next()?, words.next()?);
            let is_code = matches!(words.next()?, "t" | "T" | "w" | "W");
            let name = words.next()?;
            let bytes = u64::from_str_radix(size, 16).ok()?;
            (is_code && seen.insert(address)).then(|| (name.to_owned(), bytes))
        })
        .collect();
    if found.is_empty() {
        return Err(format!("{} has no symbols", program.display()));
    }
    Ok(found)
}

fn print(patterns: &[String]) {
    println!(
        "/* What an idle service runs. Written by scripts/order-functions: change that, not this. */"
    );
    println!("SECTIONS\n{{\n  .text.idle : ALIGN(65536)\n  {{\n    *(");
    for pattern in patterns {
        println!("      \".text.{pattern}\"");
    }
    println!("    )\n  }}\n}}\nINSERT BEFORE .text;");
}

fn says(what: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", what.display())
}
