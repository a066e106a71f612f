//! `maru verify audit`: walks through the audit trail and names the first entry that is not as it was
//! written: from an export through the gateway, from a file that holds one, or from the rows of
//! user-service's database.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use common::settings::DatabaseSettings;
use common::time::Timestamp;
use contracts::audit::{AuditEntry, AuditLine, AuditSeal, AuditWalk, Broken};
use secrecy::SecretString;
use serde_json::Value;
use store::{Db, Tx};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::client::{Gateway, GatewayArgs};
use crate::output::say;

/// Entries read together from a database.
const PAGE: i64 = 1_000;
/// Longest line of an export; an entry has a few hundred bytes.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Where the trail is read from: through the gateway, unless a file or a database is named.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct AuditArgs {
    #[command(flatten)]
    gateway: GatewayArgs,
    /// An export that was kept: `GET /api/users/audit/export`
    #[arg(long, value_name = "FILE", conflicts_with = "database")]
    file: Option<PathBuf>,
    /// The database of user-service: `sqlite://user.db` or `postgres://..`
    #[arg(long, value_name = "URL")]
    database: Option<SecretString>,
}

/// Says whether the trail is whole: ends with 0 when it is, else with 1.
///
/// # Errors
/// When the trail cannot be read.
pub(super) async fn run(args: AuditArgs) -> Result<ExitCode> {
    let outcome = match (&args.file, &args.database) {
        (Some(file), _) => of_file(file).await,
        (None, Some(url)) => of_database(url).await,
        (None, None) => of_gateway(&args.gateway).await,
    };
    Ok(match outcome? {
        Ok(walk) => {
            let (entries, seals) = (walk.entries(), walk.seals);
            say(format_args!(
                "the audit trail is whole: {entries} entries, {seals} seals"
            ));
            say(format_args!("its last hash is {}", walk.last_hash()));
            ExitCode::SUCCESS
        }
        Err(broken) => {
            say(format_args!("the audit trail is broken: {broken}"));
            ExitCode::FAILURE
        }
    })
}

type Outcome = Result<AuditWalk, Broken>;

async fn of_gateway(args: &GatewayArgs) -> Result<Outcome> {
    let gateway = Gateway::new(args)?;
    let mut answer = gateway.get("/api/users/audit/export").stream().await?;
    let mut walk = AuditWalk::default();
    let mut rest: Vec<u8> = Vec::new();
    while let Some(chunk) = answer.chunk().await.context("the export broke off")? {
        rest.extend_from_slice(&chunk);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            if let Err(broken) = walk.line(&parse(&line)?) {
                return Ok(Err(broken));
            }
        }
        if rest.len() > MAX_LINE_BYTES {
            bail!("what the gateway sent is no export of the audit trail");
        }
    }
    ended(walk)
}

async fn of_file(file: &Path) -> Result<Outcome> {
    let name = file.display();
    let open = tokio::fs::File::open(file).await;
    let mut lines = BufReader::new(open.with_context(|| format!("cannot open {name}"))?).lines();
    let mut walk = AuditWalk::default();
    while let Some(line) = lines
        .next_line()
        .await
        .with_context(|| format!("reading {name}"))?
    {
        if let Err(broken) = walk.line(&parse(line.as_bytes())?) {
            return Ok(Err(broken));
        }
    }
    ended(walk)
}

fn parse(line: &[u8]) -> Result<AuditLine> {
    serde_json::from_slice(line).context("a line is none of an export of the audit trail")
}

fn ended(walk: AuditWalk) -> Result<Outcome> {
    if !walk.ended {
        bail!(
            "the export has no end after entry {}; load it again",
            walk.entries()
        );
    }
    Ok(Ok(walk))
}

async fn of_database(url: &SecretString) -> Result<Outcome> {
    let settings = DatabaseSettings {
        url: url.clone(),
        max_connections: 1,
        acquire_timeout_ms: 5_000,
    };
    let db = Db::connect(&settings)
        .await
        .context("cannot open the database")?;
    let outcome = walk_rows(&mut db.read().await?).await;
    db.close().await;
    outcome
}

async fn walk_rows(tx: &mut Tx) -> Result<Outcome> {
    let seals = seals(tx).await?;
    let mut seals = seals.into_iter().peekable();
    let mut walk = AuditWalk::default();
    loop {
        let after = walk.entries();
        let rows = entries(tx, after).await;
        let rows = rows.with_context(|| format!("cannot read what follows entry {after}"))?;
        if rows.is_empty() {
            break;
        }
        for entry in rows {
            let seq = entry.seq;
            if let Err(broken) = walk.line(&AuditLine::Entry(Box::new(entry))) {
                return Ok(Err(broken));
            }
            while let Some(seal) = seals.next_if(|seal| seal.seq <= seq) {
                if let Err(broken) = walk.line(&AuditLine::Seal(seal)) {
                    return Ok(Err(broken));
                }
            }
        }
    }
    for seal in seals {
        if let Err(broken) = walk.line(&AuditLine::Seal(seal)) {
            return Ok(Err(broken));
        }
    }
    Ok(Ok(walk))
}

#[derive(sqlx::FromRow)]
struct EntryRow {
    seq: i64,
    id: String,
    at: Timestamp,
    actor_kind: String,
    actor_id: Option<String>,
    action: String,
    target_kind: Option<String>,
    target_id: Option<String>,
    store_id: Option<String>,
    state_before: Option<String>,
    state_after: Option<String>,
    address: Option<String>,
    request_id: Option<String>,
    previous_hash: String,
    hash: String,
}

async fn entries(tx: &mut Tx, after: i64) -> Result<Vec<AuditEntry>> {
    let rows = store::fetch_all!(
        tx,
        EntryRow,
        "SELECT seq, id, at, actor_kind, actor_id, action, target_kind, target_id, store_id,
                state_before, state_after, address, request_id, previous_hash, hash
         FROM audit_entries WHERE seq > $1 ORDER BY seq LIMIT $2",
        after,
        PAGE
    )?;
    // What is no JSON any more is the text that it is; its hash will not fit.
    let state = |text: String| serde_json::from_str(&text).unwrap_or(Value::String(text));
    let entry = |row: EntryRow| AuditEntry {
        seq: row.seq,
        id: row.id,
        at: row.at,
        actor_kind: row.actor_kind,
        actor_id: row.actor_id,
        action: row.action,
        target_kind: row.target_kind,
        target_id: row.target_id,
        store_id: row.store_id,
        before: row.state_before.map(state),
        after: row.state_after.map(state),
        address: row.address,
        request_id: row.request_id,
        previous_hash: row.previous_hash,
        hash: row.hash,
    };
    Ok(rows.into_iter().map(entry).collect())
}

async fn seals(tx: &mut Tx) -> Result<Vec<AuditSeal>> {
    let rows = store::fetch_all!(
        tx,
        (i64, String, Timestamp, String, String, String),
        "SELECT seq, hash, at, kid, public_key, signature FROM audit_seals ORDER BY seq"
    )?;
    let seal = |(seq, hash, at, kid, public_key, signature)| AuditSeal {
        seq,
        hash,
        at,
        kid,
        public_key,
        signature,
    };
    Ok(rows.into_iter().map(seal).collect())
}

#[cfg(test)]
mod tests {
    use contracts::audit::{AuditEnd, GENESIS};
    use serde_json::json;
    use testkit::TestDatabase;

    use super::*;

    fn trail(length: i64) -> Vec<AuditEntry> {
        let mut previous = GENESIS.to_owned();
        let entry = |seq| {
            let mut entry = AuditEntry {
                seq,
                id: format!("id-{seq}"),
                at: Timestamp::from_unix_seconds(1_800_000_000 + seq),
                actor_kind: "system".to_owned(),
                actor_id: None,
                action: "account.changed".to_owned(),
                target_kind: Some("account".to_owned()),
                target_id: Some("kim".to_owned()),
                store_id: None,
                before: Some(json!({"roles": ["crew"]})),
                after: Some(json!({"roles": []})),
                address: None,
                request_id: None,
                previous_hash: previous.clone(),
                hash: String::new(),
            };
            entry.hash = entry.computed_hash();
            previous.clone_from(&entry.hash);
            entry
        };
        (1..=length).map(entry).collect()
    }

    async fn stored(entries: &[AuditEntry]) -> (TestDatabase, Db) {
        let database = TestDatabase::create().await;
        let db = database.connect().await;
        let mut tx = db.begin().await.unwrap();
        for sql in [
            "CREATE TABLE audit_entries (seq bigint PRIMARY KEY, id text, at timestamptz,
                 actor_kind text, actor_id text, action text, target_kind text, target_id text,
                 store_id text, state_before text, state_after text, address text,
                 request_id text, previous_hash text, hash text)",
            "CREATE TABLE audit_seals (seq bigint PRIMARY KEY, hash text, at timestamptz,
                 kid text, public_key text, signature text)",
        ] {
            store::execute!(tx, sql).unwrap();
        }
        for entry in entries {
            store::execute!(
                tx,
                "INSERT INTO audit_entries (seq, id, at, actor_kind, action, target_kind, target_id,
                                            state_before, state_after, previous_hash, hash)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                entry.seq,
                &entry.id,
                entry.at,
                &entry.actor_kind,
                &entry.action,
                entry.target_kind.as_deref(),
                entry.target_id.as_deref(),
                entry.before.as_ref().map(ToString::to_string),
                entry.after.as_ref().map(ToString::to_string),
                &entry.previous_hash,
                &entry.hash
            )
            .unwrap();
        }
        tx.commit().await.unwrap();
        (database, db)
    }

    #[tokio::test]
    async fn a_changed_byte_in_the_database_is_named_by_place_and_id() {
        let (_database, db) = stored(&trail(3_000)).await;
        let walk = walk_rows(&mut db.read().await.unwrap()).await.unwrap();
        assert_eq!(walk.unwrap().entries(), 3_000);
        let mut tx = db.begin().await.unwrap();
        let sql = "UPDATE audit_entries SET state_after = '{\"roles\":[}' WHERE seq = 2345";
        store::execute!(tx, sql).unwrap();
        tx.commit().await.unwrap();
        let walk = walk_rows(&mut db.read().await.unwrap()).await.unwrap();
        let broken = walk.unwrap_err().to_string();
        assert!(broken.contains("2345 (id-2345)"), "{broken}");
    }

    #[tokio::test]
    async fn a_kept_export_is_checked_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("audit.ndjson");
        let entries = trail(3);
        let end = AuditEnd {
            seq: 3,
            hash: entries[2].hash.clone(),
        };
        let mut lines: Vec<String> = entries
            .into_iter()
            .map(|entry| AuditLine::Entry(Box::new(entry)))
            .chain([AuditLine::End(end)])
            .map(|line| serde_json::to_string(&line).unwrap())
            .collect();
        let check = async |lines: &[String]| {
            std::fs::write(&file, lines.join("\n")).unwrap();
            of_file(&file).await
        };
        assert_eq!(check(&lines).await.unwrap().unwrap().entries(), 3);
        assert!(check(&lines[..3]).await.is_err(), "its end is missing");
        lines[1] = lines[1].replace("kim", "lee");
        let broken = check(&lines).await.unwrap().unwrap_err();
        assert!(matches!(broken, Broken::Changed { seq: 2, .. }), "{broken}");
    }
}
