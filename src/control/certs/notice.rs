//! What an operator is told about certificates.

use super::CertificateStatus;
use crate::control::utc::Utc;
use std::path::PathBuf;

/// Something that happened to a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It serves from now on.
    Loaded(CertificateStatus),
    /// Its files cannot be used.
    Broken {
        /// The chain's file.
        path: PathBuf,
        /// What is wrong, with the file and the fix.
        detail: String,
    },
    /// Broken files are good again, and are those that were loaded before.
    Mended(PathBuf),
    /// It works, and should be mended.
    Advice(String),
    /// It expires in so many seconds.
    Expires(CertificateStatus, u64),
    /// It has expired.
    Expired(CertificateStatus),
    /// It is not valid yet.
    NotYetValid(CertificateStatus),
}

impl Notice {
    /// What is wrong, for people; `None` when nothing is.
    pub fn complaint(&self) -> Option<String> {
        let of =
            |it: &CertificateStatus| format!("the certificate for {} in {}", it.names.join(", "), it.origin);
        match self {
            Self::Loaded(_) | Self::Mended(_) => None,
            Self::Broken { detail, .. } | Self::Advice(detail) => Some(detail.clone()),
            Self::Expires(it, seconds) => Some(format!("{} expires in {} days", of(it), seconds / 86_400)),
            Self::Expired(it) => {
                Some(format!("{} has expired on {}; clients refuse it", of(it), shown(it.not_after)))
            }
            Self::NotYetValid(it) => Some(format!(
                "{} is not valid before {}; clients refuse it, or the clock of this host is wrong",
                of(it),
                shown(it.not_before)
            )),
        }
    }

    /// Writes the log line.
    pub fn log(&self) {
        match self {
            Self::Loaded(it) => tracing::info!(
                names = it.names.join(","),
                origin = %it.origin,
                not_after = shown(it.not_after),
                "certificate loaded"
            ),
            Self::Broken { path, detail } => tracing::warn!(
                path = %path.display(),
                %detail,
                "certificate files cannot be used; what was loaded before stays in use"
            ),
            Self::Mended(path) => tracing::info!(path = %path.display(), "certificate files are good again"),
            Self::Advice(detail) => tracing::warn!(%detail, "certificate needs attention"),
            Self::Expires(it, seconds) => tracing::warn!(
                names = it.names.join(","),
                origin = %it.origin,
                not_after = shown(it.not_after),
                days = seconds / 86_400,
                "certificate expires soon"
            ),
            Self::Expired(it) => tracing::warn!(
                names = it.names.join(","),
                origin = %it.origin,
                not_after = shown(it.not_after),
                "certificate has expired; clients refuse it"
            ),
            Self::NotYetValid(it) => tracing::warn!(
                names = it.names.join(","),
                origin = %it.origin,
                not_before = shown(it.not_before),
                "certificate is not valid yet; clients refuse it, or the clock of this host is wrong"
            ),
        }
    }
}

fn shown(seconds: u64) -> String {
    Utc::new(seconds).map_or_else(|| seconds.to_string(), |when| when.to_string())
}
