//! `[metrics]`, as written.

use crate::config::{
    address::ListenAddress,
    text::{many, switch},
};
use serde::{Deserialize, Serialize};

/// `[metrics]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    #[serde(with = "switch")]
    pub enabled: bool,
    #[serde(with = "many")]
    pub listen: Vec<ListenAddress>,
    #[serde(with = "switch")]
    pub coturn_names: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { enabled: true, listen: Vec::new(), coturn_names: false }
    }
}
