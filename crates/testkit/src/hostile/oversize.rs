//! Bodies that are too large, over a bare connection. A service may answer and close while the body
//! is still being sent; an ordinary client then reports a broken connection and not the answer.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use super::answer::Answer;
use super::runner::Case;

/// How the size is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Beforehand.
    ContentLength,
    /// Not at all: chunks until the end (RFC 9112, section 7.1).
    Chunked,
}

pub(super) async fn exchange(base: &str, case: &Case, framing: Framing) -> Result<Answer, String> {
    let address = base.trim_start_matches("http://");
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| error.to_string())?;
    let (mut reader, writer) = stream.into_split();
    let request = head(address, case, framing);
    let body = case.body.clone().unwrap_or_default();
    // Errors of writing do not matter: the answer decides.
    let writing = tokio::spawn(write(writer, request, body, framing));
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 16_384];
    let answer = loop {
        if let Some(answer) = parse(&bytes) {
            break Ok(answer);
        }
        match reader.read(&mut buffer).await {
            Ok(read) if read > 0 => bytes.extend(buffer.iter().take(read)),
            Ok(_) => break Err("the connection was closed without an answer".to_owned()),
            Err(error) => break Err(error.to_string()),
        }
    };
    writing.abort();
    answer
}

fn head(address: &str, case: &Case, framing: Framing) -> String {
    let mut head = format!(
        "{} {} HTTP/1.1\r\nhost: {address}\r\n",
        case.method.to_uppercase(),
        case.target
    );
    for (name, value) in &case.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match framing {
        Framing::ContentLength => {
            let length = case.body.as_ref().map_or(0, Vec::len);
            head.push_str(&format!("content-length: {length}\r\n\r\n"));
        }
        Framing::Chunked => head.push_str("transfer-encoding: chunked\r\n\r\n"),
    }
    head
}

async fn write(
    mut writer: OwnedWriteHalf,
    head: String,
    body: Vec<u8>,
    framing: Framing,
) -> std::io::Result<()> {
    writer.write_all(head.as_bytes()).await?;
    for chunk in body.chunks(32_768) {
        if framing == Framing::Chunked {
            let size = format!("{:x}\r\n", chunk.len());
            writer.write_all(size.as_bytes()).await?;
        }
        writer.write_all(chunk).await?;
        if framing == Framing::Chunked {
            writer.write_all(b"\r\n").await?;
        }
    }
    if framing == Framing::Chunked {
        writer.write_all(b"0\r\n\r\n").await?;
    }
    // Half-open until the answer is there.
    std::future::pending().await
}

/// A whole answer with a declared length, if it is there.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    if status == 100 {
        return parse(bytes.get(end + 4..)?);
    }
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.and_then(|(_, value)| value.parse().ok())?;
    let body = bytes.get(end + 4..end + 4 + length)?.to_vec();
    Some(Answer {
        status,
        headers,
        body,
    })
}
