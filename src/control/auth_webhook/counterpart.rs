//! The web server that is asked.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::answer::Decision;
use super::failure::Failure;
use crate::auth::webhook_signature::{Signer, headers};
use crate::config::checked::AuthWebhook;
use crate::control::accounting::random_uuid;
use crate::control::https::HttpsClient;
use crate::control::utc::unix_now;

/// The web server that is asked, as configured.
#[derive(Clone)]
pub struct Counterpart {
    client: HttpsClient,
    signer: Option<Signer>,
    pub(super) settings: Arc<AuthWebhook>,
}

/// The longest answer that is read: a thousand ranges of peers fit.
const ANSWER: usize = 64 << 10;

impl Counterpart {
    /// Gets ready to ask; what is in the way says which key it is about.
    pub fn prepare(settings: &AuthWebhook) -> Result<Self, String> {
        let to = &settings.to;
        let client = HttpsClient::new(to.ca_file.as_deref(), to.timeout, ANSWER)
            .map_err(|reason| format!("auth.webhook: {reason}"))?;
        let signer = to.secret.as_ref().and_then(Signer::new);
        Ok(Self { client, signer, settings: Arc::new(settings.clone()) })
    }

    /// Asks, and understands the answer or says why not.
    pub(super) async fn ask(self, letter: Bytes, user: &str, realm: &str) -> Result<Decision, Failure> {
        let headers = headers(self.signer.as_ref(), &random_uuid(), unix_now(), &letter);
        let answer =
            self.client.post(&self.settings.to.url, headers, letter).await.map_err(Failure::of_exchange)?;
        if !answer.status.is_success() {
            return Err(Failure::of_status(answer.status));
        }
        Decision::read(&answer.body, user, realm)
            .map_err(|reason| Failure::Useless(format!("the answer cannot be understood: {reason}")))
    }
}

impl fmt::Debug for Counterpart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Counterpart({})", self.settings.to.url)
    }
}
