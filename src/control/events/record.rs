//! A report that outlives the call that made it, and its log line.

use std::net::SocketAddr;
use std::time::Duration;

use super::tls::Trouble;
use crate::auth::rest::{RestName, Separator};
use crate::control::explain::{Decision, What};
use crate::control::sessions::SessionId;
use crate::net::worker::Report;
use crate::turn::{
    AllocationId, Denial, EndReason, Event, FiveTuple, QuotaError, Traffic, Transport, method_name,
};
use crate::wire::Method;

/// A [`Report`] with everything in it owned.
#[derive(Debug)]
pub(super) enum Record {
    Began {
        allocation: AllocationId,
        client: FiveTuple,
        user: Box<str>,
        user_id: Box<str>,
        relay: SocketAddr,
        additional: Option<SocketAddr>,
        lifetime: Duration,
    },
    Ended {
        allocation: AllocationId,
        client: FiveTuple,
        user: Box<str>,
        user_id: Box<str>,
        relay: SocketAddr,
        reason: EndReason,
        age: Duration,
        traffic: Traffic,
    },
    Refused {
        client: FiveTuple,
        user: Option<Box<str>>,
        method: Method,
        denial: Denial,
        words: Option<Box<str>>,
        peer: Option<SocketAddr>,
    },
    Tls {
        client: SocketAddr,
        sni: Option<Box<str>>,
        trouble: Trouble,
    },
}

impl Record {
    /// `None` for what is not for the log.
    pub(super) fn of(report: Report<'_>) -> Option<Self> {
        match report {
            Report::Core(event) => Some(Self::of_event(event)),
            Report::Tls { client, sni, failure } => {
                Some(Self::Tls { client, sni: sni.map(Into::into), trouble: Trouble::of(failure) })
            }
            Report::FindKey { .. } => None,
        }
    }

    fn of_event(event: Event<'_>) -> Self {
        match event {
            Event::Began { allocation, client, user, user_id, relay, additional, lifetime } => {
                let (user, user_id) = (user.into(), user_id.into());
                Self::Began { allocation, client, user, user_id, relay, additional, lifetime }
            }
            Event::Ended { allocation, client, user, user_id, relay, reason, age, traffic } => {
                let (user, user_id) = (user.into(), user_id.into());
                Self::Ended { allocation, client, user, user_id, relay, reason, age, traffic }
            }
            Event::Refused { client, user, method, denial, words, peer } => {
                let (user, words) = (user.map(Into::into), words.map(Into::into));
                Self::Refused { client, user, method, denial, words, peer }
            }
        }
    }

    /// The same for whoever asks later.
    pub(super) fn decision(&self, worker: u16, now: u64) -> Decision {
        let session = |allocation: &AllocationId| SessionId { worker, allocation: *allocation };
        let of_client = |client: &FiveTuple, user, what| {
            Decision::new(client.client(), client.listener().transport().name(), user, what, now)
        };
        let named = |user: &str, id: &str| Some((user.into(), id.into()));
        match self {
            Self::Began { allocation, client, user, user_id, relay, additional, .. } => {
                let (relay, additional) = (*relay, *additional);
                let what = What::Began { session: session(allocation), relay, additional };
                of_client(client, named(user, user_id), what)
            }
            Self::Ended { allocation, client, user, user_id, reason, age, traffic, .. } => {
                let (reason, age, traffic) = (*reason, *age, *traffic);
                let what = What::Ended { session: session(allocation), reason, age, traffic };
                of_client(client, named(user, user_id), what)
            }
            Self::Refused { client, user, method, denial, words, peer } => {
                let user = user.as_deref().and_then(|user| named(user, stable(user)));
                let what =
                    What::Refused { method: *method, denial: *denial, words: words.clone(), peer: *peer };
                of_client(client, user, what)
            }
            Self::Tls { client, sni, trouble: Trouble { alert, reason, .. } } => {
                let what = What::Tls { sni: sni.clone(), alert, reason: reason.clone() };
                Decision::new(*client, Transport::Tls.name(), None, what, now)
            }
        }
    }

    /// Writes the line. One at `info` per allocation, when it ends; its beginning is `debug`.
    pub(super) fn log(&self, worker: u16) {
        let session = |allocation: &AllocationId| SessionId { worker, allocation: *allocation };
        match self {
            Self::Began { allocation, client, user, relay, additional, lifetime, .. } => tracing::debug!(
                session = %session(allocation),
                client = %client.client(),
                transport = client.listener().transport().name(),
                %user,
                %relay,
                additional = additional.map(tracing::field::display),
                lifetime_s = lifetime.as_secs(),
                "allocation created"
            ),
            Self::Ended { allocation, client, user, relay, reason, age, traffic, .. } => tracing::info!(
                session = %session(allocation),
                client = %client.client(),
                transport = client.listener().transport().name(),
                %user,
                %relay,
                reason = reason.name(),
                age_s = age.as_secs(),
                up_packets = traffic.up.packets,
                up_bytes = traffic.up.bytes,
                up_dropped = traffic.up.dropped,
                down_packets = traffic.down.packets,
                down_bytes = traffic.down.bytes,
                down_dropped = traffic.down.dropped,
                "allocation ended"
            ),
            Self::Refused { client, user, method, denial, .. } if !matters(*denial) => tracing::debug!(
                client = %client.client(),
                user = user.as_deref(),
                method = method_name(*method),
                reason = %Reason(denial),
                "request refused"
            ),
            Self::Refused { client, user, method, denial, words, peer } => tracing::info!(
                client = %client.client(),
                user = user.as_deref(),
                method = method_name(*method),
                reason = %Reason(denial),
                words = words.as_deref(),
                peer = peer.map(tracing::field::display),
                "request refused"
            ),
            Self::Tls { client, sni, trouble: Trouble { alert, reason, matters: true } } => {
                tracing::info!(%client, sni = sni.as_deref(), alert, %reason, "tls failed");
            }
            Self::Tls { client, sni, trouble: Trouble { alert, reason, matters: false } } => {
                tracing::debug!(%client, sni = sni.as_deref(), alert, %reason, "tls failed");
            }
        }
    }
}

/// A denial in words.
pub(super) struct Reason<'a>(pub(super) &'a Denial);

impl std::fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Denial::Request(refusal) => f.write_str(refusal.phrase()),
            Denial::Silenced => f.write_str("answers withheld: too many were drawn without logging in"),
            Denial::Draining => f.write_str("draining"),
            Denial::Verdict => f.write_str("refused by the auth webhook"),
            Denial::Credential(refused) => refused.fmt(f),
            Denial::WrongPassword(_) => f.write_str("wrong password"),
            Denial::WrongRealm => f.write_str("wrong realm"),
            Denial::OtherUser => f.write_str("the allocation belongs to another user"),
            Denial::CredentialExpired { ago_s } => write!(f, "expired {ago_s} s ago"),
            Denial::Peer(rule) => write!(f, "peer denied by rule {rule}"),
            Denial::Quota(QuotaError::User) => f.write_str("limits.allocations_per_user reached"),
            Denial::Quota(QuotaError::Address) => f.write_str("limits.allocations_per_ip reached"),
            Denial::Quota(QuotaError::Total) => f.write_str("limits.allocations reached"),
            Denial::NoPort => f.write_str("no relay port left"),
            Denial::NoSocket => f.write_str("the system gives no socket"),
            Denial::NoFamily => f.write_str("no relay address of the wanted family"),
            Denial::Permissions => f.write_str("limits.permissions_per_allocation reached"),
            Denial::Channels => f.write_str("limits.channels_per_allocation reached"),
            Denial::Connections => f.write_str("limits.connections_per_allocation reached"),
            Denial::OldChannel => f.write_str(
                "channel above 0x4FFF, as clients from before RFC 8656 use; turn.channel_numbers = \"rfc5766\" admits it",
            ),
            Denial::TokenUnknown => f.write_str("reservation token unknown, used or expired"),
        }
    }
}

/// The part of a user name that stays, as far as that can be told of somebody who has not logged in: whatever stands
/// beside a number, behind the first character that is none. That is the configured separator, or nobody's name.
fn stable(user: &str) -> &str {
    let is_digit = |char: &char| char.is_ascii_digit();
    let behind =
        user.chars().find(|char| !is_digit(char)).filter(|_| user.starts_with(|char| is_digit(&char)));
    let before = || user.chars().rev().find(|char| !is_digit(char));
    let separator = behind.or_else(before).and_then(Separator::new);
    separator.and_then(|separator| RestName::parse(user, separator)).map_or(user, |name| name.id)
}

/// Whether a refusal is worth a line of its own: not what happens to every client, or to any stranger.
pub(super) const fn matters(denial: Denial) -> bool {
    !matches!(denial, Denial::Request(_) | Denial::Silenced)
}

#[cfg(test)]
mod tests {
    use super::stable;

    #[test]
    fn a_stranger_s_name_is_taken_apart_whatever_the_separator() {
        for (name, id) in [
            ("1760000000:alice", "alice"),
            ("1760000000|alice", "alice"),
            ("1760000000|alice:7", "alice:7"),
            ("alice|1760000000", "alice"),
            ("1760000000", "1760000000"),
            ("alice", "alice"),
            ("", ""),
            ("1760000000:", "1760000000:"),
        ] {
            assert_eq!(stable(name), id, "{name}");
        }
    }
}
