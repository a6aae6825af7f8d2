//! Why a certain user cannot connect: each way to fail is caused on purpose, with a real client, and its true cause is
//! what `explain` says first.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use serde_json::Value;
use turnbridge::wire::{AttributeType, ChannelNumber, Method};

use crate::asker::Door;
use crate::client::Client;
use crate::home::Home;
use crate::server::{Credential, Server};
use crate::stream_client::StreamClient;
use crate::tools::free_ports;
use crate::wire::{Wire, connect_from};

const SECRETS: [&str; 2] = ["a first secret of many", "a second secret of many"];
const CHANNEL: ChannelNumber = ChannelNumber::FIRST;

/// Sections that make all kinds of failure possible, on loopback.
fn config(ports: &str) -> String {
    format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n\
         [relay]\naddresses = [\"127.0.0.1\"]\nports = {ports:?}\n\
         [auth]\nsecrets = [{:?}, {:?}]\nmax_ttl = \"2d\"\n\
         [[auth.user]]\nname = \"bob\"\npassword = \"builder\"\n\
         [limits]\nallocations_per_user = 2\nallocations_per_ip = 3\npermissions_per_allocation = 2\n\
         channels_per_allocation = 1\nchallenge_burst = 40\nchallenge_rate = \"1/s\"\n\
         [peers]\nallow = [\"127.0.0.0/8\"]\ndeny = [\"8.8.0.0/16\"]\n",
        SECRETS[0], SECRETS[1],
    )
}

struct Scene {
    server: Server,
    door: Door,
    udp: SocketAddr,
    tcp: SocketAddr,
    home: Home,
}

impl Scene {
    fn new(name: &str, more: &str) -> Self {
        let home = Home::new(name);
        let (ports, _) = free_ports(40);
        let config = home.file("turnbridge.toml", &format!("{}{more}", config(&ports)));
        let mut server =
            Server::start(&home, home.turnbridge(&["serve", "--config", config.to_str().unwrap()]));
        SECRETS.into_iter().chain(["builder"]).for_each(|secret| server.hide(secret));
        let (udp, tcp) = (server.at("127.0.0.1"), server.listeners_over("tcp")[0]);
        let door = Door::default_of(&home);
        Self { server, door, udp, tcp, home }
    }

    fn client(&self, ip: IpAddr, credential: Credential) -> Client {
        Client::from(ip, self.udp, credential)
    }

    /// What is said of this address last, once something is that contains `expected`.
    #[track_caller]
    fn explained(&self, ip: IpAddr, expected: &str) -> Value {
        // Decisions go by the thread that writes the log, which takes some milliseconds.
        let mut last = Value::Null;
        for _ in 0..500 {
            let answer = self.door.ask(&format!("GET /v1/explain?ip={ip}&limit=1"), &[]).json(200);
            last = answer["decisions"][0].clone();
            if last["text"].as_str().is_some_and(|text| text.contains(expected)) {
                return last;
            }
            std::thread::park_timeout(std::time::Duration::from_millis(10));
        }
        panic!("expected {expected:?}, got {last}");
    }
}

fn good(user: &str) -> Credential {
    Credential::minted(SECRETS[0], user, 600)
}

fn allocated(scene: &Scene, ip: IpAddr, user: &str) -> Client {
    let mut client = scene.client(ip, good(user));
    client.allocate(|writer| writer).unwrap();
    client
}

/// One way to fail: what happens, what the client is told, and what an operator is.
struct Case {
    name: &'static str,
    /// Makes it happen from this address, and gives the code that the client gets; 0 for success.
    cause: fn(&Scene, IpAddr) -> u16,
    code: u16,
    kind: &'static str,
    text: &'static str,
}

fn code(result: Result<SocketAddr, u16>) -> u16 {
    result.err().unwrap_or(0)
}

fn permit(client: &mut Client, peer: &str) -> u16 {
    let peer: SocketAddr = peer.parse().unwrap();
    let answer = client.request(Method::CREATE_PERMISSION, |writer| {
        writer.xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
    });
    answer.err().unwrap_or(0)
}

fn allocate_as(scene: &Scene, ip: IpAddr, credential: Credential) -> u16 {
    code(scene.client(ip, credential).allocate(|writer| writer))
}

const CASES: &[Case] = &[
    Case {
        name: "no credentials",
        cause: |scene, ip| {
            let mut client = scene.client(ip, good("carol"));
            client.once(Method::ALLOCATE, |writer| {
                writer.attribute(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
            })
        },
        code: 401,
        kind: "challenged",
        text: "no credentials in the request",
    },
    Case {
        name: "nonce of another client",
        cause: |scene, ip| {
            let mut client = scene.client(ip, good("carol"));
            client.login.adopt("turn", b"obMatJos2AAAAmadeupmadeup");
            client.once(Method::ALLOCATE, |writer| {
                writer.attribute(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
            })
        },
        code: 438,
        kind: "stale-nonce",
        text: "nonce stale",
    },
    Case {
        name: "expired",
        cause: |scene, ip| allocate_as(scene, ip, Credential::minted(SECRETS[0], "carol", -73)),
        code: 401,
        kind: "expired",
        text: "the credential expired 7",
    },
    Case {
        name: "too far ahead",
        cause: |scene, ip| allocate_as(scene, ip, Credential::minted(SECRETS[0], "carol", 900_000)),
        code: 401,
        kind: "too-far-ahead",
        text: "further ahead than auth.max_ttl (172800 s)",
    },
    Case {
        name: "another application's secret",
        cause: |scene, ip| allocate_as(scene, ip, Credential::minted("not ours", "carol", 600)),
        code: 401,
        kind: "wrong-password",
        text: "password does not match any of the secrets 1 to 2",
    },
    Case {
        name: "wrong password of a static user",
        cause: |scene, ip| allocate_as(scene, ip, Credential::plain("bob", "wrong")),
        code: 401,
        kind: "wrong-password",
        text: "password does not match that of the static user",
    },
    Case {
        name: "unknown user",
        cause: |scene, ip| allocate_as(scene, ip, Credential::plain("mallory", "x")),
        code: 401,
        kind: "unknown-user",
        text: "unknown user",
    },
    Case {
        name: "a name that cannot be one",
        cause: |scene, ip| allocate_as(scene, ip, Credential::plain("new\nline", "x")),
        code: 401,
        kind: "no-user-name",
        text: "not a user name",
    },
    Case {
        name: "wrong realm",
        cause: |scene, ip| {
            let mut client = scene.client(ip, good("carol"));
            client.login.realm = Some("elsewhere".to_owned());
            code(client.allocate(|writer| writer))
        },
        code: 401,
        kind: "wrong-realm",
        text: "challenge of another realm",
    },
    Case {
        name: "revoked",
        cause: |scene, ip| {
            let client = allocated(scene, ip, "revoked-one");
            assert_eq!(scene.door.ask("DELETE /v1/credentials/revoked-one", &[]).status, 204);
            drop(client);
            allocate_as(scene, ip, good("revoked-one"))
        },
        code: 401,
        kind: "revoked",
        text: "the credential or its user was revoked",
    },
    Case {
        name: "kicked",
        cause: |scene, ip| {
            let mut client = allocated(scene, ip, "kicked");
            let sessions = scene.door.ask(&format!("GET /v1/sessions?ip={ip}"), &[]).json(200);
            let id = sessions["sessions"][0]["id"].as_str().unwrap().to_owned();
            assert_eq!(scene.door.ask(&format!("DELETE /v1/sessions/{id}"), &[]).status, 204);
            client
                .request(Method::REFRESH, |writer| writer.number(AttributeType::LIFETIME, 600))
                .err()
                .unwrap_or(0)
        },
        code: 437,
        kind: "allocation-mismatch",
        text: "no allocation on this 5-tuple",
    },
    Case {
        name: "another user's allocation",
        cause: |scene, ip| {
            let client = allocated(scene, ip, "first");
            let mut thief = client.taken_over_by(good("second"));
            thief
                .request(Method::REFRESH, |writer| writer.number(AttributeType::LIFETIME, 600))
                .err()
                .unwrap_or(0)
        },
        code: 441,
        kind: "other-user",
        text: "the allocation belongs to another user",
    },
    Case {
        name: "private peer",
        cause: |scene, ip| permit(&mut allocated(scene, ip, "private"), "10.0.0.5:9"),
        code: 403,
        kind: "peer",
        text: "peer denied by rule `private` (peer 10.0.0.5:9)",
    },
    Case {
        name: "cloud metadata",
        cause: |scene, ip| permit(&mut allocated(scene, ip, "metadata"), "169.254.169.254:80"),
        code: 403,
        kind: "peer",
        text: "peer denied by rule `link-local`",
    },
    Case {
        name: "denied by configuration",
        cause: |scene, ip| permit(&mut allocated(scene, ip, "denied"), "8.8.4.4:9"),
        code: 403,
        kind: "peer",
        text: "peer denied by rule `peers.deny`",
    },
    Case {
        name: "the server itself",
        cause: |scene, ip| allocated(scene, ip, "itself").bind(CHANNEL, scene.udp).err().unwrap_or(0),
        code: 403,
        kind: "peer",
        text: "peer denied by rule `own-service`",
    },
    Case {
        name: "user quota",
        cause: |scene, ip| {
            let _held = [allocated(scene, ip, "greedy"), allocated(scene, ip, "greedy")];
            allocate_as(scene, ip, good("greedy"))
        },
        code: 486,
        kind: "user-quota",
        text: "limits.allocations_per_user",
    },
    Case {
        name: "address quota",
        cause: |scene, ip| {
            let _held = ["u1", "u2", "u3"].map(|user| allocated(scene, ip, user));
            allocate_as(scene, ip, good("u4"))
        },
        code: 486,
        kind: "address-quota",
        text: "limits.allocations_per_ip",
    },
    Case {
        name: "no IPv6 relay",
        cause: |scene, ip| {
            code(
                scene.client(ip, good("six")).allocate(|writer| {
                    writer.attribute(AttributeType::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])
                }),
            )
        },
        code: 440,
        kind: "no-family",
        text: "no relay address of the wanted family",
    },
    Case {
        name: "too many permissions",
        cause: |scene, ip| {
            let mut client = allocated(scene, ip, "permits");
            let codes = ["9.9.9.1:1", "9.9.9.2:1", "9.9.9.3:1"].map(|peer| permit(&mut client, peer));
            assert_eq!(codes[..2], [0, 0]);
            codes[2]
        },
        code: 508,
        kind: "permissions",
        text: "limits.permissions_per_allocation",
    },
    Case {
        name: "too many channels",
        cause: |scene, ip| {
            let mut client = allocated(scene, ip, "channels");
            client.bind(CHANNEL, "9.9.9.1:1".parse().unwrap()).unwrap();
            let second = ChannelNumber::new(CHANNEL.get() + 1).unwrap();
            client.bind(second, "9.9.9.1:2".parse().unwrap()).err().unwrap_or(0)
        },
        code: 508,
        kind: "channels",
        text: "limits.channels_per_allocation",
    },
    Case {
        name: "channel of an old client",
        cause: |scene, ip| {
            let old = ChannelNumber::new(0x5000).unwrap();
            allocated(scene, ip, "old").bind(old, "9.9.9.1:1".parse().unwrap()).err().unwrap_or(0)
        },
        code: 400,
        kind: "old-channel",
        text: "channel above 0x4FFF",
    },
    Case {
        name: "unknown reservation",
        cause: |scene, ip| {
            code(
                scene
                    .client(ip, good("token"))
                    .allocate(|writer| writer.attribute(AttributeType::RESERVATION_TOKEN, &[1; 8])),
            )
        },
        code: 508,
        kind: "token-unknown",
        text: "reservation token is unknown",
    },
    Case {
        name: "malformed",
        cause: |scene, ip| {
            let answer = scene
                .client(ip, good("malformed"))
                .request(Method::ALLOCATE, |writer| writer.attribute(AttributeType::SOFTWARE, b"a test"));
            answer.err().unwrap_or(0)
        },
        code: 400,
        kind: "malformed",
        text: "something in the request is missing or makes no sense",
    },
    Case {
        name: "attribute from the future",
        cause: |scene, ip| {
            code(
                scene
                    .client(ip, good("future"))
                    .allocate(|writer| writer.attribute(AttributeType(0x7777), &[])),
            )
        },
        code: 420,
        kind: "unknown-attribute",
        text: "an attribute that must be understood and is not",
    },
    Case {
        name: "refresh without an allocation",
        cause: |scene, ip| {
            let answer = scene
                .client(ip, good("lost"))
                .request(Method::REFRESH, |writer| writer.number(AttributeType::LIFETIME, 600));
            answer.err().unwrap_or(0)
        },
        code: 437,
        kind: "allocation-mismatch",
        text: "no allocation on this 5-tuple",
    },
    Case {
        name: "neither UDP nor TCP",
        cause: |scene, ip| {
            let answer = scene.client(ip, good("sctp")).request(Method::ALLOCATE, |writer| {
                writer.attribute(AttributeType::REQUESTED_TRANSPORT, &[132, 0, 0, 0])
            });
            answer.err().unwrap_or(0)
        },
        code: 442,
        kind: "no-transport",
        text: "only UDP is relayed, and TCP",
    },
    Case {
        name: "peer of the other family",
        cause: |scene, ip| permit(&mut allocated(scene, ip, "family"), "[2001:4860::1]:1"),
        code: 443,
        kind: "family-mismatch",
        text: "no relay address of the family of the peer",
    },
    Case {
        name: "peer that refuses a connection",
        cause: |scene, ip| {
            let closed = {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                listener.local_addr().unwrap()
            };
            let mut client =
                StreamClient::new(Wire::Tcp(connect_from(SocketAddr::new(ip, 0), scene.tcp)), good("tcp"));
            client
                .request(Method::ALLOCATE, |writer| {
                    writer.attribute(AttributeType::REQUESTED_TRANSPORT, &[6, 0, 0, 0])
                })
                .unwrap();
            let connected = client.request(Method::CONNECT, |writer| {
                writer.xor_address(AttributeType::XOR_PEER_ADDRESS, closed)
            });
            let code = connected.err().unwrap_or(0);
            // Its end would be the last thing that is known.
            std::mem::forget(client);
            code
        },
        code: 447,
        kind: "connection-failed",
        text: "the peer refuses the connection or does not answer",
    },
    Case {
        name: "guessing passwords",
        cause: |scene, ip| {
            let mut client = scene.client(ip, Credential::plain("bob", "guess"));
            let guessed = code(client.allocate(|writer| writer));
            for _ in 0..8 {
                client.fire(Method::ALLOCATE);
            }
            guessed
        },
        code: 401,
        kind: "silenced",
        text: "no answer is given, because this address has drawn its share",
    },
];

#[test]
fn explain_names_the_true_cause_of_every_way_to_fail() {
    let scene = Scene::new("explain-table", "");
    assert!(CASES.len() >= 25);
    for (at, case) in (1..).zip(CASES) {
        let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 7, at));
        assert_eq!((case.cause)(&scene, ip), case.code, "{}", case.name);
        let told = scene.explained(ip, case.text);
        assert_eq!(told["kind"], case.kind, "{}: {told}", case.name);
        let expected = if case.kind == "silenced" { Value::Null } else { case.code.into() };
        assert_eq!(told["code"], expected, "{}: {told}", case.name);
        // What is held would be in the way of the next.
        let sessions = scene.door.ask(&format!("GET /v1/sessions?ip={ip}&limit=1000"), &[]).json(200);
        for session in sessions["sessions"].as_array().unwrap() {
            let id = session["id"].as_str().unwrap();
            assert_eq!(scene.door.ask(&format!("DELETE /v1/sessions/{id}"), &[]).status, 204);
        }
    }
    drop(scene.home);
    drop(scene.server);
}

/// Those that are about the whole server need one of their own.
#[test]
fn explain_names_what_is_wrong_with_the_whole_server() {
    let ip = |last| IpAddr::V4(Ipv4Addr::new(127, 0, 8, last));
    let home = Home::new("explain-server");
    let (ports, _) = free_ports(1);
    let server = Server::on_loopback(&home, &[("TURNBRIDGE_RELAY__PORTS", &ports)]);
    let (udp, tcp) = (server.at("127.0.0.1"), server.listeners_over("tcp")[0]);
    let secret = home.secret().unwrap();
    let credential = |user: &str| Credential::minted(&secret, user, 600);
    let scene = Scene { door: Door::default_of(&home), server, udp, tcp, home };
    let mut holder = scene.client(ip(1), credential("holder"));
    holder.allocate(|writer| writer).unwrap();
    assert_eq!(allocate_as(&scene, ip(2), credential("late")), 508);
    assert_eq!(scene.explained(ip(2), "port pool empty")["kind"], "no-port");
    assert!(scene.explained(ip(2), "port pool empty")["hint"].as_str().unwrap().contains("relay.ports"));
    assert_eq!(scene.door.send("POST /v1/drain", &["Content-Type: application/json"], "{}").status, 200);
    assert_eq!(allocate_as(&scene, ip(3), credential("later")), 508);
    assert_eq!(scene.explained(ip(3), "the server drains")["kind"], "draining");
    holder.release();
    let ended = scene.explained(ip(1), "the client gave it back");
    assert_eq!(ended["kind"], "ended");
    let about = scene.door.ask("GET /v1/explain?user=holder", &[]).json(200);
    let kinds: Vec<_> =
        about["decisions"].as_array().unwrap().iter().map(|told| told["kind"].clone()).collect();
    assert_eq!(kinds, ["ended", "created"]);
}
