//! The rules of a correct proxy, one table each, against a service that reads strictly and records
//! what reaches it. `docs/gateway.md` has the rules by number, and those that the server below us
//! cannot keep.

mod answers;
mod headers;
mod others;
mod requests;
mod targets;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{LocalBoxFuture, join_all};

use crate::client::Answer;
use crate::gateway::{Gateway, RoutingFile};
use crate::upstream::{Reply, Seen, Upstream};

/// Follows every refused request on its connection; it must never be answered or forwarded.
const SMUGGLED: &str = "GET /api/orders/smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

/// A gateway before one recording service.
struct Bench {
    upstream: Upstream,
    gateway: Gateway,
    faults: Vec<String>,
    /// What was looked at.
    cases: BTreeSet<String>,
}

/// A rule, and how many cases of it were looked at.
type Counted = (u8, usize);

impl Bench {
    async fn new(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let upstream = Upstream::start(script).await;
        let gateway = Gateway::before(&upstream).await;
        Self::of(upstream, gateway)
    }

    async fn routing(
        routes: &str,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let upstream = Upstream::start(script).await;
        let gateway = Gateway::routing(&upstream, &RoutingFile::new(routes)).await;
        Self::of(upstream, gateway)
    }

    fn of(upstream: Upstream, gateway: Gateway) -> Self {
        Self {
            upstream,
            gateway,
            faults: Vec::new(),
            cases: BTreeSet::new(),
        }
    }

    fn check(&mut self, case: &str, holds: bool, found: impl std::fmt::Debug) {
        self.cases.insert(case.to_owned());
        if !holds {
            self.faults.push(format!("{case:?}: {found:?}"));
        }
    }

    /// The request gets one of these statuses, the connection ends, and nothing reaches the service.
    async fn refused(&mut self, request: &str, statuses: &[u16]) {
        let before = self.upstream.seen().len();
        let mut client = self.gateway.connect().await;
        client.send(format!("{request}{SMUGGLED}")).await;
        let status = client.answer(false).await.map(|answer| answer.status);
        let holds = status.is_some_and(|status| statuses.contains(&status));
        self.check(request, holds, status);
        let closed = client.is_closed().await;
        self.check(request, closed, "the connection goes on");
        let seen = self.upstream.seen().len() - before;
        self.check(
            request,
            seen == 0,
            format!("{seen} requests reached the service"),
        );
    }

    /// The request gets this status and nothing reaches the service; the connection may go on.
    async fn answered_here(&mut self, request: &str, status: u16) {
        let before = self.upstream.seen().len();
        let answer = self.gateway.ask(request).await;
        self.check(request, answer.status == status, answer.head.start);
        let seen = self.upstream.seen().len() - before;
        self.check(
            request,
            seen == 0,
            format!("{seen} requests reached the service"),
        );
    }

    /// The request reaches the service, once; what the service saw and what the client got.
    async fn forwarded(&mut self, request: &str) -> (Seen, Answer) {
        let before = self.upstream.seen().len();
        let answer = self.gateway.ask(request).await;
        let mut seen = self.upstream.seen().split_off(before);
        self.check(
            request,
            seen.len() == 1,
            format!("{} seen, {}", seen.len(), answer.head.start),
        );
        (seen.pop().unwrap_or_default(), answer)
    }

    #[track_caller]
    fn done(self, rule: u8) -> Counted {
        assert!(self.faults.is_empty(), "{}", self.faults.join("\n"));
        (rule, self.cases.len())
    }
}

/// A test for each, and one that counts the cases of all.
macro_rules! suite {
    ($($module:ident::$rule:ident,)+) => {
        $(
            #[tokio::test]
            async fn $rule() {
                $module::$rule().await;
            }
        )+

        fn all_rules() -> Vec<LocalBoxFuture<'static, Counted>> {
            vec![$(Box::pin($module::$rule())),+]
        }
    };
}

suite! {
    answers::rule_07_a_part_never_looks_like_the_whole,
    answers::rule_08_a_tainted_connection_carries_no_other_request,
    answers::rule_21_expectations_are_met_or_refused,
    answers::rule_22_an_answer_without_a_body_has_none,
    answers::rule_22_what_is_sent_ahead_changes_no_answer,
    answers::rule_22_what_is_wrong_behind_a_request_does_not_cost_its_answer,
    answers::rule_24_every_framing_arrives_whole_in_one_the_client_knows,
    answers::rule_29_ranges_and_conditions_pass_unchanged,
    answers::rule_33_what_is_no_answer_is_a_bad_gateway_and_statuses_pass,
    answers::rule_45_the_gateway_alone_says_who_may_read,
    headers::rule_16_what_belongs_to_one_connection_ends_there,
    headers::rule_17_via_is_written_and_finds_loops,
    headers::rule_18_a_client_does_not_say_where_it_is_or_who,
    headers::rule_19_repeated_and_opaque_values_pass_as_they_are,
    headers::rule_20_ids_are_checked_and_nothing_is_invented,
    headers::rule_16_an_old_client_does_not_cost_others_their_connections,
    requests::rule_01_a_length_and_a_coding_together_are_refused,
    requests::rule_02_a_length_is_one_number_in_digits,
    requests::rule_03_the_one_coding_is_chunked_and_in_http_1_1,
    requests::rule_04_a_malformed_chunk_never_completes_a_request,
    requests::rule_05_a_header_line_has_one_reading,
    requests::rule_06_framing_is_written_anew,
    requests::rule_09_only_a_whole_handshake_leaves_http,
    requests::rule_10_nothing_is_served_behind_the_last_answer_of_a_connection,
    requests::rule_22_requests_that_are_sent_ahead_are_answered_in_their_order,
    requests::rule_10_heads_targets_and_bodies_have_limits,
    others::rule_23_what_comes_before_an_answer_ends_here,
    others::rule_25_trailers_never_become_headers,
    others::rule_28_a_coding_is_made_only_where_it_is_right,
    others::rule_39_unknown_and_missing_services_have_their_answers,
    targets::rule_11_there_is_one_host_and_it_is_one,
    targets::rule_12_every_form_of_a_target_has_its_answer,
    targets::rule_13_a_path_has_one_reading_for_all,
    targets::rule_14_a_prefix_is_left_out_at_a_segment,
}

/// Rules that can be seen from outside on one connection.
const VISIBLE: [u8; 29] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 28, 29,
    33, 39, 45,
];

/// `cargo nextest run -E 'test(every_rule_has_its_cases)' --no-capture` shows how many there are.
#[tokio::test]
async fn every_rule_has_its_cases() {
    let mut counts: BTreeMap<u8, usize> = BTreeMap::new();
    for (rule, cases) in join_all(all_rules()).await {
        *counts.entry(rule).or_default() += cases;
    }
    for (rule, cases) in &counts {
        println!("rule {rule:>2}: {cases:>3} cases");
    }
    let total: usize = counts.values().sum();
    println!("together: {total} cases of {} rules", counts.len());
    assert!(total >= 250, "{total} cases");
    let few = VISIBLE
        .iter()
        .filter(|rule| counts.get(rule).is_none_or(|cases| *cases < 3));
    let few: Vec<_> = few.collect();
    assert!(few.is_empty(), "rules with less than three cases: {few:?}");
}

fn ok(_seen: &Seen) -> Reply {
    Reply::ok("")
}

/// The last segment of the path that was asked for.
fn name_of(seen: &Seen) -> String {
    let path = seen.head.start.split(' ').nth(1).unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}
