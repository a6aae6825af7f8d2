//! `[tls.acme]`, as written.

use super::MaskedSecret;
use crate::{
    auth::Secret,
    config::{
        address::ListenAddress,
        choice::AcmeChallenge,
        text::{one, switch},
    },
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[tls.acme]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Acme {
    pub names: Vec<String>,
    #[serde(with = "switch")]
    pub agree_to_terms: bool,
    pub contact: Vec<String>,
    #[serde(with = "one")]
    pub challenge: AcmeChallenge,
    #[serde(with = "one")]
    pub http_address: ListenAddress,
    pub directory: String,
    /// Empty: none. So it is with the next two, which must have a default to be known to the environment.
    pub ca_file: PathBuf,
    pub eab_kid: String,
    pub eab_hmac_key: MaskedSecret,
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            agree_to_terms: false,
            contact: Vec::new(),
            challenge: AcmeChallenge::TlsAlpn01,
            http_address: ListenAddress::All { port: 80 },
            directory: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            ca_file: PathBuf::new(),
            eab_kid: String::new(),
            eab_hmac_key: MaskedSecret(Secret::new("")),
        }
    }
}
