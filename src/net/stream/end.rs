//! Why a connection ended.

use crate::net::counters::Counters;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client has closed it.
    Closed,
    /// It broke: a reset, or nothing was acknowledged for too long.
    Broken,
    /// TLS failed.
    Tls,
    /// What came is no stream of STUN messages and ChannelData.
    Garbage,
    /// A stranger announced a message longer than any it could need.
    TooLong,
    /// The handshake took too long.
    HandshakeTimeout,
    /// No request came.
    FirstRequestTimeout,
    /// Nothing more came, and it holds no allocation.
    Idle,
    /// The core has done with it.
    Dismissed,
    /// The same client has another one, so this one is dead.
    Replaced,
    /// A load balancer has not said whose it is.
    Announcement,
    /// Its client, whom a load balancer has named, has too many.
    Refused,
}

impl End {
    /// The counter of connections that ended like this.
    pub(crate) const fn counter(self, counters: &mut Counters) -> &mut u64 {
        match self {
            Self::Closed => &mut counters.connections_closed_by_client,
            Self::Broken => &mut counters.connections_broken,
            Self::Tls => &mut counters.connections_tls_failed,
            Self::Garbage => &mut counters.connections_garbage,
            Self::TooLong => &mut counters.connections_too_long,
            Self::HandshakeTimeout => &mut counters.connections_handshake_timeout,
            Self::FirstRequestTimeout => &mut counters.connections_request_timeout,
            Self::Idle => &mut counters.connections_idle,
            Self::Dismissed => &mut counters.connections_dismissed,
            Self::Replaced => &mut counters.connections_replaced,
            Self::Announcement => &mut counters.connections_bad_proxy_header,
            Self::Refused => &mut counters.connections_refused_source,
        }
    }

    /// In the words of the log.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Closed => "closed by client",
            Self::Broken => "broken",
            Self::Tls => "TLS failed",
            Self::Garbage => "garbage",
            Self::TooLong => "message too long",
            Self::HandshakeTimeout => "handshake timeout",
            Self::FirstRequestTimeout => "request timeout",
            Self::Idle => "idle",
            Self::Dismissed => "dismissed",
            Self::Replaced => "replaced",
            Self::Announcement => "no good PROXY header",
            Self::Refused => "too many connections",
        }
    }
}
