//! Certificates that come by themselves: a client of ACME (RFC 8555) on a thread of its own.
//!
//! It orders what is missing, keeps what it gets, and is back in time for the next one. Nothing waits for it: the
//! server serves without a certificate until there is one, and goes on with the old one while a renewal fails.

mod certificate;
mod challenge;
mod failure;
mod files;
mod http01;
mod order;
mod renewal;
mod schedule;
mod tls_alpn01;

pub(super) use http01::listen;

use super::certs::CertStore;
use super::state::{self, StateError, Surroundings};
use crate::config::{Config, checked::Acme, choice::AcmeChallenge};
use files::Files;
use renewal::Renewal;
use std::{io, path::PathBuf, sync::Arc, thread};
use tokio::sync::oneshot;

/// The running client. It stops with its owner.
#[derive(Debug)]
pub struct AcmeThread {
    /// Dropping it tells the thread to stop.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// All that the client starts from.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What to order, from whom.
    pub settings: Acme,
    /// Where its files are kept.
    pub directory: PathBuf,
    /// Where challenges and certificates go to be served.
    pub store: Arc<CertStore>,
}

impl Setup {
    /// That of a configuration, if it wants certificates to come by themselves.
    pub fn of(config: &Config, store: &Arc<CertStore>) -> Result<Option<Self>, StateError> {
        let Some(settings) = config.tls.acme.clone() else { return Ok(None) };
        let directory =
            state::keep_directory(&config.server.state_dir, &Surroundings::of_this_process(), "acme")?;
        Ok(Some(Self { settings, directory, store: store.clone() }))
    }

    /// Starts the client. The TLS listeners must be open, because the CA may come at once.
    pub fn start(self) -> io::Result<AcmeThread> {
        let Self { settings, directory, store } = self;
        let files = Files::open(&directory, &settings.directory)?;
        // The library that talks to the CA takes the process's own choice of cryptography. Another one would be as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let run = move || {
            let _watch = Watch;
            runtime.block_on(async {
                let renewal = Renewal::new(settings, files, store);
                tokio::select! {
                    // An error means that the owner is gone, which is how it is told.
                    _ = stopped => {}
                    () = renewal.run() => {}
                }
            });
            // A name that is being looked up must not hold up the end of the server.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("acme".to_owned()).spawn(run)?;
        Ok(AcmeThread { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for AcmeThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If it has panicked, it has said so then.
            let _ = thread.join();
        }
    }
}

/// Tells when the thread that holds it panics, and not when the server ends.
struct Watch;

impl Drop for Watch {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!("the acme thread has panicked; nothing is renewed until the server is restarted");
        }
    }
}

/// Tells now, and not at the first renewal in months, that the port of HTTP-01 cannot be had.
fn try_port(settings: &Acme) {
    if settings.challenge == AcmeChallenge::Http01
        && let Err(error) = listen(settings.http_address)
    {
        tracing::warn!(
            address = %settings.http_address,
            reason = %error,
            advice = "it must be free while an order is under way, and ports below 1024 need CAP_NET_BIND_SERVICE",
            "the port for http-01 challenges cannot be opened now"
        );
    }
}
