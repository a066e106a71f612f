//! Shows, exports and seals the audit trail.

use std::collections::VecDeque;

use actix_web::web;
use common::auth::Principal;
use contracts::audit::{AuditEnd, AuditEntry, AuditLine, AuditSeal};
use futures_util::stream::{self, Stream};
use store::StoreError;

use super::whoami::caller;
use crate::error::SessionError;
use crate::keys::MintError;
use crate::state::AppState;
use crate::store::audit::{self as rows, AuditFilter};

/// Entries read together for an export: about 300 KB.
const EXPORT_PAGE: i64 = 500;

/// Why the trail was not sealed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sign(#[from] MintError),
}

/// Entries from the newest on.
pub(crate) async fn list(
    state: &AppState,
    principal: &Principal,
    filter: &AuditFilter,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<AuditEntry>, SessionError> {
    let mut tx = state.db.read().await?;
    caller(state, &mut tx, principal).await?;
    Ok(rows::list(&mut tx, filter, before, limit.into()).await?)
}

/// The whole trail as it is now, line by line, without holding it in memory.
pub(crate) async fn export(
    state: web::Data<AppState>,
    principal: &Principal,
) -> Result<impl Stream<Item = Result<AuditLine, StoreError>> + use<>, SessionError> {
    let mut tx = state.db.read().await?;
    caller(&state, &mut tx, principal).await?;
    let head = rows::head(&mut tx).await?;
    let last_seal = rows::last_seal(&mut tx).await?;
    drop(tx);
    let export = Export {
        state,
        last_seal: last_seal.max(head.seq),
        end: AuditEnd {
            seq: head.seq,
            hash: head.hash,
        },
        after: 0,
        lines: VecDeque::new(),
        ended: false,
    };
    Ok(stream::try_unfold(export, |mut export| async move {
        let line = export.next().await?;
        Ok(line.map(|line| (line, export)))
    }))
}

struct Export {
    state: web::Data<AppState>,
    end: AuditEnd,
    /// Seals up to this place belong to this export. In a trail that was cut off it is behind the
    /// end, and the seal there shows it; seals made from now on are the next export's.
    last_seal: i64,
    /// The last entry read.
    after: i64,
    /// Read, and not handed out yet.
    lines: VecDeque<AuditLine>,
    ended: bool,
}

impl Export {
    async fn next(&mut self) -> Result<Option<AuditLine>, StoreError> {
        if self.lines.is_empty() && !self.ended {
            self.read_page().await?;
        }
        Ok(self.lines.pop_front())
    }

    /// Entries and seals are never changed, so pages of several transactions fit together.
    async fn read_page(&mut self) -> Result<(), StoreError> {
        let mut tx = self.state.db.read().await?;
        let entries = rows::page(&mut tx, self.after, self.end.seq, EXPORT_PAGE).await?;
        self.ended = i64::try_from(entries.len()).is_ok_and(|read| read < EXPORT_PAGE);
        let sealed_up_to = match entries.last() {
            Some(entry) if !self.ended => entry.seq,
            _ => self.last_seal,
        };
        let seals = rows::seals(&mut tx, self.after, sealed_up_to).await?;
        let mut seals = VecDeque::from(seals);
        for entry in entries {
            let seq = entry.seq;
            self.lines.push_back(AuditLine::Entry(Box::new(entry)));
            while seals.front().is_some_and(|seal| seal.seq <= seq) {
                self.lines.extend(seals.pop_front().map(AuditLine::Seal));
            }
            self.after = seq;
        }
        if self.ended {
            self.lines.extend(seals.into_iter().map(AuditLine::Seal));
            self.lines.push_back(AuditLine::End(self.end.clone()));
        }
        Ok(())
    }
}

/// Signs the trail as it is now, unless its newest entry is sealed already. Any replica may.
pub(crate) async fn seal(state: &AppState) -> Result<(), SealError> {
    let mut tx = state.db.read().await?;
    let head = rows::head(&mut tx).await?;
    let sealed = head.seq == 0 || rows::is_sealed(&mut tx, head.seq).await?;
    drop(tx);
    if sealed {
        return Ok(());
    }
    let at = state.clock.now();
    let text = AuditSeal::signed_text(head.seq, &head.hash, at);
    let signed = state.keyring.sign_text(&text)?;
    let seal = AuditSeal {
        seq: head.seq,
        hash: head.hash,
        at,
        kid: signed.kid,
        public_key: signed.public_key,
        signature: signed.signature,
    };
    let mut tx = state.db.begin().await?;
    rows::insert_seal(&mut tx, &seal).await?;
    tx.commit().await?;
    Ok(())
}
