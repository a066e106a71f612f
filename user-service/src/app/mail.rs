//! Asks for mails. Whoever sends them learns of it by an event in the transaction of the cause.

use std::collections::BTreeMap;
use std::time::Duration;

use common::settings::Profile;
use contracts::events::{MailRequested, MailTemplate};
use store::{StoreError, Tx};

use crate::state::AppState;
use crate::store::development_mails;

/// The language of whoever never chose one.
pub(crate) const DEFAULT_LOCALE: &str = "en";
/// A mail that tells of something is worth sending for this long.
const NEWS_LIFE: Duration = Duration::from_secs(24 * 3_600);
/// The development outbox forgets a mail after this long, whatever its links are good for.
const DEVELOPMENT_LIFE: Duration = Duration::from_secs(24 * 3_600);

/// A mail to ask for.
pub(crate) struct Mail<'a> {
    pub(crate) recipient: &'a str,
    pub(crate) template: MailTemplate,
    pub(crate) locale: Option<&'a str>,
    pub(crate) variables: &'a [(&'a str, &'a str)],
    /// How long it is worth sending; a link is good for as long.
    pub(crate) life: Duration,
}

impl<'a> Mail<'a> {
    /// One that tells of something and asks for nothing.
    pub(crate) const fn news(
        recipient: &'a str,
        template: MailTemplate,
        locale: Option<&'a str>,
        variables: &'a [(&'a str, &'a str)],
    ) -> Self {
        Self {
            recipient,
            template,
            locale,
            variables,
            life: NEWS_LIFE,
        }
    }
}

/// Promises the mail once `tx` is committed. The development profile keeps a copy for the owner to
/// read; production keeps none.
pub(crate) async fn request(
    state: &AppState,
    tx: &mut Tx,
    mail: &Mail<'_>,
) -> Result<(), StoreError> {
    let now = state.clock.now();
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let event = MailRequested {
        recipient: mail.recipient.to_owned(),
        template: mail.template,
        locale: mail.locale.unwrap_or(DEFAULT_LOCALE).to_owned(),
        variables: mail.variables.iter().map(own).collect::<BTreeMap<_, _>>(),
        expires_at: now.plus(mail.life),
    };
    let id = state.outbox.append(tx, "mail", &event).await?;
    if state.profile == Profile::Development {
        let forgotten_at = now.plus(DEVELOPMENT_LIFE);
        development_mails::insert_mail(tx, id, &event, (now, forgotten_at)).await?;
    }
    Ok(())
}

/// Where a mail's link leads. The token stands in the fragment, which a browser sends to nobody: not
/// to a server's log and not in a `Referer`.
pub(crate) fn link(state: &AppState, page: &str, token: &str) -> String {
    format!("{}/{page}#token={token}", state.oidc.issuer)
}
