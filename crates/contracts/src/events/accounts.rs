//! What user-service tells of accounts.

use std::collections::BTreeMap;
use std::fmt;

use common::ids::UserId;
use common::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::EventPayload;

/// What a mail is about; who sends it has a text for each, in each language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailTemplate {
    /// Somebody may make an account: `link`, `display_name`, `invited_by`, `hours`.
    Invitation,
    /// Proves an address: `link`, `display_name`, `hours`.
    VerifyEmail,
    /// To the old address: `display_name`, `new_email`.
    EmailChanged,
    /// Sets a forgotten password: `link`, `display_name`, `minutes`.
    ResetPassword,
    /// The password is another one: `display_name`.
    PasswordChanged,
    /// A session was ended because its refresh token was used twice, so somebody else may have it:
    /// `display_name`.
    SessionReused,
    /// A second factor was added, removed or used up: `display_name`, `change`.
    SecondFactorChanged,
    /// An API key was made: `display_name`, `name`.
    ApiKeyCreated,
}

impl MailTemplate {
    /// The text on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invitation => "invitation",
            Self::VerifyEmail => "verify_email",
            Self::EmailChanged => "email_changed",
            Self::ResetPassword => "reset_password",
            Self::PasswordChanged => "password_changed",
            Self::SessionReused => "session_reused",
            Self::SecondFactorChanged => "second_factor_changed",
            Self::ApiKeyCreated => "api_key_created",
        }
    }
}

/// A mail is to be sent. From user-service. Links in it let their holder in: it is never logged, and
/// `Debug` shows neither the variables nor the recipient.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailRequested {
    /// The address to send to.
    pub recipient: String,
    /// What it is about.
    pub template: MailTemplate,
    /// The reader's language, a BCP 47 tag such as `en` or `ko-KR`.
    pub locale: String,
    /// What the text needs, by name.
    pub variables: BTreeMap<String, String>,
    /// A mail that was not sent by then is not worth sending.
    pub expires_at: Timestamp,
}

impl fmt::Debug for MailRequested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailRequested")
            .field("template", &self.template)
            .field("locale", &self.locale)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// A person's data is gone from user-service and is to go everywhere; the id stays, where records
/// must be kept. From user-service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserErased {
    /// The account.
    pub user_id: UserId,
    /// When it was erased.
    pub erased_at: Timestamp,
}

impl EventPayload for MailRequested {
    const TYPE: &'static str = "mail.requested.v1";
}

impl EventPayload for UserErased {
    const TYPE: &'static str = "user.erased.v1";
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn round_trip<E: EventPayload + PartialEq + fmt::Debug>(wire: &Value) -> E {
        let event: E = serde_json::from_value(wire.clone()).expect("the payload reads");
        assert_eq!(&serde_json::to_value(&event).unwrap(), wire);
        event
    }

    #[test]
    fn a_mail_keeps_its_form_and_its_secrets() {
        let mail: MailRequested = round_trip(&json!({
            "recipient": "kim@maru.local",
            "template": "reset_password",
            "locale": "ko",
            "variables": {"link": "https://maru.local/reset#token=secret"},
            "expires_at": "2026-03-01T09:30:00Z",
        }));
        let shown = format!("{mail:?}");
        assert!(
            !shown.contains("secret") && !shown.contains("kim"),
            "{shown}"
        );
    }

    #[test]
    fn an_erased_account_keeps_its_id_alone() {
        let _event: UserErased = round_trip(&json!({
            "user_id": "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7e",
            "erased_at": "2026-03-01T09:30:00Z",
        }));
    }

    #[test]
    fn templates_are_spelled_as_on_the_wire() {
        for template in [
            MailTemplate::Invitation,
            MailTemplate::VerifyEmail,
            MailTemplate::EmailChanged,
            MailTemplate::ResetPassword,
            MailTemplate::PasswordChanged,
            MailTemplate::SessionReused,
            MailTemplate::SecondFactorChanged,
            MailTemplate::ApiKeyCreated,
        ] {
            assert_eq!(serde_json::to_value(template).unwrap(), template.as_str());
        }
    }
}
