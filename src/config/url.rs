//! The address of a web server that this server talks to by itself.

use super::units::Invalid;
use http::Uri;
use std::{fmt, net::IpAddr, str::FromStr};

/// An `https://` URL, or an `http://` one to this host. Shown without its path, which others may have put a secret into.
#[derive(Clone, PartialEq, Eq)]
pub struct WebUrl(Uri);

impl WebUrl {
    /// The URL itself.
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    /// The same server with `path` behind the path.
    pub fn join(&self, path: &str) -> Result<Self, Invalid> {
        let (scheme, host) = (self.0.scheme_str().unwrap_or("https"), self.0.authority());
        let host = host.map_or("", |host| host.as_str());
        format!("{scheme}://{host}{}{path}", self.0.path().trim_end_matches('/')).parse()
    }
}

impl FromStr for WebUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // What was written is not repeated: a secret may be in it.
        let invalid = |message: &str| Err(Invalid(message.to_owned()));
        let parsed = text.parse::<Uri>().ok();
        let Some((uri, host)) = parsed.as_ref().and_then(|uri| Some((uri, uri.host()?))) else {
            return invalid("not a URL: expected one like \"https://app.example.org/turn\"");
        };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return invalid("a user name or password in the URL would be shown in many places; use a secret");
        }
        match uri.scheme_str() {
            Some("https") => Ok(Self(uri.clone())),
            Some("http") if is_this_host(host) => Ok(Self(uri.clone())),
            Some("http") => invalid(
                "without TLS everybody on the way can read and change it: expected https://, or http:// to this host \
                 (127.0.0.1, [::1] or localhost)",
            ),
            Some(_) | None => {
                invalid("not a URL of the web: expected one like \"https://app.example.org/turn\"")
            }
        }
    }
}

fn is_this_host(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or(host.eq_ignore_ascii_case("localhost"), |ip| ip.to_canonical().is_loopback())
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.authority().map_or("", |host| host.as_str());
        write!(f, "{}://{host}", self.0.scheme_str().unwrap_or("https"))
    }
}

impl fmt::Debug for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_may_be_secret_in_it() {
        let cases = [
            ("https://app.example.org/hook?token=hidden", "https://app.example.org"),
            ("https://app.example.org:8443", "https://app.example.org:8443"),
            ("http://127.0.0.1:8080/hidden", "http://127.0.0.1:8080"),
            ("http://[::1]:8080/hidden", "http://[::1]:8080"),
            ("http://localhost/", "http://localhost"),
        ];
        for (text, shown) in cases {
            let url: WebUrl = text.parse().unwrap();
            assert_eq!((url.to_string(), format!("{url:?}")), (shown.to_owned(), shown.to_owned()), "{text}");
            assert_eq!(url.uri(), &text.parse::<Uri>().unwrap());
        }
    }

    #[test]
    fn a_path_is_put_behind_the_one_there_is() {
        for (text, joined) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("https://otel.example.org/in/", "https://otel.example.org/in/v1/traces"),
        ] {
            assert_eq!(text.parse::<WebUrl>().unwrap().join("/v1/traces").unwrap().uri().to_string(), joined);
        }
    }

    #[test]
    fn what_could_be_overheard_or_is_no_url_is_refused() {
        for (text, expected) in [
            ("", "not a URL"),
            ("app.example.org/hook", "not a URL"),
            ("/hook", "not a URL"),
            ("ftp://app.example.org/hook", "not a URL of the web"),
            ("http://app.example.org/hook", "without TLS"),
            ("http://127.0.0.1.example.org/", "without TLS"),
            ("http://10.0.0.5/", "without TLS"),
            ("https://bob:hidden@app.example.org/", "a user name or password"),
        ] {
            let Invalid(message) = text.parse::<WebUrl>().unwrap_err();
            assert!(message.starts_with(expected) && !message.contains("hidden"), "{text}: {message}");
        }
    }
}
