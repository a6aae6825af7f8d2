//! Who plays: clients, users with their credentials, and peers with what each policy says about them.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use turnbridge::auth::authenticator::Credentials;
use turnbridge::auth::rest::RestSecret;
use turnbridge::auth::users::User;
use turnbridge::auth::{Authenticator, Key, PasswordAlgorithm, Secret};
use turnbridge::turn::{FiveTuple, ListenerId, PeerPolicy, PeerRules, Transport};

pub const REALM: &str = "example.org";
/// Unix time when a simulation begins.
pub const EPOCH: u64 = 1_760_000_000;
pub const MAX_TTL: u64 = 10_000_000;
pub const RELAY_V4: &str = "203.0.113.5";
pub const RELAY_V6: &str = "2001:db8::5";
/// Few, so that they run out.
pub const RELAY_PORTS: std::ops::RangeInclusive<u16> = 50_000..=50_011;
/// Places of our own at which nothing may be relayed, one of them amidst the relay ports.
const SERVICES: [&str; 4] =
    ["203.0.113.5:3478", "203.0.113.5:50010", "203.0.113.9:3478", "[2001:db8::5]:3478"];

/// A user name, whether it leads anywhere, and the keys it leads to.
pub struct Account {
    pub name: String,
    /// What quotas count.
    pub id: String,
    pub expires: Option<u64>,
    /// All keys that are good: one per shared secret. Empty for names that are no user's.
    pub keys: Vec<Keys>,
    /// Whether USERHASH can stand for the name.
    pub is_listed: bool,
}

#[derive(Clone)]
pub struct Keys {
    pub md5: Key,
    pub sha256: Option<Key>,
}

impl Keys {
    fn new(name: &str, password: &str) -> Self {
        let key = |algorithm| Key::derive(algorithm, name, REALM, password.as_bytes());
        Self { md5: key(PasswordAlgorithm::Md5), sha256: Some(key(PasswordAlgorithm::Sha256)) }
    }

    pub fn of(&self, algorithm: PasswordAlgorithm) -> Option<&Key> {
        match algorithm {
            PasswordAlgorithm::Md5 => Some(&self.md5),
            PasswordAlgorithm::Sha256 => self.sha256.as_ref(),
        }
    }
}

/// Which credentials the server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directory {
    SecretsAndUsers,
    /// One of the users has no SHA-256 key, so SHA-256 is not offered.
    OldUser,
    UsersAlone,
}

pub struct Cast {
    pub clients: Vec<FiveTuple>,
    pub accounts: Vec<Account>,
    pub has_sha256: bool,
}

impl Cast {
    pub fn new(directory: Directory) -> Self {
        let rest = |name: String, id: &str, after: i64| {
            let known = directory != Directory::UsersAlone;
            let keys = ["north", "south"].map(|secret| {
                Keys::new(&name, RestSecret::new(&Secret::new(secret)).password(&name).expose())
            });
            Account {
                id: id.to_owned(),
                expires: Some(EPOCH.saturating_add_signed(after)),
                keys: if known { keys.to_vec() } else { Vec::new() },
                is_listed: false,
                name,
            }
        };
        let fixed = |name: &str, keys: Vec<Keys>| Account {
            name: name.to_owned(),
            id: name.to_owned(),
            expires: None,
            is_listed: !keys.is_empty(),
            keys,
        };
        let old = Keys { sha256: None, ..Keys::new("old", "pw-old") };
        let has_old = directory == Directory::OldUser;
        let at = |after: i64| EPOCH.saturating_add_signed(after);
        let accounts = vec![
            fixed("alice", vec![Keys::new("alice", "pw-alice")]),
            fixed("bob", vec![Keys::new("bob", "pw-bob")]),
            rest(format!("{}:carol", at(900)), "carol", 900),
            rest(format!("{}:carol", at(86_400)), "carol", 86_400),
            rest(format!("{}:alice", at(7_200)), "alice", 7_200),
            rest(format!("dave:{}", at(1_000_000)), "dave", 1_000_000),
            rest(at(500_000).to_string(), &at(500_000).to_string(), 500_000),
            fixed("old", if has_old { vec![old] } else { Vec::new() }),
            rest(format!("{}:erin", at(-10)), "erin", -10),
            rest(format!("{}:eve", at(40_000_000)), "eve", 40_000_000),
            fixed("mallory", Vec::new()),
        ];
        let clients = clients();
        let distinct: HashSet<_> = clients.iter().collect();
        assert_eq!(distinct.len(), clients.len(), "two clients have one 5-tuple");
        Self { clients, accounts, has_sha256: !has_old }
    }

    pub fn account(&self, name: &[u8]) -> Option<&Account> {
        self.accounts.iter().find(|account| account.name.as_bytes() == name && !account.keys.is_empty())
    }

    pub fn authenticator(directory: Directory) -> Authenticator {
        let user = |name, password| User::with_password(name, &Secret::new(password)).unwrap();
        let mut users = vec![user("alice", "pw-alice"), user("bob", "pw-bob")];
        if directory == Directory::OldUser {
            let md5 = Keys::new("old", "pw-old").md5;
            users.push(User::with_keys("old", Some(md5), None).unwrap());
        }
        let secrets = match directory {
            Directory::UsersAlone => Vec::new(),
            Directory::SecretsAndUsers | Directory::OldUser => {
                vec![Secret::new("north"), Secret::new("south")]
            }
        };
        Authenticator::new(Credentials {
            realm: REALM.to_owned(),
            max_ttl: Some(MAX_TTL),
            secrets,
            users,
            ..Credentials::default()
        })
    }
}

/// Neighbours that differ in one thing only, and some that deserve no service.
fn clients() -> Vec<FiveTuple> {
    let [ListenerId(tcp), ListenerId(tls)] =
        [Transport::Tcp, Transport::Tls].map(|it| ListenerId::new(it, 0));
    let v6 = |ip: &str, port, scope| SocketAddr::V6(SocketAddrV6::new(ip.parse().unwrap(), port, 0, scope));
    let v4 = |text: &str| text.parse::<SocketAddr>().unwrap();
    [
        (v4("198.51.100.10:4000"), 0),
        (v4("198.51.100.10:4000"), tcp),
        (v4("198.51.100.10:4000"), 1),
        (v6("2001:db8:1::10", 4000, 0), 2),
        (v6("fe80::1", 4000, 3), 2),
        (v6("fe80::1", 4000, 4), 2),
        (v4("198.51.100.10:4001"), 0),
        (v4("198.51.100.10:4000"), tls),
        (v4("198.51.100.11:4000"), 0),
        (v6("2001:db8:1::11", 4000, 0), 2),
        (v4("127.0.0.1:4000"), 0),
        (v6(TUNNEL, 4000, 0), 2),
        (v4("198.51.100.12:0"), 0),
        (v4("224.0.0.9:4000"), 0),
        (v6("2001:db8:1::12", 4000, 0), tcp | 2),
        (v4("198.51.100.13:4000"), tcp),
        (v4("198.51.100.13:4001"), tcp),
        (v4("198.51.100.13:4002"), tls),
    ]
    .map(|(client, listener)| FiveTuple::new(client, ListenerId(listener)))
    .to_vec()
}

/// 6to4: RFC 8656 §21.4 wants no allocations for tunnels.
const TUNNEL: &str = "2002:c633:640a::1";

pub fn is_tunnel(client: FiveTuple) -> bool {
    client.client().ip() == TUNNEL.parse::<IpAddr>().unwrap()
}

/// A source that nobody can be answered at (THREATS L05).
pub fn is_forged(client: FiveTuple) -> bool {
    client.client().port() == 0 || client.client().ip().is_multicast()
}

/// What the limit of one address counts: in IPv6 the /64, of which one host can have all.
pub fn source(client: FiveTuple) -> IpAddr {
    match client.client().ip() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => IpAddr::from((ip.to_bits() >> 64 << 64).to_be_bytes()),
    }
}

pub fn relay_address(v6: bool) -> IpAddr {
    if v6 { RELAY_V6.parse().unwrap() } else { RELAY_V4.parse().unwrap() }
}

/// What a policy says about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Denied,
    /// All ports that the policy allows at all.
    Allowed,
    /// Those, except our services.
    ButServices,
    /// Our own relay address: its relay ports, except our services.
    RelayPorts,
}

use Verdict::{Allowed, ButServices, Denied, RelayPorts};

/// Each peer address, judged by hand under policies 0 (the default), 1 (some allowed, some denied, ports from 1024)
/// and 2 (everything allowed that can be).
const JUDGEMENTS: [(&str, [Verdict; 3]); 19] = [
    ("8.8.8.8", [Allowed, Allowed, Allowed]),
    ("8.8.4.4", [Allowed, Denied, Allowed]),
    ("1.1.1.1", [Allowed, Allowed, Allowed]),
    ("2606:4700::1111", [Allowed, Allowed, Allowed]),
    ("2606:4700::2", [Allowed, Denied, Allowed]),
    (RELAY_V4, [RelayPorts, RelayPorts, ButServices]),
    (RELAY_V6, [RelayPorts, RelayPorts, ButServices]),
    ("10.1.2.3", [Denied, Allowed, Allowed]),
    ("::ffff:8.8.8.8", [Denied, Denied, Denied]),
    ("64:ff9b::808:808", [Allowed, Allowed, Allowed]),
    ("64:ff9b::808:404", [Allowed, Denied, Allowed]),
    ("64:ff9b::a01:203", [Denied, Denied, Allowed]),
    ("203.0.113.9", [Denied, ButServices, ButServices]),
    ("10.2.0.1", [Denied, Denied, Allowed]),
    ("127.0.0.1", [Denied, Denied, Allowed]),
    ("fd00::1", [Denied, Denied, Allowed]),
    ("0.0.0.0", [Denied, Denied, Denied]),
    ("::", [Denied, Denied, Denied]),
    ("224.0.0.1", [Denied, Denied, Denied]),
];

/// The ports of peers; 50010 is a service on the relay address, 0 is nobody's.
pub const PEER_PORTS: [u16; 8] = [5000, 5001, 50_001, 80, 3478, 50_010, u16::MAX, 0];

/// The judgements with their addresses read.
pub struct Peers {
    pub judged: Vec<(IpAddr, [Verdict; 3])>,
    services: Vec<SocketAddr>,
}

impl Peers {
    pub fn new() -> Self {
        Self {
            judged: JUDGEMENTS.iter().map(|(ip, verdicts)| (ip.parse().unwrap(), *verdicts)).collect(),
            services: SERVICES.map(|service| service.parse().unwrap()).to_vec(),
        }
    }

    pub fn verdict(&self, policy: usize, ip: IpAddr) -> Verdict {
        let judged = self.judged.iter().find(|(judged, _)| *judged == ip);
        judged.map_or(Denied, |(_, verdicts)| verdicts[policy])
    }

    /// Whether a datagram may go to, or come from, this place.
    pub fn allows(&self, policy: usize, peer: SocketAddr) -> bool {
        let is_service = self.services.contains(&peer);
        match self.verdict(policy, peer.ip()) {
            Denied => false,
            Allowed => allowed_ports(policy).contains(&peer.port()),
            ButServices => allowed_ports(policy).contains(&peer.port()) && !is_service,
            RelayPorts => RELAY_PORTS.contains(&peer.port()) && !is_service,
        }
    }
}

fn allowed_ports(policy: usize) -> std::ops::RangeInclusive<u16> {
    if policy == 1 { 1024..=u16::MAX } else { 1..=u16::MAX }
}

/// The rules that the judgements follow from.
pub fn policy(policy: usize) -> PeerPolicy {
    let nets = |nets: &[&str]| nets.iter().map(|net| net.parse().unwrap()).collect();
    let (allow, deny) = match policy {
        0 => (Vec::new(), Vec::new()),
        1 => (nets(&["10.1.0.0/16", "203.0.113.9/32"]), nets(&["8.8.4.0/24", "2606:4700::2/128"])),
        _ => (nets(&["0.0.0.0/0", "::/0"]), nets(&["8.0.0.0/8"])),
    };
    PeerPolicy::new(PeerRules {
        allow,
        deny,
        ports: allowed_ports(policy),
        relay_addresses: vec![relay_address(false), relay_address(true)],
        relay_ports: vec![RELAY_PORTS],
        host_addresses: [RELAY_V4, RELAY_V6, "203.0.113.9"].map(|ip| ip.parse().unwrap()).to_vec(),
        services: Peers::new().services,
        datagram_services: Peers::new().services,
    })
}
