//! A report that outlives the call that made it, and its log line.

use std::net::SocketAddr;
use std::time::Duration;

use super::tls::Trouble;
use crate::net::worker::Report;
use crate::turn::{Denial, EndReason, Event, QuotaError, Traffic};
use crate::wire::Method;

/// A [`Report`] with everything in it owned.
#[derive(Debug)]
pub(super) enum Record {
    Began {
        client: SocketAddr,
        user: Box<str>,
        relay: SocketAddr,
        additional: Option<SocketAddr>,
        lifetime: Duration,
    },
    Ended {
        client: SocketAddr,
        user: Box<str>,
        relay: SocketAddr,
        reason: EndReason,
        age: Duration,
        traffic: Traffic,
    },
    Refused {
        client: SocketAddr,
        user: Option<Box<str>>,
        method: Method,
        denial: Denial,
        peer: Option<SocketAddr>,
    },
    Tls {
        client: SocketAddr,
        sni: Option<Box<str>>,
        trouble: Trouble,
    },
}

impl Record {
    pub(super) fn of(report: Report<'_>) -> Self {
        match report {
            Report::Core(event) => Self::of_event(event),
            Report::Tls { client, sni, failure } => {
                Self::Tls { client, sni: sni.map(Into::into), trouble: Trouble::of(failure) }
            }
        }
    }

    fn of_event(event: Event<'_>) -> Self {
        match event {
            Event::Began { allocation: _, client, user, user_id: _, relay, additional, lifetime } => {
                Self::Began { client: client.client(), user: user.into(), relay, additional, lifetime }
            }
            Event::Ended { allocation: _, client, user, user_id: _, relay, reason, age, traffic } => {
                Self::Ended { client: client.client(), user: user.into(), relay, reason, age, traffic }
            }
            Event::Refused { client, user, method, denial, peer } => {
                Self::Refused { client: client.client(), user: user.map(Into::into), method, denial, peer }
            }
        }
    }

    /// Writes the line. One at `info` per allocation, when it ends; its beginning is `debug`.
    pub(super) fn log(&self) {
        match self {
            Self::Began { client, user, relay, additional, lifetime } => tracing::debug!(
                %client,
                %user,
                %relay,
                additional = additional.map(tracing::field::display),
                lifetime_s = lifetime.as_secs(),
                "allocation created"
            ),
            Self::Ended { client, user, relay, reason, age, traffic } => tracing::info!(
                %client,
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
            Self::Refused { client, user, method, denial, peer } => tracing::info!(
                %client,
                user = user.as_deref(),
                method = method_name(*method),
                reason = %Reason(denial),
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
            Denial::Credential(refused) => refused.fmt(f),
            Denial::WrongPassword => f.write_str("wrong password"),
            Denial::WrongRealm => f.write_str("wrong realm"),
            Denial::OtherUser => f.write_str("the allocation belongs to another user"),
            Denial::CredentialExpired { ago_s } => write!(f, "expired {ago_s} s ago"),
            Denial::Peer(rule) => write!(f, "peer denied by rule {rule}"),
            Denial::Quota(QuotaError::User) => f.write_str("limits.allocations_per_user reached"),
            Denial::Quota(QuotaError::Address) => f.write_str("limits.allocations_per_ip reached"),
            Denial::Quota(QuotaError::Total) => f.write_str("limits.allocations reached"),
            Denial::NoPort => f.write_str("no relay port or file descriptor left"),
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

fn method_name(method: Method) -> &'static str {
    match method {
        Method::ALLOCATE => "allocate",
        Method::REFRESH => "refresh",
        Method::CREATE_PERMISSION => "create-permission",
        Method::CHANNEL_BIND => "channel-bind",
        _ => "other",
    }
}
