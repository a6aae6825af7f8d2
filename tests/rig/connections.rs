//! TCP allocations and their connections to peers, of which the test plays the driver.

use std::net::SocketAddr;

use turnbridge::turn::{ConnectError, ConnectionId, Input};
use turnbridge::wire::Method;

use super::{Answer, Client, Out, Outs, Rig, connection_id, tcp, xor_peer};

impl Rig {
    /// Allocates a relay address that listens for connections.
    pub(crate) fn allocate_tcp(&mut self, client: &mut Client) -> SocketAddr {
        let answer = self.call(client, Method::ALLOCATE, &[tcp()]);
        assert_eq!(answer.code(), 0, "{answer:?}");
        answer.relayed()[0]
    }

    /// Asks for a connection to a peer, which the driver is then told to make. The request waits for its answer.
    pub(crate) fn ask_to_connect(&mut self, client: &mut Client, to: SocketAddr) -> ConnectionId {
        let request = client.signed(Method::CONNECT, &[xor_peer(to)]);
        let outs = self.send(client, &request);
        let [Out::ConnectPeer { connection, peer, .. }] = outs.0[..] else {
            panic!("not one connection is asked for: {outs:?}")
        };
        assert_eq!(peer, to);
        connection
    }

    /// The driver has connected.
    pub(crate) fn connected(&mut self, connection: ConnectionId) -> &Outs {
        self.feed(Input::PeerConnected { connection, result: Ok(()) })
    }

    /// The driver could not connect.
    pub(crate) fn not_connected(&mut self, connection: ConnectionId, error: ConnectError) -> &Outs {
        self.feed(Input::PeerConnected { connection, result: Err(error) })
    }

    /// Connects to a peer, and gives the name that the client was told.
    pub(crate) fn connect(&mut self, client: &mut Client, peer: SocketAddr) -> ConnectionId {
        let connection = self.ask_to_connect(client, peer);
        let answer = Answer::parse(&self.connected(connection).only_to_client());
        assert_eq!((answer.code(), answer.connection()), (0, connection));
        assert_eq!(answer.proof(&client.key()), Some(client.scheme.answered_with()));
        connection
    }

    /// A peer connects to a relay address.
    pub(crate) fn accept(&mut self, relay: SocketAddr, peer: SocketAddr) -> &Outs {
        let relay = self.sockets.id(relay);
        self.feed(Input::PeerAccepted { relay, peer })
    }

    /// A peer is gone.
    pub(crate) fn hang_up(&mut self, connection: ConnectionId) -> &Outs {
        self.feed(Input::PeerGone { connection })
    }

    /// Binds a client connection to a peer connection.
    pub(crate) fn bind_connection(&mut self, data: &mut Client, connection: ConnectionId) {
        let answer = self.call(data, Method::CONNECTION_BIND, &[connection_id(connection)]);
        assert_eq!(answer.code(), 0, "{answer:?}");
        let spliced = Out::Splice { client: data.tuple(), connection };
        assert_eq!(self.last.0.last(), Some(&spliced), "behind the answer the stream is the peer's");
    }
}
