//! A web server that takes records, and what its answers mean.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};

use super::identity::RecordId;
#[cfg(feature = "otlp")]
use super::otlp;
use super::record::Record;
use super::webhook;
use crate::auth::webhook_signature::Signer;
use crate::config::checked::Webhook;
use crate::config::url::WebUrl;
use crate::control::https::{Answer, HttpsClient};

/// Somebody who takes records.
pub(super) struct Receiver {
    client: HttpsClient,
    url: WebUrl,
    language: Language,
}

/// How records are told.
pub(super) enum Language {
    /// As they are, signed.
    Webhook(Option<Signer>),
    /// As spans of OpenTelemetry.
    #[cfg(feature = "otlp")]
    Otlp,
}

/// What became of an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// They have arrived; so many of them are not wanted.
    Taken { rejected: u64 },
    /// They have arrived and are not wanted, now or later.
    Refused { reason: String },
    /// They should be sent again, and not before this.
    Later { reason: String, after: Duration },
}

/// The longest answer that is read: hardly anything in it matters.
const ANSWER: usize = 64 << 10;

impl Receiver {
    /// The one that the section `key` is about.
    pub(super) fn new(key: &str, to: &Webhook, language: Language) -> Result<Self, String> {
        let client = HttpsClient::new(to.ca_file.as_deref(), to.timeout, ANSWER)
            .map_err(|reason| format!("{key}: {reason}"))?;
        Ok(Self { client, url: to.url.clone(), language })
    }

    /// Tells the records that it takes from others.
    pub(super) fn wants(&self) -> fn(&Record) -> bool {
        match self.language {
            Language::Webhook(_) => |_| true,
            #[cfg(feature = "otlp")]
            Language::Otlp => otlp::is_span,
        }
    }

    /// What is sent about these records, and the name it has at every attempt.
    pub(super) fn letter(&self, batch: &[Arc<Record>]) -> (RecordId, Bytes) {
        let id = RecordId::random();
        let body = match &self.language {
            Language::Webhook(_) => webhook::letter(id, batch),
            #[cfg(feature = "otlp")]
            Language::Otlp => otlp::letter(batch),
        };
        (id, body.into())
    }

    pub(super) async fn send(&self, id: &RecordId, body: Bytes) -> Answered {
        let headers = match &self.language {
            Language::Webhook(signer) => webhook::headers(signer.as_ref(), id, &body),
            #[cfg(feature = "otlp")]
            Language::Otlp => HeaderMap::new(),
        };
        match self.client.post(&self.url, headers, body).await {
            Ok(answer) => self.judge(&answer),
            Err(failure) => Answered::Later { reason: failure.to_string(), after: Duration::ZERO },
        }
    }

    fn judge(&self, answer: &Answer) -> Answered {
        let reason = format!("the answer was {}", answer.status);
        if answer.status.is_success() {
            Answered::Taken { rejected: self.language.rejected(&answer.body) }
        } else if self.language.is_final(answer.status) {
            Answered::Refused { reason }
        } else {
            Answered::Later { reason, after: retry_after(&answer.headers) }
        }
    }
}

impl Language {
    /// How many of the records that were taken were not, after all.
    fn rejected(&self, _answer: &[u8]) -> u64 {
        match self {
            Self::Webhook(_) => 0,
            #[cfg(feature = "otlp")]
            Self::Otlp => otlp::rejected(_answer),
        }
    }

    /// Whether to send them again would change nothing.
    fn is_final(&self, status: StatusCode) -> bool {
        match self {
            Self::Webhook(_) => webhook::is_final(status),
            #[cfg(feature = "otlp")]
            Self::Otlp => otlp::is_final(status),
        }
    }
}

/// How much patience is asked for, in seconds.
fn retry_after(headers: &HeaderMap) -> Duration {
    const LONGEST: Duration = Duration::from_secs(300);
    let asked = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    asked.map_or(Duration::ZERO, Duration::from_secs).min(LONGEST)
}
