//! One client: it sends a stream in pieces, reads what comes back, and holds it against the notes of
//! the recorder.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::Tally;
use super::streams::{Stream, number_in};
use crate::recorder::{NUMBER_HEADER, Recorder, TARGET_HEADER};
use crate::wire::{Body, Framing, Head, Reader, status};

/// After this silence the client ends its half of the connection: the gateway waits for more.
const QUIET: Duration = Duration::from_millis(500);

/// No connection may go on longer than this behind the client's end.
const MAX_END: Duration = Duration::from_secs(10);

/// Sends one stream.
pub(super) async fn run(address: SocketAddr, stream: &Stream, recorder: &Recorder, tally: &Tally) {
    match converse(address, stream, recorder, tally).await {
        Ok(End::Whole) => {}
        Ok(End::Cut) => note_cut(stream, tally),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            note_cut(stream, tally);
            tally.fault(stream, &error.to_string());
        }
        // Reset: the gateway has closed while bytes were still on their way to it.
        Err(_broken) => note_cut(stream, tally),
    }
}

fn note_cut(stream: &Stream, tally: &Tally) {
    let mut cut = tally.cut.lock().expect("nobody panics with it");
    cut.insert(stream.number);
}

/// How a conversation ended.
enum End {
    /// By the gateway, between two answers.
    Whole,
    /// By the client, or inside an answer.
    Cut,
}

async fn converse(
    address: SocketAddr,
    stream: &Stream,
    recorder: &Recorder,
    tally: &Tally,
) -> io::Result<End> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let (read, mut write) = socket.into_split();
    let mut reader = Reader::new(read);
    for piece in stream.pieces() {
        if write.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let mut ended = false;
    loop {
        let answer = next(&mut reader, &mut write, stream, &mut ended).await?;
        match answer {
            Answer::None if ended => return Ok(End::Cut),
            Answer::None => return Ok(End::Whole),
            Answer::Part => return Ok(End::Cut),
            Answer::Whole(head) => check(&head, stream, recorder, tally),
        }
    }
}

enum Answer {
    None,
    Part,
    Whole(Head),
}

/// The next answer. The client waits `QUIET`, then ends its half, and then waits `MAX_END`.
async fn next(
    reader: &mut Reader<OwnedReadHalf>,
    write: &mut OwnedWriteHalf,
    stream: &Stream,
    ended: &mut bool,
) -> io::Result<Answer> {
    let late = || io::Error::new(io::ErrorKind::InvalidData, "no end within 10 s");
    if reader.ahead().is_empty() && !*ended {
        // Only the wait for the first byte can be broken off without losing any.
        match timeout(QUIET, reader.fill()).await {
            Ok(more) => {
                if !more? {
                    return Ok(Answer::None);
                }
            }
            Err(_silence) => {
                *ended = true;
                let _closed = write.shutdown().await;
            }
        }
    }
    let read = timeout(MAX_END, whole(reader, stream.may_have_head)).await;
    read.map_err(|_elapsed| late())?
}

async fn whole(reader: &mut Reader<OwnedReadHalf>, may_have_head: bool) -> io::Result<Answer> {
    let head = match reader.head().await {
        Ok(Some(head)) => head,
        Ok(None) => return Ok(Answer::None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(error),
        Err(_broken_off) => return Ok(Answer::Part),
    };
    let code = status(&head.start);
    let broken = || io::Error::new(io::ErrorKind::InvalidData, format!("no status: {head:?}"));
    let code = code.ok_or_else(broken)?;
    let to_head = head.text("x-method").as_deref() == Some("HEAD");
    let framing = head.framing()?;
    let mut body = Body::default();
    let read = match framing {
        _ if to_head || matches!(code, 100..=199 | 204 | 304) => Ok(()),
        _ if may_have_head && follows(reader).await? => Ok(()),
        Framing::None => reader.rest(&mut body).await,
        framing => reader.body(framing, &mut body).await,
    };
    match read {
        Ok(()) => Ok(Answer::Whole(head)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(error),
        Err(_broken_off) => Ok(Answer::Part),
    }
}

/// Whether another answer, or the end, follows at once: an answer of the gateway itself does not say
/// whether it is one to HEAD.
async fn follows(reader: &mut Reader<OwnedReadHalf>) -> io::Result<bool> {
    while reader.ahead().len() < 7 {
        match timeout(QUIET, reader.fill()).await {
            Ok(more) => {
                if !more? {
                    break;
                }
            }
            Err(_silence) => return Ok(true),
        }
    }
    Ok(reader.ahead().is_empty() || reader.ahead().starts_with(b"HTTP/1."))
}

fn check(head: &Head, stream: &Stream, recorder: &Recorder, tally: &Tally) {
    let mut statuses = tally.statuses.lock().expect("nobody panics with it");
    *statuses
        .entry(status(&head.start).unwrap_or(0))
        .or_default() += 1;
    drop(statuses);
    let Some(number) = head.text(NUMBER_HEADER) else {
        // On a machine that is all but standing still.
        if matches!(status(&head.start), Some(502 | 504)) {
            note_cut(stream, tally);
        }
        return;
    };
    tally.forwarded.fetch_add(1, Ordering::Relaxed);
    let number = number.parse().unwrap_or(0);
    let target = recorder.notes(|notes| notes.open.remove(&number));
    let told = head.text(TARGET_HEADER);
    match target {
        None => tally.fault(
            stream,
            "an answer came twice, or to a request that nobody sent",
        ),
        Some(target) if Some(&target) != told.as_ref() => {
            tally.fault(stream, "an answer was altered");
        }
        Some(target) => {
            if number_in(&target).is_some_and(|number| number != stream.number) {
                tally.fault(stream, &format!("the answer to {target} came here"));
            }
        }
    }
}
