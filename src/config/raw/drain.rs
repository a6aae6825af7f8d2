//! `[drain]`

use super::{Limit, Seconds, many, one};
use crate::config::alternate::AlternateServer;
use serde::{Deserialize, Serialize};

/// `[drain]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    #[serde(with = "one")]
    pub timeout: Limit<Seconds>,
    #[serde(with = "many")]
    pub alternates: Vec<AlternateServer>,
}

impl Default for Drain {
    fn default() -> Self {
        Self { timeout: Limit::At(Seconds(30)), alternates: Vec::new() }
    }
}
