//! `[accounting]`, as written.

use super::{MaskedSecret, MaskedUrl};
use crate::{
    auth::Secret,
    config::{
        text::one,
        units::{Count, Every, Seconds},
    },
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[accounting]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Accounting {
    /// Empty: none.
    pub file: PathBuf,
    #[serde(with = "one")]
    pub interim: Every,
    pub webhook: AccountingWebhook,
    pub otlp: Otlp,
}

/// `[accounting.webhook]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountingWebhook {
    /// Empty: none. So it is with the next three.
    pub url: MaskedUrl,
    pub secret: MaskedSecret,
    pub secret_file: PathBuf,
    pub ca_file: PathBuf,
    #[serde(with = "one")]
    pub timeout: Seconds,
    #[serde(with = "one")]
    pub batch: Count,
    #[serde(with = "one")]
    pub flush: Seconds,
    #[serde(with = "one")]
    pub queue: Count,
}

/// `[accounting.otlp]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    /// Empty: none. So it is with the next.
    pub endpoint: MaskedUrl,
    pub ca_file: PathBuf,
    #[serde(with = "one")]
    pub timeout: Seconds,
}

impl Default for Otlp {
    fn default() -> Self {
        Self { endpoint: MaskedUrl::default(), ca_file: PathBuf::new(), timeout: Seconds(10) }
    }
}

impl Default for Accounting {
    fn default() -> Self {
        Self {
            file: PathBuf::new(),
            interim: Every::Time(Seconds(300)),
            webhook: AccountingWebhook::default(),
            otlp: Otlp::default(),
        }
    }
}

impl Default for AccountingWebhook {
    fn default() -> Self {
        Self {
            url: MaskedUrl::default(),
            secret: MaskedSecret(Secret::new("")),
            secret_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            timeout: Seconds(10),
            batch: Count(100),
            flush: Seconds(5),
            queue: Count(10_000),
        }
    }
}
