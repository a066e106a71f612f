//! The programs of `bench/gateway`.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::process::ExitCode;

use anyhow::Context as _;
use gateway_bench::load::{self, Row, Size};
use gateway_bench::{bare, fuzz, transparency};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let program = arguments
        .next()
        .context("the path of the gateway is missing")?;
    let command = arguments
        .next()
        .context("the name of a scenario is missing")?;
    let rest: Vec<String> = arguments.collect();
    let good = match command.as_str() {
        "fuzz" => run_fuzz(program, &rest).await?,
        "transparency" => run_transparency(program, &rest).await?,
        "latency" => show(load::latency(&program, size(&rest)).await?),
        "idle" => show(load::idle(&program, size(&rest)).await?),
        "sockets" => show(load::sockets(&program, size(&rest)).await?),
        "closes" => show(load::closes(&program, size(&rest)).await?),
        "serve" => {
            load::serve(|port| println!("{port}")).await?;
            true
        }
        "load" => run_load(&rest).await?,
        "bare" => run_bare(&rest).await?,
        "stop" => show(load::stop(&program, size(&rest)).await?),
        "bodies" => show(load::bodies(&program, size(&rest)).await?),
        "slow" => show(load::slow(&program, size(&rest)).await?),
        other => anyhow::bail!("there is no scenario {other}"),
    };
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn size(arguments: &[String]) -> Size {
    match arguments.first().map(String::as_str) {
        Some("short") => Size::Short,
        _ => Size::Full,
    }
}

/// Prints a table; whether all goals were met.
fn show(rows: Vec<Row>) -> bool {
    for row in &rows {
        let mark = if row.is_met { "" } else { "  MISSED" };
        println!("{:<74} {:>9} {:>14}{mark}", row.what, row.goal, row.result);
    }
    rows.iter().all(|row| row.is_met)
}

/// The number at this place, in decimal.
fn number(arguments: &[String], place: usize, default: u64) -> anyhow::Result<u64> {
    let Some(text) = arguments.get(place) else {
        return Ok(default);
    };
    text.parse()
        .with_context(|| format!("{text:?} is no number"))
}

async fn run_fuzz(program: String, arguments: &[String]) -> anyhow::Result<bool> {
    let params = fuzz::Params {
        program,
        database: None,
        streams: number(arguments, 0, 1_000_000)?,
        seed: number(arguments, 1, u64::from(std::process::id()))?,
        at_once: 192,
        max_growth_kib: 8 * 1024,
    };
    println!("seed {}, {} streams", params.seed, params.streams);
    let report = fuzz::fuzz(&params).await?;
    let rate = report.streams as f64 / report.took.as_secs_f64();
    println!(
        "{} answers, {} of them the service's; {} streams ended by the client",
        report.answers, report.forwarded, report.cut
    );
    println!("by status: {:?}", report.statuses);
    println!(
        "{rate:.0} streams/s; memory {} KiB after a tenth, {} KiB after all; {} error lines",
        report.memory_kib.0, report.memory_kib.1, report.error_lines
    );
    for fault in &report.faults {
        println!("FAULT {fault}");
    }
    Ok(report.faults.is_empty())
}

async fn run_transparency(program: String, arguments: &[String]) -> anyhow::Result<bool> {
    let params = transparency::Params {
        program,
        database: None,
        messages: number(arguments, 0, 10_000)?,
        seed: number(arguments, 1, u64::from(std::process::id()))?,
        at_once: 16,
        max_body_bytes: 64 * 1024 * 1024,
    };
    println!("seed {}, {} messages", params.seed, params.messages);
    let report = transparency::compare(&params).await?;
    println!(
        "{} arrived equal, {} were broken off and arrived so; {} MiB of bodies in {:.0} s",
        report.equal,
        report.broken_off,
        report.body_bytes >> 20,
        report.took.as_secs_f64()
    );
    for fault in &report.faults {
        println!("FAULT {fault}");
    }
    Ok(report.faults.is_empty())
}

/// `PORT SERVICE`, a port and an address with its port; ends when it is ended.
async fn run_bare(arguments: &[String]) -> anyhow::Result<bool> {
    let port = u16::try_from(number(arguments, 0, 0)?)?;
    let service = arguments.get(1).context("the service is missing")?;
    bare::serve(port, service.parse()?).await?;
    Ok(true)
}

/// `PORT PATH REQUESTS_PER_SECOND SECONDS`; prints how many answers came, and how many did not.
async fn run_load(arguments: &[String]) -> anyhow::Result<bool> {
    let port = u16::try_from(number(arguments, 0, 0)?)?;
    let path = arguments.get(1).context("the path is missing")?;
    let rate = u32::try_from(number(arguments, 2, 1_000)?)?;
    let seconds = number(arguments, 3, 10)?;
    let (answers, failures) = load::ask(port, path, f64::from(rate), seconds).await?;
    println!("{answers} {failures}");
    Ok(true)
}
