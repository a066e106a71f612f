//! Sends what was read through the gateway: first the catalogue, then the orders, several batches
//! in flight. Everything sent is idempotent: ids and (source, external id) name the same thing at
//! every run.

mod catalogue;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use futures_util::stream::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::batches::{Batch, Parcel, Sent, Tally, refused};
use super::report::{Rejection, Report};
use super::resume::Resume;
use crate::client::{ClientError, Gateway};
use crate::progress::Progress;

pub(crate) use catalogue::send_catalogue;

/// Batches of orders under way at a time.
const BATCHES_IN_FLIGHT: usize = 3;
/// Orders of one batch refused one by one, and none accepted, until the import stops.
const HOPELESS: usize = 20;

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

/// Sends one batch. One that is refused as a whole is cut in halves until the orders at fault stand
/// alone.
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
