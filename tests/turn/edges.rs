//! What happens rarely: a driver that says things twice or late, a limit that shrinks, a peer on the wrong side.

use turnbridge::turn::{Family, Input, OpenedRelay, Output, PortRequest, RelayId};
use turnbridge::wire::Method;

use crate::rig::*;

const PEER: &str = "9.9.9.9:9";
const PEER_V6: &str = "[2a00:9::9]:9";

/// An OpenRelay that is answered twice has one socket, and its allocation keeps it.
#[test]
fn a_relay_socket_that_is_told_twice_stays_open() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let address = rig.allocate(&mut alice, &[]);
    let told = Input::RelayOpened {
        relay: rig.sockets.id(address),
        result: Ok(OpenedRelay { address, reservation: None }),
    };
    let outs = rig.feed(told);
    assert!(outs.0.is_empty(), "{outs:?}");
}
