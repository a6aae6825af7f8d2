//! `[auth.webhook]`, as written.

use super::{MaskedSecret, MaskedUrl};
use crate::{
    auth::Secret,
    config::{
        choice::WhenDown,
        text::one,
        units::{Count, Seconds},
    },
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[auth.webhook]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthWebhook {
    /// Empty: none. So it is with the next three.
    pub url: MaskedUrl,
    pub secret: MaskedSecret,
    pub secret_file: PathBuf,
    pub ca_file: PathBuf,
    #[serde(with = "one")]
    pub timeout: Seconds,
    #[serde(with = "one")]
    pub when_down: WhenDown,
    #[serde(with = "one")]
    pub in_flight: Count,
    #[serde(with = "one")]
    pub cache_entries: Count,
    #[serde(with = "one")]
    pub cache_ttl: Seconds,
    #[serde(with = "one")]
    pub cache_refusals: Seconds,
}

impl Default for AuthWebhook {
    fn default() -> Self {
        Self {
            url: MaskedUrl::default(),
            secret: MaskedSecret(Secret::new("")),
            secret_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            timeout: Seconds(1),
            when_down: WhenDown::Refuse,
            in_flight: Count(64),
            cache_entries: Count(10_000),
            cache_ttl: Seconds(60),
            cache_refusals: Seconds(5),
        }
    }
}
