//! One line per source and reason: what repeats is counted, and told in one more line a minute later.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::record::{Reason, Record, matters};
use super::tls::Trouble;
use crate::control::explain::kind;
use crate::turn::Denial;

/// How long a reason stays folded after its first line.
const WINDOW: Duration = Duration::from_secs(60);
/// Sources that are told apart; beyond them, new ones are only counted.
const SOURCES: usize = 1024;

/// Remembers which refusals have had their line.
#[derive(Debug, Default)]
pub(super) struct Folder {
    open: HashMap<(IpAddr, Kind), Fold>,
    /// Refusals of sources there was no room for, since `open` was full.
    unlisted: u64,
}

#[derive(Debug)]
struct Fold {
    since: Instant,
    last: Cause,
    repeats: u64,
}

/// What is folded into one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Refused(Denial),
    /// By the name of the alert.
    Tls(&'static str),
}

/// What to say of the last one.
#[derive(Clone, Debug)]
enum Cause {
    Refused(Denial),
    Tls(Trouble),
}

impl Folder {
    /// Whether a record gets a line now; refusals of a kind that their source had before are counted instead.
    pub(super) fn admits(&mut self, record: &Record, now: Instant) -> bool {
        let (source, kind, cause) = match record {
            Record::Began { .. } | Record::Ended { .. } => return true,
            // These are for whoever looks closely, and take no room that others need.
            Record::Refused { denial, .. } if !matters(*denial) => return true,
            Record::Refused { client, denial, .. } => {
                (client.client().ip(), Kind::Refused(kind(*denial)), Cause::Refused(*denial))
            }
            Record::Tls { trouble, .. } if !trouble.matters => return true,
            Record::Tls { client, trouble, .. } => {
                (client.ip(), Kind::Tls(trouble.alert), Cause::Tls(trouble.clone()))
            }
        };
        let key = (source, kind);
        if let Some(fold) = self.open.get_mut(&key) {
            fold.repeats += 1;
            fold.last = cause;
            return false;
        }
        if self.open.len() >= SOURCES {
            self.unlisted += 1;
            return false;
        }
        self.open.insert(key, Fold { since: now, last: cause, repeats: 0 });
        true
    }

    /// Ends the folds whose minute is over, with a line for each that had repeats.
    pub(super) fn close_due(&mut self, now: Instant) {
        self.close(|fold| now.duration_since(fold.since) >= WINDOW);
    }

    /// Ends all folds.
    pub(super) fn close_all(&mut self) {
        self.close(|_| true);
    }

    fn close(&mut self, is_due: impl Fn(&Fold) -> bool) {
        let mut closed = false;
        self.open.retain(|(source, _), fold| {
            let due = is_due(fold);
            if due && fold.repeats > 0 {
                fold.log(*source);
            }
            closed |= due;
            !due
        });
        if closed && self.unlisted > 0 {
            tracing::warn!(
                requests = self.unlisted,
                "requests or handshakes of many more sources were refused"
            );
            self.unlisted = 0;
        }
    }
}

impl Fold {
    fn log(&self, source: IpAddr) {
        let repeats = self.repeats;
        match &self.last {
            Cause::Refused(denial) => {
                tracing::info!(%source, reason = %Reason(denial), repeats, "requests refused again");
            }
            Cause::Tls(Trouble { alert, reason, .. }) => {
                tracing::info!(%source, alert, %reason, repeats, "tls failed again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Refused;
    use crate::net::tls::TlsFailure;
    use crate::net::worker::Report;
    use crate::turn::{FiveTuple, ListenerId, QuotaError, Tried};
    use crate::wire::Method;
    use rustls::AlertDescription;

    fn refused(client: &str, denial: Denial) -> Record {
        let client = FiveTuple::new(client.parse().unwrap(), ListenerId(0));
        let (user, words, peer) = (None, None, None);
        Record::Refused { client, user, method: Method::ALLOCATE, denial, words, peer }
    }

    #[test]
    fn a_source_gets_one_line_per_reason_and_minute() {
        let mut folder = Folder::default();
        let start = Instant::now();
        assert!(folder.admits(&refused("192.0.2.1:1", Denial::WrongPassword(Tried::default())), start));
        assert!(
            !folder.admits(&refused("192.0.2.1:2", Denial::WrongPassword(Tried::default())), start),
            "same source"
        );
        assert!(folder.admits(&refused("192.0.2.1:2", Denial::NoPort), start), "other reason");
        assert!(
            folder.admits(&refused("192.0.2.2:1", Denial::WrongPassword(Tried::default())), start),
            "other source"
        );
        folder.close_due(start + WINDOW / 2);
        assert!(!folder.admits(&refused("192.0.2.1:1", Denial::WrongPassword(Tried::default())), start));
        folder.close_due(start + WINDOW);
        assert!(
            folder.admits(&refused("192.0.2.1:1", Denial::WrongPassword(Tried::default())), start + WINDOW)
        );
    }

    #[test]
    fn an_expiry_that_grows_older_is_still_the_same_reason() {
        let mut folder = Folder::default();
        let now = Instant::now();
        assert!(folder.admits(&refused("192.0.2.1:1", Denial::CredentialExpired { ago_s: 1 }), now));
        assert!(!folder.admits(&refused("192.0.2.1:1", Denial::CredentialExpired { ago_s: 2 }), now));
    }

    #[test]
    fn reasons_of_one_kind_of_refusal_are_told_apart() {
        let now = Instant::now();
        let mut folder = Folder::default();
        for denial in [
            Denial::Credential(Refused::Expired { ago_s: 7 }),
            Denial::Credential(Refused::UnknownUser),
            Denial::Peer("private"),
            Denial::Peer("own-service"),
            Denial::Quota(QuotaError::User),
            Denial::Quota(QuotaError::Total),
        ] {
            assert!(folder.admits(&refused("192.0.2.1:1", denial), now), "{denial:?}");
        }
        let later = Denial::Credential(Refused::Expired { ago_s: 8 });
        assert!(!folder.admits(&refused("192.0.2.1:1", later), now));
    }

    #[test]
    fn failures_of_tls_are_folded_by_their_alert_and_noise_has_no_line_of_its_own() {
        let mut folder = Folder::default();
        let now = Instant::now();
        let failed = |client: &str, failure| {
            let report =
                Report::Tls { client: client.parse().unwrap(), sni: Some("turn.example.org"), failure };
            Record::of(report).unwrap()
        };
        let alert = |alert| rustls::Error::AlertReceived(alert);
        let (unknown_ca, expired) =
            (alert(AlertDescription::UnknownCA), alert(AlertDescription::CertificateExpired));
        assert!(folder.admits(&failed("192.0.2.1:1", TlsFailure::Protocol(&unknown_ca)), now));
        assert!(
            !folder.admits(&failed("192.0.2.1:2", TlsFailure::Protocol(&unknown_ca)), now),
            "same source"
        );
        assert!(folder.admits(&failed("192.0.2.1:1", TlsFailure::Protocol(&expired)), now), "other alert");
        assert!(
            folder.admits(&failed("192.0.2.2:1", TlsFailure::Protocol(&unknown_ca)), now),
            "other source"
        );
        assert!(folder.admits(&refused("192.0.2.1:1", Denial::NoPort), now), "no failure of TLS");
        for port in 1..100 {
            folder.admits(&failed(&format!("192.0.2.3:{port}"), TlsFailure::HungUp), now);
        }
        assert_eq!(folder.open.len(), 4);
    }

    #[test]
    fn a_flood_from_everywhere_takes_bounded_memory() {
        let mut folder = Folder::default();
        let now = Instant::now();
        for source in 0..10_000_u32 {
            let [_, _, a, b] = source.to_be_bytes();
            folder.admits(&refused(&format!("10.0.{a}.{b}:1"), Denial::WrongPassword(Tried::default())), now);
        }
        assert_eq!(folder.open.len(), SOURCES);
        assert_eq!(folder.unlisted, 10_000 - SOURCES as u64);
    }
}
