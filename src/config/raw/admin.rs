//! `[admin]`, as written.

use super::MaskedSecret;
use crate::config::{
    address::DnsName,
    admin::{AdminAddress, Scope},
    text::{many, maybe, one},
    units::{Limit, Seconds},
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[admin]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    #[serde(with = "many")]
    pub listen: Vec<AdminAddress>,
    #[serde(with = "many")]
    pub names: Vec<DnsName>,
    #[serde(with = "one")]
    pub default_ttl: Seconds,
    pub key: Vec<AdminKey>,
}

/// `[[admin.key]]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminKey {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<MaskedSecret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    #[serde(with = "many")]
    pub scopes: Vec<Scope>,
    #[serde(default, with = "maybe", skip_serializing_if = "Option::is_none")]
    pub max_ttl: Option<Limit<Seconds>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_origins: Vec<String>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: vec![AdminAddress::Auto],
            names: Vec::new(),
            default_ttl: Seconds(86_400),
            key: Vec::new(),
        }
    }
}
