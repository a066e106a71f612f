//! Copies of requested mails, on the development profile.

use std::collections::BTreeMap;

use common::ids::EventId;
use common::time::Timestamp;
use contracts::events::MailRequested;
use store::{StoreError, Tx};

/// A mail that was asked for.
pub(crate) struct StoredMail {
    pub(crate) id: EventId,
    pub(crate) recipient: String,
    pub(crate) template: String,
    pub(crate) locale: String,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) requested_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: EventId,
    recipient: String,
    template: String,
    locale: String,
    variables: String,
    requested_at: Timestamp,
}

/// Keeps a mail from when it was asked for until it is forgotten.
pub(crate) async fn insert_mail(
    tx: &mut Tx,
    id: EventId,
    mail: &MailRequested,
    (requested_at, expires_at): (Timestamp, Timestamp),
) -> Result<(), StoreError> {
    let variables = serde_json::to_string(&mail.variables).unwrap_or_default();
    store::execute!(
        tx,
        "INSERT INTO development_mails (id, recipient, template, locale, variables, requested_at,
                                        expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        id,
        &mail.recipient,
        mail.template.as_str(),
        &mail.locale,
        variables,
        requested_at,
        expires_at
    )?;
    Ok(())
}

/// Mails that are not forgotten yet, the newest first, from before `before` on.
pub(crate) async fn list_mails(
    tx: &mut Tx,
    before: Option<EventId>,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<StoredMail>, StoreError> {
    let rows = store::fetch_all!(
        tx,
        Row,
        "SELECT id, recipient, template, locale, variables, requested_at FROM development_mails
         WHERE ($1 IS NULL OR id < $1) AND expires_at > $2 ORDER BY id DESC LIMIT $3",
        before,
        now,
        limit
    )?;
    let mail = |row: Row| StoredMail {
        id: row.id,
        recipient: row.recipient,
        template: row.template,
        locale: row.locale,
        variables: serde_json::from_str(&row.variables).unwrap_or_default(),
        requested_at: row.requested_at,
    };
    Ok(rows.into_iter().map(mail).collect())
}

/// Forgets mails whose time is over.
pub(crate) async fn delete_expired(tx: &mut Tx, now: Timestamp) -> Result<u64, StoreError> {
    let sql = "DELETE FROM development_mails WHERE expires_at <= $1";
    store::execute!(tx, sql, now)
}

/// Forgets every mail: what production does with those of a development before it.
pub(crate) async fn delete_all(tx: &mut Tx) -> Result<u64, StoreError> {
    store::execute!(tx, "DELETE FROM development_mails")
}

/// Forgets the mails to an address, whatever its case, and those in which a name stands.
pub(crate) async fn delete_of_person(
    tx: &mut Tx,
    email_key: &str,
    display_name: &str,
) -> Result<u64, StoreError> {
    // With its quotes, as the variables spell it. A wildcard in a name forgets more than it must.
    let quoted = serde_json::to_string(display_name).unwrap_or_default();
    let sql = "DELETE FROM development_mails WHERE lower(recipient) = $1 OR variables LIKE $2";
    store::execute!(tx, sql, email_key, format!("%{quoted}%"))
}
