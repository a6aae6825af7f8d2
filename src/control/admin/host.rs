//! By which name a server on loopback lets itself be asked.
//!
//! A page in a browser on this host can give its own name the address 127.0.0.1 and so speak to us as if we were its
//! own server (DNS rebinding). It cannot choose the name that the browser then sends.

use std::net::IpAddr;

/// Whether `host`, as it stands in the request, is a name of this server: an address, localhost, or one of `names`.
pub(super) fn is_own(host: &str, names: &[String]) -> bool {
    let name = without_port(host);
    let inside = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    inside.unwrap_or(name).parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|own| own.eq_ignore_ascii_case(name))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        Some(_) | None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_somebody_else_has_chosen_is_not_ours() {
        let names = ["turn.example.org".to_owned()];
        for own in [
            "127.0.0.1",
            "127.0.0.1:9641",
            "[::1]:9641",
            "[::1]",
            "localhost",
            "LOCALHOST:9641",
            "turn.example.org",
            "Turn.Example.Org:443",
        ] {
            assert!(is_own(own, &names), "{own}");
        }
        for foreign in
            ["evil.example", "evil.example:9641", "127.0.0.1.evil.example", "localhost.evil.example", "", ":"]
        {
            assert!(!is_own(foreign, &names), "{foreign}");
        }
    }
}
