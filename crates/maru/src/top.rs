//! `maru top`: what passes through the gateway at the moment, by route, and how the services behind
//! it do. It reads what one gateway says of itself; another replica has counts of its own.

mod sample;
mod scrape;
mod screen;
mod view;

#[cfg(test)]
mod tests;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use self::sample::{Sample, Status};
use self::view::View;
use crate::client::{RetryPolicy, http_client};
use crate::output::say;
use crate::status::running_gateway;

/// How long the keyboard is waited for at a time, so that the reader of it ends with the rest.
const KEY_WAIT: Duration = Duration::from_millis(100);

/// What `maru top` can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct TopArgs {
    /// Address of the gateway, if it is not the one that `maru up` started on the data folder
    #[arg(long, env = "MARU_GATEWAY_URL")]
    pub gateway: Option<String>,
    /// Time between two looks, over which rates are counted
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub interval: u64,
    /// Print one view as plain text and end
    #[arg(long)]
    pub once: bool,
}

/// Shows what passes until `q` is pressed, or once.
///
/// # Errors
/// When the gateway does not answer the first time, or standard output is no terminal.
pub async fn run(args: TopArgs) -> Result<ExitCode> {
    let base = match &args.gateway {
        Some(given) => given.trim_end_matches('/').to_owned(),
        None => running_gateway()?,
    };
    let gateway = Gateway::try_new(base)?;
    let between = Duration::from_millis(args.interval);
    if args.once {
        let before = gateway.sample().await?;
        sleep(between).await;
        let now = gateway.sample().await?;
        say(View::of(&gateway.base, &before, &now));
        return Ok(ExitCode::SUCCESS);
    }
    if !std::io::stdout().is_terminal() {
        bail!("standard output is no terminal; `maru top --once` prints one view");
    }
    // A wrong address is told before the screen changes.
    let first = gateway.sample().await?;
    let terminal = ratatui::try_init().context("the terminal cannot be drawn on")?;
    let shown = watch(terminal, &gateway, first, between).await;
    ratatui::restore();
    shown?;
    Ok(ExitCode::SUCCESS)
}

/// Where the figures come from.
struct Gateway {
    base: String,
    http: reqwest::Client,
}

impl Gateway {
    fn try_new(base: String) -> Result<Self> {
        let url = reqwest::Url::parse(&base).with_context(|| format!("`{base}` is no address"))?;
        let http = http_client(&url, &RetryPolicy::default())?;
        Ok(Self { base, http })
    }

    async fn sample(&self) -> Result<Sample> {
        let (metrics, status) =
            tokio::try_join!(self.read("/metrics"), self.read("/api/services/status"))?;
        let status: Status = serde_json::from_str(&status)
            .with_context(|| format!("{} gives no status", self.base))?;
        Ok(Sample::read(Instant::now(), &metrics, status))
    }

    async fn read(&self, path: &str) -> Result<String> {
        let base = &self.base;
        let answer = self.http.get(format!("{base}{path}")).send().await;
        let answer = answer.with_context(|| format!("the gateway at {base} does not answer"))?;
        let code = answer.status();
        if !code.is_success() {
            bail!("{base}{path} answered {code}");
        }
        let text = answer.text().await;
        text.with_context(|| format!("the answer of {base}{path} broke off"))
    }
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Quit,
    Up,
    Down,
    /// The terminal has another size.
    Redraw,
}

fn wish_of(event: &Event) -> Option<Wish> {
    match event {
        Event::Resize(..) => Some(Wish::Redraw),
        Event::Key(KeyEvent {
            code,
            modifiers,
            kind: KeyEventKind::Press | KeyEventKind::Repeat,
            ..
        }) => match code {
            KeyCode::Char('q') | KeyCode::Esc => Some(Wish::Quit),
            KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Some(Wish::Quit),
            KeyCode::Up | KeyCode::Char('k') => Some(Wish::Up),
            KeyCode::Down | KeyCode::Char('j') => Some(Wish::Down),
            _ => None,
        },
        _ => None,
    }
}

/// Reads the keyboard until nobody wants to know of it any more.
fn read_keys(wishes: &mpsc::Sender<Wish>) {
    while !wishes.is_closed() {
        match event::poll(KEY_WAIT) {
            Ok(false) => {}
            Ok(true) => {
                let wish = event::read().ok().as_ref().and_then(wish_of);
                if wish.is_some_and(|wish| wishes.blocking_send(wish).is_err()) {
                    return;
                }
            }
            // The terminal is gone.
            Err(_) => {
                let _nobody = wishes.blocking_send(Wish::Quit);
                return;
            }
        }
    }
}

async fn watch(
    mut terminal: DefaultTerminal,
    gateway: &Gateway,
    mut before: Sample,
    between: Duration,
) -> Result<()> {
    let (sender, mut wishes) = mpsc::channel(16);
    let reader = std::thread::spawn(move || read_keys(&sender));
    let mut looks = interval(between);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks.tick().await;
    let (mut view, mut trouble, mut first) = (None::<View>, None::<String>, 0_usize);
    let mut ending = Box::pin(ended());
    loop {
        terminal.draw(|frame| screen::draw(frame, view.as_ref(), first, trouble.as_deref()))?;
        tokio::select! {
            _ = looks.tick() => match gateway.sample().await {
                Ok(now) => {
                    view = Some(View::of(&gateway.base, &before, &now));
                    (before, trouble) = (now, None);
                }
                // What was seen last stays, with the reason why it is old.
                Err(error) => trouble = Some(format!("{error:#}")),
            },
            wish = wishes.recv() => match wish {
                None | Some(Wish::Quit) => break,
                Some(Wish::Redraw) => {}
                Some(Wish::Up) => first = first.saturating_sub(1),
                Some(Wish::Down) => {
                    let routes = view.as_ref().map_or(0, |view| view.routes.len());
                    first = (first + 1).min(routes.saturating_sub(1));
                }
            },
            () = &mut ending => break,
        }
    }
    drop(wishes);
    let _ended = tokio::task::spawn_blocking(move || reader.join()).await;
    Ok(())
}

/// Waits for the signal to end; the terminal must be given back before.
async fn ended() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut signals) = signal(SignalKind::terminate()) {
            signals.recv().await;
            return;
        }
    }
    std::future::pending().await
}
