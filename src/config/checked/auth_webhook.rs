//! `[auth.webhook]`: who is asked about users, and what holds while nobody answers.

use super::{
    Findings,
    webhook::{self, Webhook, Written},
};
use crate::config::{choice::WhenDown, raw, units::Seconds};
use std::time::Duration;

/// `[auth.webhook]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthWebhook {
    /// Who is asked.
    pub to: Webhook,
    /// What holds while nobody answers.
    pub when_down: WhenDown,
    /// So many questions at most are asked at the same time.
    pub in_flight: usize,
    /// What is remembered of the answers.
    pub cache: CacheLimits,
}

/// What is remembered of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// So many at most of each kind: grants and refusals.
    pub entries: usize,
    /// A grant that does not say how long it is good, is good for so long.
    pub grants: Duration,
    /// The same for a refusal.
    pub refusals: Duration,
}

/// What is remembered longer is not a decision of today any more.
pub const LONGEST_TTL: Duration = Duration::from_secs(86_400);

pub(super) fn check(
    raw: &raw::AuthWebhook,
    has_own: bool,
    findings: &mut Findings<'_>,
) -> Option<AuthWebhook> {
    let to = webhook::check(
        &Written {
            key: "auth.webhook",
            url: &raw.url.0,
            secret: &raw.secret,
            secret_file: &raw.secret_file,
            ca_file: &raw.ca_file,
            timeout: raw.timeout,
        },
        findings,
    );
    if raw.url.0.is_empty() {
        if *raw != raw::AuthWebhook::default() {
            findings.warning("auth.webhook.url is empty, so nobody is asked about users");
        }
        return None;
    }
    if raw.when_down == WhenDown::Local && !has_own {
        findings.warning(
            "auth.webhook.when_down is \"local\", and there are no secrets and no users in [auth] that could be fallen back to",
        );
    }
    check_ttl("cache_ttl", raw.cache_ttl, findings);
    check_ttl("cache_refusals", raw.cache_refusals, findings);
    check_count("in_flight", raw.in_flight.0, 1024, findings);
    check_count("cache_entries", raw.cache_entries.0, 1_000_000, findings);
    let whole = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    Some(AuthWebhook {
        to: to?,
        when_down: raw.when_down,
        in_flight: whole(raw.in_flight.0),
        cache: CacheLimits {
            entries: whole(raw.cache_entries.0),
            grants: Duration::from_secs(raw.cache_ttl.0),
            refusals: Duration::from_secs(raw.cache_refusals.0),
        },
    })
}

fn check_ttl(key: &str, ttl: Seconds, findings: &mut Findings<'_>) {
    let longest = Seconds(LONGEST_TTL.as_secs());
    if ttl > longest {
        let message = format!("{ttl} is out of range: expected 0s to {longest}");
        findings.problem(&format!("auth.webhook.{key}"), message);
    }
}

fn check_count(key: &str, count: u32, most: u32, findings: &mut Findings<'_>) {
    if count > most {
        let message = format!("{count} is out of range: expected 1 to {most}");
        findings.problem(&format!("auth.webhook.{key}"), message);
    }
}
