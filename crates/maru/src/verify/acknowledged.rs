//! Invariant 5: what was acknowledged is still there. The list comes from whoever got the
//! acknowledgments, such as `maru replay --acknowledged`.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use contracts::services::ServiceName;
use uuid::Uuid;

use super::databases::Databases;
use super::verdict::Verdict;

/// An order with the status it was acknowledged with.
type Acknowledged = (Uuid, Option<String>);

/// Judges the orders listed in `file`: a line each, an order's id and the acknowledged status.
///
/// # Errors
/// When the file or the database cannot be read.
pub(super) async fn check(databases: &Databases, file: Option<&Path>) -> Result<Verdict> {
    let mut verdict = Verdict::new(5, "Durability: every acknowledged write is there");
    let Some(file) = file else {
        verdict.note("no list of acknowledged orders was given (--acknowledged)");
        return Ok(verdict);
    };
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let acknowledged = read_list(&text).with_context(|| format!("in {}", file.display()))?;
    verdict.count("acknowledged", &acknowledged);
    let mut tx = databases.read(ServiceName::Order).await?;
    let rows = store::fetch_all!(
        tx,
        (Uuid, String, bool),
        "SELECT id, status, confirmed_at IS NOT NULL FROM orders WHERE origin = 'live'"
    )?;
    let stored: HashMap<Uuid, (String, bool)> = rows
        .into_iter()
        .map(|(id, status, was_confirmed)| (id, (status, was_confirmed)))
        .collect();
    for (order, promised) in acknowledged {
        match stored.get(&order) {
            None => verdict.fault(format!("order {order} was acknowledged and is gone")),
            Some((status, was_confirmed)) if !kept(promised.as_deref(), status, *was_confirmed) => {
                let promised = promised.unwrap_or_default();
                verdict.fault(format!("order {order} was {promised} and is {status}"));
            }
            Some(_) => {}
        }
    }
    Ok(verdict)
}

/// Whether a status may have come after the acknowledged one.
fn kept(promised: Option<&str>, status: &str, was_confirmed: bool) -> bool {
    match promised {
        Some("confirmed") => was_confirmed,
        Some("cancelled") => status == "cancelled",
        Some("cancelling") => matches!(status, "cancelling" | "cancelled"),
        _ => true,
    }
}

fn read_list(text: &str) -> Result<Vec<Acknowledged>> {
    let mut list = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split([' ', '\t', ',']).filter(|word| !word.is_empty());
        let Some(id) = words.next() else { continue };
        let Ok(id) = id.parse() else {
            // A writer that was killed leaves half a line at the end.
            if index + 1 == text.lines().count() && !text.ends_with('\n') {
                break;
            }
            bail!("line {} begins with no order id", index + 1);
        };
        list.push((id, words.next().map(str::to_owned)));
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_cut_short_is_read_up_to_its_last_whole_line() {
        let id = "0190a1b2-0000-7000-8000-000000000001";
        let list = read_list(&format!("{id} confirmed\n\n{id}\tpending\n{id}\n0190a1"));
        let statuses: Vec<_> = list.expect("reads").into_iter().map(|(_, s)| s).collect();
        let expected = [
            Some("confirmed".to_owned()),
            Some("pending".to_owned()),
            None,
        ];
        assert_eq!(statuses, expected);
        assert!(read_list(&format!("nonsense\n{id}\n")).is_err());
    }

    #[test]
    fn a_final_status_is_kept_and_a_passing_one_moves_on() {
        assert!(kept(Some("pending"), "cancelled", false));
        assert!(kept(Some("confirmed"), "cancelling", true));
        assert!(!kept(Some("confirmed"), "cancelled", false));
        assert!(!kept(Some("cancelled"), "confirmed", true));
        assert!(kept(None, "pending", false));
    }
}
