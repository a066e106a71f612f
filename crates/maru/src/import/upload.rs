//! Sends what was read through the gateway: first the catalogue, then the orders, several batches in
//! flight. Everything sent is idempotent: ids and (source, external id) name the same thing at every run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, bail};
use common::ids::{ProductId, StoreId};
use common::money::{Currency, Money};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::batches::{Batch, Parcel, Sent, Tally, refused};
use super::catalogue::{Catalogue, Store};
use super::report::{Rejection, Report};
use super::resume::Resume;
use crate::client::{ClientError, Gateway};
use crate::progress::Progress;

/// Requests for the catalogue under way at a time.
const CATALOGUE_IN_FLIGHT: usize = 4;
/// Batches of orders under way at a time.
const BATCHES_IN_FLIGHT: usize = 3;
/// Orders of one batch refused one by one, and none accepted, until the import stops.
const HOPELESS: usize = 20;

#[derive(Serialize)]
struct StoreIn<'a> {
    id: StoreId,
    name: &'a str,
    time_zone: &'a str,
    currency: Currency,
    business_day_cutoff: &'a str,
}

#[derive(Deserialize)]
struct StoreOut {
    time_zone: String,
    currency: Currency,
    business_day_cutoff: String,
}

#[derive(Serialize)]
struct ItemIn<'a> {
    sku: &'a str,
    name: &'a str,
    product_key: &'a str,
    product_name: &'a str,
    category: &'a str,
    price: Money,
    active: bool,
}

#[derive(Serialize)]
struct ProductIn<'a> {
    sku: &'a str,
    name: &'a str,
    unit: &'a str,
}

#[derive(Serialize)]
struct RecipeIn {
    lines: Vec<IngredientIn>,
}

#[derive(Serialize)]
struct IngredientIn {
    product_id: ProductId,
    quantity: i64,
}

#[derive(Debug, Default, Deserialize)]
struct ImportOut {
    created: u64,
    duplicates: u64,
    rejected: Vec<RejectedOut>,
}

#[derive(Debug, Deserialize)]
struct RejectedOut {
    index: usize,
    code: String,
    detail: String,
}

/// Stores, then menu and products, then the recipes that join them.
///
/// # Errors
/// When one is refused.
pub(crate) async fn send_catalogue(
    gateway: &Gateway,
    catalogue: &Catalogue,
    currency: Currency,
) -> anyhow::Result<()> {
    for store in catalogue.stores.values() {
        send_store(gateway, store, currency).await?;
    }
    let items = catalogue.sorted_items().into_iter().map(|item| {
        let body = ItemIn {
            sku: &item.sku,
            name: &item.name,
            product_key: &item.product_key,
            product_name: &item.product_name,
            category: &item.category,
            price: item.price,
            active: true,
        };
        gateway
            .put(format!("/api/menu/items/{}", item.id))
            .json(&body)
    });
    let products = catalogue.products.iter().map(|product| {
        let body = ProductIn {
            sku: &product.sku,
            name: &product.name,
            unit: product.unit.as_str(),
        };
        gateway
            .put(format!("/api/inventory/products/{}", product.id))
            .json(&body)
    });
    let recipes = catalogue.recipes.iter().map(|recipe| {
        let line = |&(product_id, quantity): &(ProductId, i64)| IngredientIn {
            product_id,
            quantity,
        };
        let lines = recipe.lines.iter().map(line).collect();
        let path = format!("/api/inventory/recipes/{}", recipe.item_id);
        gateway.put(path).json(&RecipeIn { lines })
    });
    for calls in [
        items.collect::<Vec<_>>(),
        products.collect(),
        recipes.collect(),
    ] {
        let sent = calls
            .into_iter()
            .map(|call| call.send::<serde_json::Value>());
        let mut sent = stream::iter(sent).buffer_unordered(CATALOGUE_IN_FLIGHT);
        while sent.try_next().await?.is_some() {}
    }
    Ok(())
}

/// A store that exists already stays as it is, if times and amounts mean the same in it.
async fn send_store(gateway: &Gateway, store: &Store, currency: Currency) -> anyhow::Result<()> {
    let body = StoreIn {
        id: store.id,
        name: &store.name,
        time_zone: &store.time_zone,
        currency,
        business_day_cutoff: &store.business_day_cutoff,
    };
    let created = gateway.post("/api/stores").repeatable().json(&body);
    match created.send::<serde_json::Value>().await {
        Ok(_) => {}
        Err(ClientError::Refused { problem, .. })
            if problem.status == StatusCode::CONFLICT.as_u16() => {}
        Err(error) => return Err(error.into()),
    }
    let path = format!("/api/stores/{}", store.id);
    let found: StoreOut = gateway.get(path).send().await?.body;
    let agrees = found.time_zone == store.time_zone
        && found.currency == currency
        && found.business_day_cutoff == store.business_day_cutoff;
    if !agrees {
        bail!(
            "store `{}` exists with {}, {} and days from {}, but the map says {}, {currency} and {}",
            store.name,
            found.time_zone,
            found.currency,
            found.business_day_cutoff,
            store.time_zone,
            store.business_day_cutoff
        );
    }
    Ok(())
}

/// What the upload came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uploaded {
    /// What the reading came to.
    pub(crate) tally: Tally,
    /// Orders that the server had not.
    pub(crate) created: u64,
    /// Orders that it had.
    pub(crate) known: u64,
    /// Orders that it refused.
    pub(crate) refused: u64,
    /// Orders that an earlier run had acknowledged.
    pub(crate) resumed: u64,
}

/// Sends the orders.
pub(crate) struct Uploader<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) source: &'a str,
    /// The file that heads of orders stand in, for the report.
    pub(crate) label: Arc<str>,
    pub(crate) report: &'a mut Report,
    pub(crate) resume: &'a mut Resume,
    pub(crate) progress: &'a Progress,
    pub(crate) uploaded: Uploaded,
    /// Batches that were not sent, because an earlier run had.
    pub(crate) held_back: BTreeSet<u64>,
}

/// Which batches a pass over the files sends.
#[derive(Debug)]
pub(crate) enum Pass {
    /// All but these, which an earlier run had acknowledged; all, once that proves wrong.
    First {
        acknowledged: BTreeSet<u64>,
        proved_wrong: AtomicBool,
    },
    /// Those that the first pass held back in vain. Their rows have been reported.
    HeldBack(BTreeSet<u64>),
}

impl Pass {
    fn sends(&self, index: u64) -> bool {
        match self {
            Self::First {
                acknowledged,
                proved_wrong,
            } => proved_wrong.load(Ordering::Relaxed) || !acknowledged.contains(&index),
            Self::HeldBack(batches) => batches.contains(&index),
        }
    }

    /// Whether the server did not know what it had acknowledged.
    pub(crate) fn has_proved_wrong(&self) -> bool {
        match self {
            Self::First { proved_wrong, .. } => proved_wrong.load(Ordering::Relaxed),
            Self::HeldBack(_) => false,
        }
    }
}

/// What the server said to one batch.
#[derive(Debug, Default)]
struct Verdict {
    created: u64,
    known: u64,
    refused: Vec<Rejection>,
}

impl Uploader<'_> {
    /// Sends what comes in, until nothing more does.
    ///
    /// # Errors
    /// When the gateway gives no answer or refuses everything, or the report cannot be written.
    pub(crate) async fn run(
        &mut self,
        parcels: mpsc::Receiver<Parcel>,
        pass: &Pass,
    ) -> anyhow::Result<()> {
        let (gateway, source, label) = (self.gateway, self.source, Arc::clone(&self.label));
        let mut answers = ReceiverStream::new(parcels)
            .map(|parcel| {
                let label = Arc::clone(&label);
                async move {
                    let verdict = match &parcel.batch {
                        Some(batch) if pass.sends(batch.index) => {
                            Some(send_batch(gateway, source, &label, batch).await?)
                        }
                        _ => None,
                    };
                    anyhow::Ok((parcel, verdict))
                }
            })
            .buffered(BATCHES_IN_FLIGHT);
        while let Some((parcel, verdict)) = answers.try_next().await? {
            self.account(&parcel, verdict, pass)?;
        }
        Ok(())
    }

    fn account(
        &mut self,
        parcel: &Parcel,
        verdict: Option<Verdict>,
        pass: &Pass,
    ) -> anyhow::Result<()> {
        if let Pass::First { .. } = pass {
            self.uploaded.tally.add(parcel.tally);
            for rejection in &parcel.rejections {
                self.report.add(rejection)?;
            }
        }
        let Some(batch) = &parcel.batch else {
            return Ok(());
        };
        let orders = u64::try_from(batch.orders.len()).unwrap_or(u64::MAX);
        match (verdict, pass) {
            (Some(verdict), _) => {
                self.settle(batch.index, &verdict, pass)?;
                self.progress.advance(orders);
            }
            (None, Pass::First { .. }) => {
                self.uploaded.resumed += orders;
                self.held_back.insert(batch.index);
                self.progress.advance(orders);
            }
            (None, Pass::HeldBack(_)) => {}
        }
        Ok(())
    }

    fn settle(&mut self, index: u64, verdict: &Verdict, pass: &Pass) -> anyhow::Result<()> {
        self.uploaded.created += verdict.created;
        self.uploaded.known += verdict.known;
        for rejection in &verdict.refused {
            self.uploaded.refused += 1;
            self.report.add(rejection)?;
        }
        if let Pass::First { proved_wrong, .. } = pass
            && verdict.created > 0
            && self.resume.expects_known(index)
        {
            proved_wrong.store(true, Ordering::Relaxed);
            self.resume.forget()?;
        }
        if verdict.refused.is_empty() {
            self.resume.note(index)?;
        }
        Ok(())
    }
}

/// Sends one batch. One that is refused as a whole is cut in halves until the orders at fault stand alone.
async fn send_batch(
    gateway: &Gateway,
    source: &str,
    label: &Arc<str>,
    batch: &Batch,
) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut pieces = vec![batch.orders.as_slice()];
    while let Some(piece) = pieces.pop() {
        let call = gateway.post("/api/orders/import").repeatable();
        let answer = call.json_text(batch.body(source, piece)).send().await;
        match (answer, piece) {
            (Ok(answer), _) => verdict.add(label, piece, answer.body)?,
            (Err(error), [alone]) if is_about_content(&error) => {
                let nothing_accepted = verdict.created + verdict.known == 0;
                if nothing_accepted && verdict.refused.len() + 1 >= HOPELESS {
                    return Err(error).context("the gateway refuses one order after the other");
                }
                let problem = error.problem().cloned().unwrap_or_default();
                let code = problem.code.clone();
                verdict
                    .refused
                    .push(refused(label, alone, &code, &problem.to_string()));
            }
            (Err(error), _) if is_about_content(&error) => {
                let (left, right) = piece.split_at(piece.len() / 2);
                pieces.extend([right, left]);
            }
            (Err(error), _) => return Err(error.into()),
        }
    }
    Ok(verdict)
}

/// Whether fewer orders may fare better.
fn is_about_content(error: &ClientError) -> bool {
    let status = error.problem().map(|problem| problem.status);
    matches!(status, Some(400 | 413 | 422))
}

impl Verdict {
    fn add(&mut self, label: &Arc<str>, sent: &[Sent], answer: ImportOut) -> anyhow::Result<()> {
        let answered = answer.created + answer.duplicates;
        let rejected = u64::try_from(answer.rejected.len()).unwrap_or(u64::MAX);
        let sent_count = u64::try_from(sent.len()).unwrap_or(u64::MAX);
        anyhow::ensure!(
            answered.saturating_add(rejected) == sent_count,
            "{sent_count} orders were sent, but the answer speaks of {answered} and {rejected}"
        );
        self.created += answer.created;
        self.known += answer.duplicates;
        for entry in answer.rejected {
            let order = sent.get(entry.index);
            let order = order.context("the answer rejects an order that was not sent")?;
            self.refused
                .push(refused(label, order, &entry.code, &entry.detail));
        }
        Ok(())
    }
}
