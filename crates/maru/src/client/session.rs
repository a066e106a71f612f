//! The session of a client: one login, renewed before its token runs out and whenever the server
//! no longer takes it. However many calls wait for a token, one renewal is under way at a time.

use std::time::Duration;

use reqwest::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Gateway;
use super::error::ClientError;

/// A token is renewed this long before its end, or a tenth of its life if that is shorter.
const RENEW_BEFORE: Duration = Duration::from_secs(30);
/// Longest that a renewal ahead of time holds up calls which could go on with the old token.
const EARLY_RENEWAL_LIMIT: Duration = Duration::from_secs(2);
/// Pause after a failed renewal ahead of time.
const EARLY_RENEWAL_PAUSE: Duration = Duration::from_secs(1);

/// Who logs in.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) email: String,
    pub(super) password: SecretString,
    /// For an account with a second factor; good for one login.
    pub(super) code: Option<SecretString>,
}

/// A token to call with, and which renewal brought it.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) access: SecretString,
    pub(super) generation: u64,
}

#[derive(Debug)]
pub(super) struct Session {
    credentials: Credentials,
    current: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    generation: u64,
    grant: Option<Grant>,
}

#[derive(Debug)]
struct Grant {
    access: SecretString,
    refresh: SecretString,
    renew_at: Instant,
    expires_at: Instant,
}

#[derive(Serialize)]
struct LoginIn<'a> {
    email: &'a str,
    password: &'a str,
}

#[derive(Serialize)]
struct RefreshIn<'a> {
    refresh_token: &'a str,
}

#[derive(Serialize)]
struct CodeIn<'a> {
    mfa_token: &'a str,
    method: &'a str,
    code: &'a str,
}

#[derive(Deserialize)]
struct TokensOut {
    access_token: String,
    refresh_token: String,
    expires_in: u64,
    #[serde(default)]
    mfa_enrolment_required: bool,
}

/// The answer to a login whose password was right.
#[derive(Deserialize)]
#[serde(untagged)]
enum LoginOut {
    Tokens(TokensOut),
    SecondFactor { mfa_token: String },
}

impl Session {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            current: Mutex::default(),
        }
    }

    /// A token good for a call now. `rejected` is the generation that the server has just refused.
    pub(super) async fn token(
        &self,
        gateway: &Gateway,
        rejected: Option<u64>,
        deadline: Instant,
    ) -> Result<Token, ClientError> {
        let mut state = self.current.lock().await;
        let refused = rejected == Some(state.generation);
        let now = Instant::now();
        if let Some(grant) = &state.grant
            && !refused
            && now < grant.renew_at
        {
            return Ok(token_of(grant, state.generation));
        }
        let patience = deadline.saturating_duration_since(now);
        let State { generation, grant } = &mut *state;
        match grant
            .as_mut()
            .filter(|grant| !refused && now < grant.expires_at)
        {
            // Still good: try once, and go on with it should that fail.
            Some(old) => {
                let early = self.renew(gateway, Some(&*old), Duration::ZERO);
                match tokio::time::timeout(EARLY_RENEWAL_LIMIT, early).await {
                    Ok(Ok(new)) => {
                        *old = new;
                        *generation += 1;
                    }
                    _ => old.renew_at = Instant::now() + EARLY_RENEWAL_PAUSE,
                }
                Ok(token_of(old, *generation))
            }
            None => {
                let new = self.renew(gateway, grant.as_ref(), patience).await?;
                *generation += 1;
                Ok(token_of(grant.insert(new), *generation))
            }
        }
    }

    /// Refreshes the grant or, without one or when the server no longer takes it, logs in.
    async fn renew(
        &self,
        gateway: &Gateway,
        grant: Option<&Grant>,
        patience: Duration,
    ) -> Result<Grant, ClientError> {
        let deadline = Instant::now() + patience;
        if let Some(grant) = grant {
            let refresh_token = grant.refresh.expose_secret();
            // A refresh token that comes again within seconds is answered with the same successor.
            let refreshed = gateway
                .post("/api/auth/refresh")
                .unsigned()
                .repeatable()
                .json(&RefreshIn { refresh_token })
                .patience(patience)
                .send::<TokensOut>()
                .await;
            match refreshed {
                Ok(answer) => return Ok(Grant::from(answer.body)),
                Err(ClientError::Refused { problem, .. }) if problem.status < 500 => {}
                // The refresh token may have been used up by an answer that never came.
                Err(ClientError::NoAnswer { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.log_in(gateway, deadline.saturating_duration_since(Instant::now()))
            .await
    }

    async fn log_in(&self, gateway: &Gateway, patience: Duration) -> Result<Grant, ClientError> {
        let body = LoginIn {
            email: &self.credentials.email,
            password: self.credentials.password.expose_secret(),
        };
        // A second login does no more than open a second session.
        let login = gateway
            .post("/api/auth/login")
            .unsigned()
            .repeatable()
            .json(&body)
            .patience(patience);
        let answer = login.send::<LoginOut>().await;
        let tokens = match answer.map_err(|error| self.told(error))?.body {
            LoginOut::Tokens(tokens) => tokens,
            LoginOut::SecondFactor { mfa_token } => self.show_code(gateway, &mfa_token).await?,
        };
        if tokens.mfa_enrolment_required {
            let email = self.credentials.email.clone();
            return Err(ClientError::FactorMissing { email });
        }
        Ok(Grant::from(tokens))
    }

    async fn show_code(
        &self,
        gateway: &Gateway,
        mfa_token: &str,
    ) -> Result<TokensOut, ClientError> {
        let Some(code) = &self.credentials.code else {
            let email = self.credentials.email.clone();
            return Err(ClientError::CodeMissing { email });
        };
        let code = code.expose_secret();
        let is_number = code.bytes().all(|byte| byte.is_ascii_digit());
        let body = CodeIn {
            mfa_token,
            method: if is_number { "totp" } else { "recovery_code" },
            code,
        };
        // Not repeated: a code is good once, and whether it was taken is not known.
        let shown = gateway.post("/api/auth/login/mfa").unsigned().json(&body);
        let answer = shown.send::<TokensOut>().await;
        Ok(answer.map_err(|error| self.told(error))?.body)
    }

    /// Says whose login was refused.
    fn told(&self, error: ClientError) -> ClientError {
        match error {
            ClientError::Refused { problem, .. }
                if problem.status == StatusCode::UNAUTHORIZED.as_u16() =>
            {
                ClientError::LoginRefused {
                    email: self.credentials.email.clone(),
                    problem,
                }
            }
            other => other,
        }
    }

    /// Ends the session, when there is one. A failure is of no consequence: it ends by itself
    /// later.
    pub(super) async fn end(&self, gateway: &Gateway) {
        let Some(grant) = self.current.lock().await.grant.take() else {
            return;
        };
        let refresh_token = grant.refresh.expose_secret();
        let _ends_by_itself = gateway
            .post("/api/auth/logout")
            .unsigned()
            .json(&RefreshIn { refresh_token })
            .patience(Duration::from_secs(2))
            .send::<serde_json::Value>()
            .await;
    }
}

fn token_of(grant: &Grant, generation: u64) -> Token {
    Token {
        access: grant.access.clone(),
        generation,
    }
}

impl From<TokensOut> for Grant {
    fn from(tokens: TokensOut) -> Self {
        let now = Instant::now();
        let life = Duration::from_secs(tokens.expires_in);
        let margin = RENEW_BEFORE.min(life / 10);
        Self {
            access: tokens.access_token.into(),
            refresh: tokens.refresh_token.into(),
            renew_at: now + life.saturating_sub(margin),
            expires_at: now + life,
        }
    }
}
