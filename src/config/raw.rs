//! What is written: one struct per section, with the defaults of every key.
//!
//! `config/turnbridge.toml` shows the same keys to people; a test keeps the two alike.

#![allow(
    missing_docs,
    reason = "each key is explained in config/turnbridge.toml, which a test keeps complete"
)]

mod accounting;
mod acme;
mod admin;
mod auth_webhook;
mod drain;
mod masked;
mod metrics;

pub use accounting::{Accounting, AccountingWebhook, Otlp};
pub use acme::Acme;
pub use admin::{Admin, AdminKey};
pub use auth_webhook::AuthWebhook;
pub use drain::Drain;
pub(crate) use masked::Masked;
pub use masked::{MaskedSecret, MaskedUrl};
pub use metrics::Metrics;

use super::{
    address::{Cidr, DnsName, ExternalAddress, HostAddress, HostPort, ListenAddress, Port, PortRange},
    choice::{
        ChannelNumbers, ExpiryRule, LogFormat, LogLevel, ProxyProtocol, StateDir, TlsVersion, Transport,
        Workers,
    },
    ice_url::IceUrl,
    text::{many, maybe, one, switch},
    units::{BitsPerSecond, Bytes, Count, CountOrNone, Limit, PerSecond, Seconds},
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A whole configuration. Serialising it gives the effective configuration, with secrets masked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The process as a whole.
    pub server: Server,
    /// Where clients are heard.
    pub listener: Vec<Listener>,
    /// By what name they know this server.
    pub tls: Tls,
    /// Where peers are reached from.
    pub relay: Relay,
    /// Who may use the relay.
    pub auth: Auth,
    /// How much of it.
    pub limits: Limits,
    /// Who may be relayed to.
    pub peers: Peers,
    /// Leniency for old clients.
    pub turn: Turn,
    /// Where they find out what their NAT does.
    pub nat_discovery: NatDiscovery,
    /// Who used the relay, and how much.
    pub accounting: Accounting,
    /// Who may ask the running server, and what.
    pub admin: Admin,
    /// How it takes its leave.
    pub drain: Drain,
    /// What is counted for the operator.
    pub metrics: Metrics,
    /// What is told to the operator.
    pub log: Log,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    pub realm: String,
    /// Empty: the host's name.
    pub name: String,
    #[serde(with = "many")]
    pub urls: Vec<IceUrl>,
    #[serde(with = "one")]
    pub state_dir: StateDir,
    #[serde(with = "one")]
    pub workers: Workers,
    #[serde(with = "one")]
    pub receive_buffer: Bytes,
    #[serde(with = "one")]
    pub send_buffer: Bytes,
    #[serde(with = "switch")]
    pub reload_on_change: bool,
}

/// `[[listener]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listener {
    #[serde(with = "one")]
    pub address: ListenAddress,
    #[serde(with = "one")]
    pub transport: Transport,
    #[serde(with = "many", skip_serializing_if = "Vec::is_empty")]
    pub proxy_protocol_from: Vec<Cidr>,
    #[serde(with = "maybe", skip_serializing_if = "Option::is_none")]
    pub fallback: Option<HostPort>,
    #[serde(with = "maybe", skip_serializing_if = "Option::is_none")]
    pub fallback_proxy_protocol: Option<ProxyProtocol>,
}

/// `[tls]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    #[serde(with = "one")]
    pub min_version: TlsVersion,
    #[serde(with = "many")]
    pub names: Vec<DnsName>,
    pub certificate: Vec<Certificate>,
    pub acme: Acme,
}

/// `[[tls.certificate]]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
}

/// `[relay]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Relay {
    #[serde(with = "many")]
    pub addresses: Vec<HostAddress>,
    #[serde(with = "many")]
    pub external: Vec<ExternalAddress>,
    #[serde(with = "one")]
    pub ports: PortRange,
}

/// `[auth]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    pub secrets: Vec<MaskedSecret>,
    pub secret_files: Vec<PathBuf>,
    pub separator: char,
    #[serde(with = "one")]
    pub max_ttl: Limit<Seconds>,
    #[serde(with = "one")]
    pub expiry: ExpiryRule,
    pub user: Vec<User>,
    pub webhook: AuthWebhook,
}

/// `[[auth.user]]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<MaskedSecret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<MaskedSecret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_sha256: Option<MaskedSecret>,
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    #[serde(with = "one")]
    pub allocations: Limit<Count>,
    #[serde(with = "one")]
    pub allocations_per_user: Limit<Count>,
    #[serde(with = "one")]
    pub allocations_per_ip: Limit<Count>,
    #[serde(with = "one")]
    pub permissions_per_allocation: Count,
    #[serde(with = "one")]
    pub channels_per_allocation: Count,
    #[serde(with = "one")]
    pub connections_per_allocation: CountOrNone,
    #[serde(with = "one")]
    pub max_lifetime: Seconds,
    #[serde(with = "one")]
    pub bandwidth: Limit<BitsPerSecond>,
    #[serde(with = "one")]
    pub bandwidth_per_allocation: Limit<BitsPerSecond>,
    #[serde(with = "one")]
    pub challenge_rate: Limit<PerSecond>,
    #[serde(with = "one")]
    pub challenge_burst: Count,
    #[serde(with = "one")]
    pub binding_rate: Limit<PerSecond>,
    #[serde(with = "one")]
    pub binding_burst: Count,
    #[serde(with = "one")]
    pub connections: Limit<Count>,
    #[serde(with = "one")]
    pub connections_per_ip: Limit<Count>,
    #[serde(with = "one")]
    pub handshake_timeout: Seconds,
    #[serde(with = "one")]
    pub first_request_timeout: Seconds,
    #[serde(with = "one")]
    pub idle_timeout: Seconds,
    #[serde(with = "one")]
    pub send_queue: Bytes,
}

/// `[peers]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Peers {
    #[serde(with = "many")]
    pub allow: Vec<Cidr>,
    #[serde(with = "many")]
    pub deny: Vec<Cidr>,
    #[serde(with = "one")]
    pub ports: PortRange,
}

/// `[turn]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Turn {
    #[serde(with = "one")]
    pub channel_numbers: ChannelNumbers,
}

/// `[nat_discovery]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NatDiscovery {
    #[serde(with = "many")]
    pub addresses: Vec<HostAddress>,
    #[serde(with = "one")]
    pub alternate_port: Port,
    #[serde(with = "switch")]
    pub classic: bool,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    #[serde(with = "one")]
    pub level: LogLevel,
    #[serde(with = "one")]
    pub format: LogFormat,
}

// All defaults are here, and nowhere else.

impl Default for Config {
    fn default() -> Self {
        Self {
            server: Server::default(),
            listener: vec![
                Listener::default(),
                Listener { transport: Transport::Tcp, ..Listener::default() },
            ],
            tls: Tls::default(),
            relay: Relay::default(),
            auth: Auth::default(),
            limits: Limits::default(),
            peers: Peers::default(),
            turn: Turn::default(),
            nat_discovery: NatDiscovery::default(),
            accounting: Accounting::default(),
            admin: Admin::default(),
            drain: Drain::default(),
            metrics: Metrics::default(),
            log: Log::default(),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            realm: "turn".to_owned(),
            name: String::new(),
            urls: Vec::new(),
            state_dir: StateDir::Auto,
            workers: Workers::Auto,
            receive_buffer: Bytes(4 << 20),
            send_buffer: Bytes(4 << 20),
            reload_on_change: false,
        }
    }
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            address: ListenAddress::All { port: 3478 },
            transport: Transport::Udp,
            proxy_protocol_from: Vec::new(),
            fallback: None,
            fallback_proxy_protocol: None,
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            min_version: TlsVersion::Tls12,
            names: Vec::new(),
            certificate: Vec::new(),
            acme: Acme::default(),
        }
    }
}

impl Default for Relay {
    fn default() -> Self {
        let ports = PortRange::new(49_152, 65_535).expect("the dynamic ports are a range");
        Self { addresses: Vec::new(), external: Vec::new(), ports }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            secrets: Vec::new(),
            secret_files: Vec::new(),
            separator: ':',
            max_ttl: Limit::Unlimited,
            expiry: ExpiryRule::Strict,
            user: Vec::new(),
            webhook: AuthWebhook::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            allocations: Limit::Unlimited,
            allocations_per_user: Limit::At(Count(8192)),
            allocations_per_ip: Limit::At(Count(8192)),
            permissions_per_allocation: Count(1024),
            channels_per_allocation: Count(4096),
            connections_per_allocation: CountOrNone(64),
            max_lifetime: Seconds(3600),
            bandwidth: Limit::Unlimited,
            bandwidth_per_allocation: Limit::Unlimited,
            challenge_rate: Limit::At(PerSecond(100)),
            challenge_burst: Count(1000),
            binding_rate: Limit::At(PerSecond(1000)),
            binding_burst: Count(5000),
            connections: Limit::At(Count(20_000)),
            connections_per_ip: Limit::At(Count(8192)),
            handshake_timeout: Seconds(10),
            first_request_timeout: Seconds(30),
            idle_timeout: Seconds(600),
            send_queue: Bytes(256 << 10),
        }
    }
}

impl Default for Peers {
    fn default() -> Self {
        let ports = PortRange::new(1, u16::MAX).expect("all ports are a range");
        Self { allow: Vec::new(), deny: Vec::new(), ports }
    }
}

impl Default for Turn {
    fn default() -> Self {
        Self { channel_numbers: ChannelNumbers::Rfc8656 }
    }
}

impl Default for NatDiscovery {
    fn default() -> Self {
        Self { addresses: Vec::new(), alternate_port: Port(3479), classic: false }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Auto }
    }
}
