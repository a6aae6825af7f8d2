//! What a worker reports, kept for the moment when a record is made of it.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::control::sessions::SessionId;
use crate::turn::{EndReason, Event, FiveTuple, Traffic};

/// Something that happened to an allocation.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) session: SessionId,
    pub(super) at: SystemTime,
    pub(super) client: FiveTuple,
    pub(super) user: Box<str>,
    pub(super) user_id: Box<str>,
    pub(super) relay: SocketAddr,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Began { additional: Option<SocketAddr>, lifetime: Duration },
    Ended { reason: EndReason, age: Duration, traffic: Traffic },
}

impl Note {
    /// `None` for what is no allocation's.
    pub(super) fn of(worker: u16, event: &Event<'_>) -> Option<Self> {
        let at = SystemTime::now();
        match *event {
            Event::Began { allocation, client, user, user_id, relay, additional, lifetime } => Some(Self {
                session: SessionId { worker, allocation },
                at,
                client,
                user: user.into(),
                user_id: user_id.into(),
                relay,
                what: What::Began { additional, lifetime },
            }),
            Event::Ended { allocation, client, user, user_id, relay, reason, age, traffic } => Some(Self {
                session: SessionId { worker, allocation },
                at,
                client,
                user: user.into(),
                user_id: user_id.into(),
                relay,
                what: What::Ended { reason, age, traffic },
            }),
            Event::Refused { .. } => None,
        }
    }
}
