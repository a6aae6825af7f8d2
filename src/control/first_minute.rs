//! What somebody is told who has just started the server without a configuration.

use super::{
    advert::{Advert, Listening},
    ice_servers::IceServers,
    utc::Utc,
};
use crate::{
    auth::{Secret, rest::RestSecret},
    config::Config,
};
use std::{fmt::Write, net::SocketAddr, path::Path};

/// How long the credential that is printed at start is good for.
pub const CREDENTIAL_TTL_S: u64 = 86_400;

/// What to print, for people and for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstMinute {
    /// For standard error, when that is read by people.
    pub text: String,
    /// For standard output: the `iceServers` JSON, on one line.
    pub ice_servers: String,
}

/// Says where the server is and how to use it, with a credential made from the server's own `secret`. `tls_name` is by
/// which name TLS clients know it.
pub fn first_minute(
    config: &Config,
    advert: &Advert,
    tls_name: Option<&str>,
    secret: (&Path, &Secret),
    unix_now: u64,
) -> FirstMinute {
    let expiry = unix_now + CREDENTIAL_TTL_S;
    let (username, password) = RestSecret::new(secret.1).mint("first-minute", expiry, config.auth.separator);
    let urls = advert.client_urls(&config.relay.external, tls_name);
    let ice_servers =
        IceServers { urls: &urls, username: &username, credential: password.expose() }.to_string();
    FirstMinute { text: describe(config, advert, secret.0, expiry), ice_servers }
}

fn describe(config: &Config, advert: &Advert, secret_path: &Path, expiry: u64) -> String {
    let mut text = format!("Turnbridge {} serves STUN and TURN.\n", env!("CARGO_PKG_VERSION"));
    let listeners = by_address(&advert.listeners);
    let relays = advert.relays.iter().map(|relay| match relay.external == relay.bind {
        true => relay.bind.to_string(),
        false => format!("{} (behind {})", relay.bind, relay.external),
    });
    let relays: Vec<String> = relays.collect();
    let until = Utc::new(expiry).map(|expiry| format!(" (until {expiry})")).unwrap_or_default();
    let lines = [
        ("listens on", listeners.join(", ")),
        ("relays from", format!("{}, ports {}", relays.join(", "), config.relay.ports)),
        ("secret", secret_path.display().to_string()),
    ];
    for (name, value) in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<12}{value}");
    }
    let _ = write!(text, "For RTCPeerConnection, with a credential that is good for a day{until}:");
    text
}

/// "127.0.0.1:3478 (udp, tcp)": each address once.
fn by_address(listeners: &[Listening]) -> Vec<String> {
    let mut addresses: Vec<(SocketAddr, String)> = Vec::new();
    for Listening { address, transport, .. } in listeners {
        match addresses.iter_mut().find(|(known, _)| known == address) {
            Some((_, transports)) => transports.push_str(&format!(", {transport}")),
            None => addresses.push((*address, transport.to_string())),
        }
    }
    addresses.iter().map(|(address, transports)| format!("{address} ({transports})")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Inputs, load};

    #[test]
    fn the_text_says_where_and_the_json_logs_in() {
        let config = load(Inputs::default()).unwrap().config;
        let host = ["127.0.0.1", "192.0.2.5"].map(|ip| ip.parse().unwrap());
        let advert = Advert::of(&config, &host);
        let secret = Secret::new("north-north-north");
        let told = first_minute(&config, &advert, None, (Path::new("/state/secret"), &secret), 1_760_000_000);
        assert_eq!(
            told.text,
            format!(
                "Turnbridge {} serves STUN and TURN.
  listens on  127.0.0.1:3478 (udp, tcp), 192.0.2.5:3478 (udp, tcp)
  relays from 192.0.2.5, ports 49152-65535
  secret      /state/secret
For RTCPeerConnection, with a credential that is good for a day (until 2025-10-10T08:53:20Z):",
                env!("CARGO_PKG_VERSION")
            )
        );
        let json: serde_json::Value = serde_json::from_str(&told.ice_servers).unwrap();
        let server = &json["iceServers"][0];
        assert_eq!(server["urls"][0], "turn:192.0.2.5:3478?transport=udp");
        assert_eq!(server["urls"][1], "turn:192.0.2.5:3478?transport=tcp");
        assert_eq!(server["username"], "1760086400:first-minute");
        let password = RestSecret::new(&secret).password("1760086400:first-minute");
        assert_eq!(server["credential"], password.expose());
        assert!(!told.text.contains(password.expose()) && !told.text.contains("north"));
    }
}
