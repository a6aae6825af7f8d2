//! The JSON that a browser's `RTCPeerConnection` takes.

use serde::Serialize;
use std::{fmt, net::SocketAddr};

/// One credential and the URLs it is good for, shown as `{"iceServers":[…]}`.
#[derive(Clone, Debug)]
pub struct IceServers<'a> {
    /// `turn:` URLs.
    pub urls: &'a [String],
    /// The user name.
    pub username: &'a str,
    /// Its password. This is the one place that shows it.
    pub credential: &'a str,
}

/// The URL of a listener, for "udp" or "tcp" (RFC 7065).
pub fn turn_url(address: SocketAddr, transport: &str) -> String {
    format!("turn:{address}?transport={transport}")
}

/// The URL of a TLS listener at `host:port`.
pub fn turns_url(host: &str) -> String {
    format!("turns:{host}?transport=tcp")
}

impl fmt::Display for IceServers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Configuration<'a> {
            ice_servers: [Server<'a>; 1],
        }
        #[derive(Serialize)]
        struct Server<'a> {
            urls: &'a [String],
            username: &'a str,
            credential: &'a str,
        }
        let server = Server { urls: self.urls, username: self.username, credential: self.credential };
        let text = serde_json::to_string(&Configuration { ice_servers: [server] }).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_the_shape_browsers_take() {
        let urls =
            ["192.0.2.1:3478", "[2001:db8::1]:3478"].map(|address| turn_url(address.parse().unwrap(), "udp"));
        let servers = IceServers { urls: &urls, username: "1:a\"b", credential: "x+/=" };
        assert_eq!(
            servers.to_string(),
            r#"{"iceServers":[{"urls":["turn:192.0.2.1:3478?transport=udp","turn:[2001:db8::1]:3478?transport=udp"],"username":"1:a\"b","credential":"x+/="}]}"#
        );
    }
}
