//! The loop of the client: wait until a certificate is due, order it, and again.

use super::{
    certificate::Certificate,
    challenge::Challenges,
    failure::{Failure, Kind},
    files::{Attempts, Files},
    order::{order, renewal_window},
    schedule::{
        UnixSeconds, Validity, back_off, first_question, next_question, rate_limit_back_off, unheard_back_off,
    },
    try_port,
};
use crate::config::checked::Acme;
use crate::control::{
    certs::CertStore,
    utc::{Utc, unix_now},
};
use instant_acme::CertificateIdentifier;
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

/// What is ordered, and what there is of it.
pub(super) struct Renewal {
    settings: Acme,
    files: Files,
    store: Arc<CertStore>,
    /// When the next one is due; 0 while there is none that will do.
    due: UnixSeconds,
    /// What the CA knows the certificate by, and how long that lasts.
    current: Option<(CertificateIdentifier<'static>, Validity)>,
    /// When the CA is asked whether it wants another day.
    ask_at: UnixSeconds,
    /// Failures since the last success, by this process and those before it.
    attempts: Attempts,
}

impl Renewal {
    pub(super) fn new(settings: Acme, files: Files, store: Arc<CertStore>) -> Self {
        Self { settings, files, store, due: 0, current: None, ask_at: NEVER, attempts: Attempts::default() }
    }

    /// Never ends by itself.
    pub(super) async fn run(mut self) {
        try_port(&self.settings);
        self.recall();
        loop {
            let next_order = self.due.max(self.attempts.next_try);
            if self.ask_at < next_order {
                wait_until(self.ask_at).await;
                self.ask().await;
                continue;
            }
            wait_until(next_order).await;
            match self.attempt().await {
                Ok(certificate) => self.install(&certificate, "certificate issued"),
                Err(failure) => self.fail(&failure),
            }
        }
    }

    /// Takes up what earlier starts have left.
    fn recall(&mut self) {
        match self.files.certificate() {
            Ok(Some(pem)) => match Certificate::read(&pem) {
                Ok(certificate) => self.install(&certificate, "certificate kept from an earlier start"),
                Err(reason) => self.warn_of_file("certificate.pem", &reason),
            },
            Ok(None) => {}
            Err(error) => self.warn_of_file("certificate.pem", &error.to_string()),
        }
        match self.files.attempts(&self.what(), unix_now()) {
            Ok(attempts) => self.attempts = attempts,
            Err(error) => self.warn_of_file("attempts.json", &error.to_string()),
        }
        if self.attempts.next_try > unix_now() && self.due <= unix_now() {
            tracing::warn!(
                names = %self.settings.names.join(","),
                failures = self.attempts.failures,
                next_try = %shown(self.attempts.next_try),
                advice = %format!("remove {} and restart to try at once", self.files.attempts_file().display()),
                "earlier orders have failed; the CA is left alone for a while"
            );
        } else if self.due == 0 {
            tracing::info!(
                names = %self.settings.names.join(","),
                directory = %self.settings.directory,
                challenge = %self.settings.challenge,
                "no certificate yet; TLS fails until it is issued"
            );
        }
    }

    /// Asks the CA when it would like to see us (RFC 9773): it may have to withdraw certificates early.
    async fn ask(&mut self) {
        self.ask_at = NEVER;
        let Some((id, validity)) = &self.current else { return };
        let later = |seconds| unix_now().saturating_add(seconds);
        match timeout(QUESTION_TIME_LIMIT, renewal_window(&self.settings, &self.files, id)).await {
            Ok(Ok(Some((window, retry_after)))) => {
                self.ask_at = later(next_question(retry_after));
                // A moment chosen before stays, so that asking often does not draw it nearer.
                if self.due < window.start || window.end <= self.due {
                    let wanted = validity.renewal_within(window, random());
                    if wanted != self.due {
                        self.due = wanted;
                        tracing::info!(renewal = %shown(wanted), "the CA has asked for another time of renewal");
                    }
                }
            }
            Ok(Ok(None)) => tracing::debug!("the CA does not tell when to renew"),
            // RFC 9773 §4.3.3: the plan without it stands.
            Ok(Err(failure)) => {
                self.ask_at = later(next_question(0));
                tracing::debug!(step = failure.step, reason = %failure.reason, "the CA was asked in vain");
            }
            Err(_) => self.ask_at = later(next_question(0)),
        }
    }

    /// Orders, and keeps what comes of it.
    async fn attempt(&mut self) -> Result<Certificate, Failure> {
        // Counted before it is made: a process that ends in the middle of it, again and again, must not wear out the
        // CA. And who cannot write here could not keep a certificate either.
        self.count_failure()?;
        let mut challenges = Challenges::start(&self.settings, &self.store)?;
        let ordered = timeout(TIME_LIMIT, order(&self.settings, &self.files, &mut challenges)).await;
        challenges.end().await;
        let took_too_long = |_| {
            let minutes = TIME_LIMIT.as_secs() / 60;
            Failure::here("get a certificate", format!("the CA has not come to an end in {minutes} minutes"))
        };
        let pem = ordered.map_err(took_too_long)??;
        let certificate =
            Certificate::read(&pem).map_err(|reason| Failure::here("read what was issued", reason))?;
        let missing = certificate.missing(&self.settings.names);
        if !missing.is_empty() {
            let reason = format!("it is not for {}", missing.join(", "));
            return Err(Failure::here("use what was issued", reason));
        }
        if certificate.validity.renewal(0) <= unix_now() {
            // Otherwise the next one would be ordered at once, and the one after that.
            let reason =
                format!("it ends {} and is due for renewal already", shown(certificate.validity.not_after));
            return Err(
                Failure::here("use what was issued", reason).advise("is the clock of this host right?")
            );
        }
        // What was issued is served, even if it cannot be kept for the next start.
        let kept = self.files.keep_certificate(&pem).and_then(|()| self.files.forget_attempts());
        if let Err(error) = kept {
            self.warn_of_file("certificate.pem", &format!("it cannot be kept: {error}"));
        }
        self.attempts = Attempts { order: self.what(), ..Attempts::default() };
        Ok(certificate)
    }

    fn install(&mut self, certificate: &Certificate, how: &'static str) {
        let missing = certificate.missing(&self.settings.names);
        self.due = if missing.is_empty() { certificate.validity.renewal(random()) } else { 0 };
        // One that does not do is replaced at once, whatever the CA would like.
        let id = certificate.id.clone().filter(|_| missing.is_empty());
        self.current = id.map(|id| (id, certificate.validity));
        self.ask_at = unix_now().saturating_add(first_question(random()));
        // In the order they are configured in: a CA may have put them in any.
        let mut names = self.settings.names.clone();
        names.retain(|name| certificate.names.contains(name));
        names.extend(certificate.names.iter().filter(|name| !self.settings.names.contains(name)).cloned());
        self.store.install_acme(&names, certificate.key.clone());
        tracing::info!(
            names = %names.join(","),
            not_after = %shown(certificate.validity.not_after),
            renewal = %if self.due == 0 { "now".to_owned() } else { shown(self.due) },
            "{how}"
        );
    }

    fn fail(&mut self, failure: &Failure) {
        let other_wait = match failure.kind {
            Kind::RateLimited => Some(rate_limit_back_off(self.attempts.failures, random())),
            Kind::NotReached => Some(unheard_back_off(self.attempts.failures, random())),
            Kind::NoAccount | Kind::Other => None,
        };
        if let Some(wait) = other_wait {
            self.attempts.next_try = unix_now().saturating_add(wait);
            if let Err(error) = self.files.keep_attempts(&self.attempts) {
                self.warn_of_file("attempts.json", &error.to_string());
            }
        }
        tracing::warn!(
            names = %self.settings.names.join(","),
            step = failure.step,
            reason = %failure.reason,
            advice = failure.advice.as_deref(),
            failures = self.attempts.failures,
            next_try = %shown(self.attempts.next_try),
            "no certificate was issued"
        );
    }

    fn count_failure(&mut self) -> Result<(), Failure> {
        let failures = self.attempts.failures.saturating_add(1);
        let next_try = unix_now().saturating_add(back_off(failures, random()));
        self.attempts = Attempts { failures, next_try, order: self.what() };
        self.files.keep_attempts(&self.attempts).map_err(Failure::file("write to the state directory"))
    }

    /// What an order is known by: with other names or another challenge it has a new chance.
    fn what(&self) -> String {
        format!(
            "{} {} {}",
            self.settings.challenge,
            self.settings.http_address,
            self.settings.names.join(",")
        )
    }

    fn warn_of_file(&self, name: &str, reason: &str) {
        tracing::warn!(path = %self.files.path(name).display(), reason, "a file of the acme client is of no use");
    }
}

const NEVER: UnixSeconds = UnixSeconds::MAX;

/// For a whole question.
const QUESTION_TIME_LIMIT: Duration = Duration::from_secs(60);

/// For a whole order.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// By the wall clock, which can be set, or stand still while the host sleeps.
async fn wait_until(then: UnixSeconds) {
    const LOOK_AGAIN: Duration = Duration::from_secs(600);
    while let left @ 1.. = then.saturating_sub(unix_now()) {
        sleep(Duration::from_secs(left).min(LOOK_AGAIN)).await;
    }
}

fn shown(moment: UnixSeconds) -> String {
    Utc::new(moment).map_or_else(|| "never".to_owned(), |moment| moment.to_string())
}

/// For jitter; without any it does as well.
fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}
