//! `[accounting]`: where records of allocations go.

use super::{
    Findings,
    webhook::{self, Webhook, Written},
};
use crate::config::{
    raw,
    units::{Every, Invalid, Seconds},
};
use std::{path::PathBuf, time::Duration};

/// `[accounting]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounting {
    /// The file they are added to, one a line.
    pub file: Option<PathBuf>,
    /// How often there are more of them while an allocation lasts.
    pub interim: Option<Duration>,
    /// The web server they are sent to.
    pub webhook: Option<AccountingWebhook>,
    /// The collector of OpenTelemetry that gets spans, by the full URL.
    pub otlp: Option<Webhook>,
}

/// `[accounting.webhook]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountingWebhook {
    /// Which.
    pub to: Webhook,
    /// How they are gathered.
    pub batches: Batches,
}

/// How records are gathered before they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batches {
    /// So many at most go together.
    pub size: usize,
    /// They do not wait for others longer than this.
    pub flush: Duration,
    /// So many may wait to be sent.
    pub queue: usize,
}

pub(super) fn check(raw: &raw::Accounting, findings: &mut Findings<'_>) -> Accounting {
    Accounting {
        file: webhook::optional(&raw.file, "accounting.file", findings),
        interim: check_interim(raw.interim, findings),
        webhook: check_webhook(&raw.webhook, findings),
        otlp: check_otlp(&raw.otlp, findings),
    }
}

fn check_interim(every: Every, findings: &mut Findings<'_>) -> Option<Duration> {
    // More often they would be metrics, and cost as much as small packets.
    const SHORTEST: Seconds = Seconds(1);
    const LONGEST: Seconds = Seconds(86_400);
    let Every::Time(every) = every else { return None };
    if !(SHORTEST..=LONGEST).contains(&every) {
        let message = format!("{every} is out of range: expected {SHORTEST} to {LONGEST}, or \"off\"");
        findings.problem("accounting.interim", message);
    }
    Some(Duration::from_secs(every.0))
}

fn check_webhook(raw: &raw::AccountingWebhook, findings: &mut Findings<'_>) -> Option<AccountingWebhook> {
    let to = webhook::check(
        &Written {
            key: "accounting.webhook",
            url: &raw.url.0,
            secret: &raw.secret,
            secret_file: &raw.secret_file,
            ca_file: &raw.ca_file,
            timeout: raw.timeout,
        },
        findings,
    );
    if raw.url.0.is_empty() && *raw != raw::AccountingWebhook::default() {
        findings.warning("accounting.webhook.url is empty, so no records are sent");
    }
    let batches = check_batches(raw, findings);
    Some(AccountingWebhook { to: to?, batches })
}

fn check_otlp(raw: &raw::Otlp, findings: &mut Findings<'_>) -> Option<Webhook> {
    // Where OTLP over HTTP has spans go to, behind what operators call its endpoint.
    const PATH: &str = "/v1/traces";
    const KEY: &str = "accounting.otlp.endpoint";
    if raw.endpoint.0.is_empty() {
        return None;
    }
    if cfg!(not(feature = "otlp")) {
        findings.problem(KEY, "this program was built without it; build it with `--features otlp`");
        return None;
    }
    let timeout = webhook::check_timeout(raw.timeout, "accounting.otlp", findings);
    let ca_file = webhook::optional(&raw.ca_file, "accounting.otlp.ca_file", findings);
    let joined = webhook::check_url(&raw.endpoint.0, KEY, findings)?.join(PATH);
    let url = joined.map_err(|Invalid(message)| findings.problem(KEY, message)).ok()?;
    Some(Webhook { url, secret: None, ca_file, timeout })
}

fn check_batches(raw: &raw::AccountingWebhook, findings: &mut Findings<'_>) -> Batches {
    const LARGEST_BATCH: u32 = 10_000;
    const LONGEST_QUEUE: u32 = 1_000_000;
    const LATEST: Seconds = Seconds(3600);
    if raw.batch.0 > LARGEST_BATCH {
        let message = format!("{} is out of range: expected 1 to {LARGEST_BATCH}", raw.batch);
        findings.problem("accounting.webhook.batch", message);
    }
    if !(raw.batch.0..=LONGEST_QUEUE).contains(&raw.queue.0) {
        let message =
            format!("{} is out of range: expected {} (a batch) to {LONGEST_QUEUE}", raw.queue, raw.batch);
        findings.problem("accounting.webhook.queue", message);
    }
    if raw.flush > LATEST {
        findings.problem(
            "accounting.webhook.flush",
            format!("{} is out of range: expected 0s to {LATEST}", raw.flush),
        );
    }
    let whole = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    Batches { size: whole(raw.batch.0), flush: Duration::from_secs(raw.flush.0), queue: whole(raw.queue.0) }
}
