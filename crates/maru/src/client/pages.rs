//! Lists, read page by page (`?limit=&cursor=` → `{"items", "next_cursor"}`).

use std::marker::PhantomData;
use std::time::Duration;

use common::page::{MAX_LIMIT, Page};
use serde::de::DeserializeOwned;

use super::Gateway;
use super::error::ClientError;

/// The pages of one list, in the server's order.
#[derive(Debug)]
pub struct Pages<'g, T> {
    gateway: &'g Gateway,
    path: String,
    patience: Duration,
    position: Position,
    items: PhantomData<fn() -> T>,
}

#[derive(Debug)]
enum Position {
    Start,
    After(String),
    End,
}

impl<'g, T> Pages<'g, T> {
    pub(super) fn new(gateway: &'g Gateway, path: String) -> Self {
        Self {
            gateway,
            path,
            patience: gateway.policy.patience,
            position: Position::Start,
            items: PhantomData,
        }
    }

    /// Waits this long for each page instead of the client's own patience.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

impl<T: DeserializeOwned> Pages<'_, T> {
    /// The next page, or none after the last.
    ///
    /// # Errors
    /// What the call met. Asking again asks for the same page.
    pub async fn next(&mut self) -> Result<Option<Vec<T>>, ClientError> {
        let joint = if self.path.contains('?') { '&' } else { '?' };
        let mut path = format!("{}{joint}limit={MAX_LIMIT}", self.path);
        match &self.position {
            Position::Start => {}
            // A cursor is base64url text: it stands in a query as it is.
            Position::After(cursor) => path = format!("{path}&cursor={cursor}"),
            Position::End => return Ok(None),
        }
        let page: Page<T> = self
            .gateway
            .get(path)
            .patience(self.patience)
            .send()
            .await?
            .body;
        self.position = page.next_cursor.map_or(Position::End, Position::After);
        Ok(Some(page.items))
    }

    /// All that is left of the list.
    ///
    /// # Errors
    /// What a call met.
    pub async fn all(mut self) -> Result<Vec<T>, ClientError> {
        let mut items = Vec::new();
        while let Some(page) = self.next().await? {
            items.extend(page);
        }
        Ok(items)
    }
}
