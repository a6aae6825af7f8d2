//! How a session is shown.

use crate::control::advert::Advert;
use crate::control::sessions::SessionId;
use crate::turn::{Flow, ListenerId, RelayTransport, Session, SessionDetail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// From here on a side counts as silent. Clients of ICE ask for consent every five seconds, whatever is on hold.
const SILENT: Duration = Duration::from_secs(30);

/// One of the two sides of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Side {
    Client,
    Peers,
}

/// The sides of which nothing has been relayed for a while.
pub(super) fn silent(session: &Session) -> Vec<Side> {
    let sides = [(Side::Client, session.client_silent), (Side::Peers, session.peers_silent)];
    sides.into_iter().filter(|(_, silence)| *silence >= SILENT).map(|(side, _)| side).collect()
}

/// A session in a list.
pub(super) fn brief(id: SessionId, session: &Session, advert: &Advert) -> Value {
    json!({
        "id": id.to_string(),
        "user": session.user,
        "user_id": session.user_id,
        "client": session.client.client(),
        "server": server(advert, session.client.listener()),
        "transport": session.client.listener().transport().name(),
        "relayed_transport": match session.transport {
            RelayTransport::Udp => "udp",
            RelayTransport::Tcp => "tcp",
        },
        "relays": session.relays.iter().flatten().collect::<Vec<_>>(),
        "age_s": session.age.as_secs(),
        "left_s": session.left.as_secs(),
        "credential_left_s": session.credential_left.map(|left| left.as_secs()),
        "up": flow(session.traffic.up),
        "down": flow(session.traffic.down),
        "client_silent_s": session.client_silent.as_secs(),
        "peers_silent_s": session.peers_silent.as_secs(),
        "silent": silent(session),
        "permissions": session.permissions,
        "channels": session.channels,
        "connections": session.connections,
    })
}

/// A session by itself: the same, and who may talk with it.
pub(super) fn full(id: SessionId, detail: &SessionDetail, advert: &Advert) -> Value {
    let mut shown = brief(id, &detail.session, advert);
    let permissions = detail.permissions.iter();
    let channels = detail.channels.iter();
    let connections = detail.connections.iter();
    shown["peers"] = json!({
        "permissions": permissions.map(|it| json!({ "peer": it.peer, "left_s": it.left.as_secs() })).collect::<Vec<_>>(),
        "channels": channels
            .map(|it| json!({
                "channel": format!("{:#06x}", it.channel.get()), "peer": it.peer, "left_s": it.left.as_secs(),
            }))
            .collect::<Vec<_>>(),
        "connections": connections.map(|it| json!({ "peer": it.peer, "state": it.state })).collect::<Vec<_>>(),
    });
    shown
}

/// The server's half of the 5-tuple.
fn server(advert: &Advert, listener: ListenerId) -> Option<SocketAddr> {
    let of_kind = advert.listeners.iter().filter(|it| it.transport.is_stream() == listener.is_stream());
    of_kind.map(|listening| listening.address).nth(usize::from(listener.number()))
}

fn flow(flow: Flow) -> Value {
    json!({ "packets": flow.packets, "bytes": flow.bytes, "dropped": flow.dropped })
}
