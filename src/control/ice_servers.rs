//! The JSON that a browser's `RTCPeerConnection` takes.

use serde::Serialize;
use std::{fmt, net::SocketAddr};

/// One entry of the list: URLs, and the credential that is good for them if they need one.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct IceServer<'a> {
    urls: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<&'a str>,
}

impl<'a> IceServer<'a> {
    /// `stun:` URLs, which everybody may use.
    pub fn stun(urls: &'a [String]) -> Self {
        Self { urls, username: None, credential: None }
    }

    /// `turn:` URLs. This is where the password is shown.
    pub fn turn(urls: &'a [String], username: &'a str, credential: &'a str) -> Self {
        Self { urls, username: Some(username), credential: Some(credential) }
    }
}

/// The whole object.
pub fn configuration(servers: &[IceServer<'_>]) -> impl Serialize {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Configuration<'a> {
        ice_servers: &'a [IceServer<'a>],
    }
    Configuration { ice_servers: servers }
}

/// One credential and the URLs it is good for, shown as `{"iceServers":[…]}`.
#[derive(Clone, Debug)]
pub struct IceServers<'a> {
    /// `turn:` URLs.
    pub urls: &'a [String],
    /// The user name.
    pub username: &'a str,
    /// Its password.
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
        let server = IceServer::turn(self.urls, self.username, self.credential);
        let text = serde_json::to_string(&configuration(&[server])).map_err(|_| fmt::Error)?;
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
