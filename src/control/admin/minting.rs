//! Makes time-limited credentials for those who may have them.

use super::Office;
use super::caller::Caller;
use super::problem::Problem;
use crate::auth::{
    name,
    rest::{RestPassword, RestSecret},
};
use crate::control::utc::unix_now;
use axum::http::StatusCode;

/// A credential, and where it is good.
pub(super) struct Minted {
    pub(super) username: String,
    pub(super) password: RestPassword,
    /// For how long, in seconds.
    pub(super) ttl: u64,
    /// All URLs of this server.
    pub(super) urls: Vec<String>,
}

impl Office {
    /// Makes a credential for `user` (nobody in particular when that is empty). Whoever asks for a longer life than they
    /// may have, or than the server would accept, gets the longest there is: the answer says how long it is.
    pub(super) fn mint(&self, caller: &Caller, user: &str, ttl: Option<u64>) -> Result<Minted, Problem> {
        let live = self.plane.live();
        let config = &live.config;
        let Some(newest) = config.auth.secrets.first() else {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "this server has static users and no secret to make credentials with; see auth.secrets",
            ));
        };
        let bounds = [caller.max_ttl, config.auth.max_ttl, Some(LONGEST_TTL)];
        let longest = bounds.into_iter().flatten().min().unwrap_or(LONGEST_TTL);
        let ttl = ttl.unwrap_or(config.admin.default_ttl).min(longest);
        if ttl == 0 {
            return Err(Problem::unprocessable("`ttl` is a number of seconds from 1"));
        }
        let expiry = unix_now().saturating_add(ttl);
        let (username, password) = RestSecret::new(&newest.secret).mint(user, expiry, config.auth.separator);
        name::check_username(username.as_bytes())
            .map_err(|bad| Problem::unprocessable(format!("`username` makes no user name: {bad}")))?;
        if live.authenticator.has_revoked(&username, user) {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                format!("`{user}` is revoked; `turnbridge revoke --undo {user}` takes that back"),
            ));
        }
        tracing::debug!(by = caller.name(), user = username, ttl_s = ttl, "credential made");
        Ok(Minted { username, password, ttl, urls: self.plane.client_urls() })
    }
}

impl Minted {
    /// The URLs that browsers use: those to relay over, which need the credential, and those of STUN.
    ///
    /// Browsers never connect to port 53, and wait for it in vain.
    pub(super) fn for_browsers(&self) -> (Vec<String>, Vec<String>) {
        let usable = self.urls.iter().filter(|url| !has_port(url, "53"));
        let (mut stun, turn): (Vec<String>, Vec<String>) =
            usable.cloned().partition(|url| url.starts_with("stun"));
        if stun.is_empty() {
            let over_udp =
                turn.iter().filter_map(|url| url.strip_prefix("turn:")?.strip_suffix("?transport=udp"));
            stun = over_udp.map(|place| format!("stun:{place}")).collect();
        }
        (stun, turn)
    }
}

/// Ten years. Whoever needs more wants a static user.
const LONGEST_TTL: u64 = 10 * 365 * 86_400;

fn has_port(url: &str, port: &str) -> bool {
    let place = url.split('?').next().unwrap_or(url);
    place.rsplit_once(':').is_some_and(|(_, last)| last == port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Secret;

    #[test]
    fn browsers_get_no_port_53_and_stun_beside_turn_over_udp() {
        let minted = |urls: &[&str]| Minted {
            username: "1".to_owned(),
            password: RestSecret::new(&Secret::new("x")).password("1"),
            ttl: 1,
            urls: urls.iter().map(ToString::to_string).collect(),
        };
        let both = |urls: &[&str]| minted(urls).for_browsers();
        let udp = "turn:192.0.2.1:3478?transport=udp";
        let (stun, turn) = both(&[udp, "turn:192.0.2.1:53?transport=udp", "turns:h:443?transport=tcp"]);
        assert_eq!(stun, ["stun:192.0.2.1:3478"]);
        assert_eq!(turn, [udp, "turns:h:443?transport=tcp"]);
        let (stun, turn) = both(&["stun:h", "turn:[2001:db8::53]", "turn:h:53"]);
        assert_eq!((stun, turn), (vec!["stun:h".to_owned()], vec!["turn:[2001:db8::53]".to_owned()]));
    }
}
