//! `[drain]`: how the server takes its leave.

use super::Findings;
use crate::config::{alternate::AlternateServer, raw};
use std::time::Duration;

/// `[drain]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long allocations may live on once the server is told to stop; `None` as long as they like.
    pub timeout: Option<Duration>,
    /// Where new clients are sent meanwhile.
    pub alternates: Vec<AlternateServer>,
}

pub(super) fn check(raw: &raw::Drain, findings: &mut Findings<'_>) -> Drain {
    for (at, alternate) in raw.alternates.iter().enumerate() {
        let is_tls = alternate.transport == Some(crate::config::choice::Transport::Tls);
        if alternate.name.is_some() && !is_tls {
            let key = format!("drain.alternates[{at}]");
            findings.problem(&key, "a name is only for clients over TLS: write \"tls:\" in front");
        }
    }
    Drain {
        timeout: raw.timeout.bound().map(|timeout| Duration::from_secs(timeout.0)),
        alternates: raw.alternates.clone(),
    }
}
