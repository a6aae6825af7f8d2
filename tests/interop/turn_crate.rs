//! The client of the `turn` crate: permissions and channels by its own choice, SHA-1.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;
use turn::client::{Client, ClientConfig};
use webrtc_util::Conn;

use crate::home::Home;
use crate::server::{Credential, Server};

const PATIENCE: Duration = Duration::from_secs(10);

async fn client(server: SocketAddr, credential: Credential) -> Client {
    let any = SocketAddr::new(server.ip(), 0);
    let config = ClientConfig {
        stun_serv_addr: server.to_string(),
        turn_serv_addr: server.to_string(),
        username: credential.username,
        password: credential.password,
        realm: String::new(),
        software: String::new(),
        rto_in_ms: 0,
        conn: Arc::new(UdpSocket::bind(any).await.unwrap()),
        vnet: None,
    };
    let client = Client::new(config).await.unwrap();
    client.listen().await.unwrap();
    client
}

/// Sends until the other side hears it, and says from whom it came.
async fn deliver(from: &impl Conn, to: &impl Conn, text: &str) -> SocketAddr {
    let target = to.local_addr().unwrap();
    let mut heard = [0; 100];
    let delivered = async {
        loop {
            from.send_to(text.as_bytes(), target).await.unwrap();
            // The other side may not have a permission for this one yet, and may hear what was sent before.
            while let Ok(received) = timeout(Duration::from_millis(200), to.recv_from(&mut heard)).await {
                let (length, source) = received.unwrap();
                if heard[..length] == *text.as_bytes() {
                    return source;
                }
            }
        }
    };
    timeout(PATIENCE, delivered).await.expect("it is never delivered")
}

async fn converse(server: SocketAddr, credential: Credential) {
    let alice = client(server, credential.clone()).await;
    let bob = client(server, credential).await;
    let mapped = alice.send_binding_request().await.unwrap();
    assert_eq!(mapped.ip(), server.ip());
    let (at_alice, at_bob) = (alice.allocate().await.unwrap(), bob.allocate().await.unwrap());
    // The first thing it sends anywhere makes it ask for a permission there.
    at_bob.send_to(b"hello?", at_alice.local_addr().unwrap()).await.unwrap();
    // Beyond the first it has bound a channel, and uses it.
    for round in 0..20 {
        let source = deliver(&at_alice, &at_bob, &format!("to bob {round}")).await;
        assert_eq!(source, at_alice.local_addr().unwrap());
        let source = deliver(&at_bob, &at_alice, &format!("to alice {round}")).await;
        assert_eq!(source, at_bob.local_addr().unwrap());
    }
    at_alice.close().await.unwrap();
    at_bob.close().await.unwrap();
    alice.close().await.unwrap();
    bob.close().await.unwrap();
}

#[test]
fn two_clients_of_the_turn_crate_converse() {
    let home = Home::new("turn-crate");
    let server = Server::on_loopback(&home, &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for ip in ["127.0.0.1", "::1"] {
        runtime.block_on(converse(server.at(ip), server.credential()));
    }
    server.wait_for("allocation ended", |line| (line["reason"] == "released").then_some(()));
}
