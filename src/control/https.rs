//! Questions and reports to other people's web servers: one POST, one answer, in bounded time and memory.
//!
//! Redirects are not followed: what is sent is meant for the one address that the operator has written down.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

use crate::config::url::WebUrl;

/// A client that keeps its connections for the next request.
#[derive(Clone)]
pub(crate) struct HttpsClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// How long a request may take until its answer is there in full.
    time_limit: Duration,
    /// The longest answer that is read.
    size_limit: usize,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// It may hold a key.
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// Why nothing did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It took too long.
    TimedOut(Duration),
    /// There is too much of it.
    TooLong(usize),
    /// What went wrong on the way.
    Broken(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(limit) => write!(f, "no answer within {} s", limit.as_secs_f32()),
            Self::TooLong(limit) => write!(f, "the answer is longer than {limit} bytes"),
            Self::Broken(reason) => f.write_str(reason),
        }
    }
}

/// How long a connection is kept without a request.
const KEEP: Duration = Duration::from_secs(30);
/// So many are kept.
const KEPT: usize = 16;

impl HttpsClient {
    /// A client that trusts the authorities in `ca_file`, or else those this host trusts.
    pub(crate) fn new(
        ca_file: Option<&Path>,
        time_limit: Duration,
        size_limit: usize,
    ) -> Result<Self, String> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls_config(ca_file)?)
            // `WebUrl` has seen to it that this is for loopback only.
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEEP)
            .pool_max_idle_per_host(KEPT)
            .build(connector);
        Ok(Self { client, time_limit, size_limit })
    }

    /// Sends `body`, which is JSON, and waits for the answer.
    pub(crate) async fn post(
        &self,
        url: &WebUrl,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let answered = tokio::time::timeout(self.time_limit, self.exchange(url, headers, body)).await;
        answered.map_err(|_| Failure::TimedOut(self.time_limit))?
    }

    async fn exchange(&self, url: &WebUrl, headers: HeaderMap, body: Bytes) -> Result<Answer, Failure> {
        const AGENT: &str = concat!("turnbridge/", env!("CARGO_PKG_VERSION"));
        let mut request = Request::post(url.uri().clone())
            .header(header::USER_AGENT, AGENT)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| Failure::Broken(error.to_string()))?;
        request.headers_mut().extend(headers);
        let answer = self.client.request(request).await.map_err(|error| Failure::Broken(in_full(&error)))?;
        let (head, mut incoming) = answer.into_parts();
        let mut body = Zeroizing::new(Vec::new());
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|error| Failure::Broken(in_full(&error)))?;
            let Ok(data) = frame.into_data() else { continue };
            if body.len() + data.len() > self.size_limit {
                return Err(Failure::TooLong(self.size_limit));
            }
            body.extend_from_slice(&data);
        }
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

fn tls_config(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match ca_file {
        Some(path) => builder.with_root_certificates(roots_in(path)?),
        None => builder.try_with_platform_verifier().map_err(|error| {
            format!(
                "the certificate authorities of this host are not known ({error}); name them with ca_file"
            )
        })?,
    };
    Ok(builder.with_no_client_auth())
}

fn roots_in(path: &Path) -> Result<RootCertStore, String> {
    let shown = path.display();
    let pem = std::fs::read(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| format!("{shown} is not PEM: {error}"))?;
        roots
            .add(certificate)
            .map_err(|error| format!("{shown} has no certificate of an authority: {error}"))?;
    }
    if roots.is_empty() { Err(format!("{shown} has no certificate")) } else { Ok(roots) }
}

/// An error with what is behind it: alone it says only "client error".
fn in_full(error: &dyn Error) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let cause = error.to_string();
        next = error.source();
        // Some repeat what is behind them.
        if !said.iter().any(|before| before.contains(&cause)) {
            said.push(cause);
        }
    }
    said.join(": ")
}
