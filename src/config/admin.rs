//! Where the admin server listens and what its keys are for, as people write it.

use super::{address::ListenAddress, units::Invalid};
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Where the admin server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// A Unix socket in the runtime directory, or else in the state directory.
    Auto,
    /// A Unix socket at this path.
    Unix(PathBuf),
    /// A TCP port.
    Tcp(ListenAddress),
}

impl AdminAddress {
    /// Whether others than this host could reach it.
    pub fn is_public(&self) -> bool {
        match self {
            Self::Auto | Self::Unix(_) => false,
            Self::Tcp(ListenAddress::One(address)) => !address.ip().is_loopback(),
            Self::Tcp(_) => true,
        }
    }
}

impl FromStr for AdminAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let expected = "expected \"auto\", \"unix:/path/of/a/socket\", or an address like \"127.0.0.1:9640\"";
        if let Some(path) = text.strip_prefix("unix:") {
            // A relative one would be another socket wherever the server is started.
            return match Path::new(path).is_absolute() {
                true => Ok(Self::Unix(path.into())),
                false => Err(Invalid(format!("{text:?} is not an absolute path: {expected}"))),
            };
        }
        text.parse()
            .map(Self::Tcp)
            .map_err(|_| Invalid(format!("{text:?} is no address of the admin server: {expected}")))
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

/// What a key of the admin server may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// To make credentials.
    Mint,
    /// To see sessions, configuration and metrics.
    Read,
    /// To end sessions, revoke credentials, drain, reload.
    Control,
}

impl Scope {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mint => "mint",
            Self::Read => "read",
            Self::Control => "control",
        }
    }
}

impl FromStr for Scope {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = [Self::Mint, Self::Read, Self::Control].into_iter().find(|scope| scope.name() == text);
        found.ok_or_else(|| {
            Invalid(format!("unknown scope {text:?}: expected \"mint\", \"read\" or \"control\""))
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_sockets_of_both_kinds_and_know_who_reaches_them() {
        let cases = [
            ("auto", false),
            ("unix:/run/turnbridge/admin.sock", false),
            ("127.0.0.1:9640", false),
            ("[::1]:9640", false),
            ("192.0.2.1:9640", true),
            (":9640", true),
            ("0.0.0.0:9640", true),
        ];
        for (text, is_public) in cases {
            let address: AdminAddress = text.parse().unwrap();
            assert_eq!((address.to_string().as_str(), address.is_public()), (text, is_public));
        }
        for bad in ["", "9640", "unix:admin.sock", "unix:", "localhost:9640", "http://127.0.0.1:9640", "off"]
        {
            let Invalid(message) = bad.parse::<AdminAddress>().unwrap_err();
            assert!(message.contains("expected \"auto\", \"unix:/path"), "{message}");
        }
    }

    #[test]
    fn a_scope_is_one_of_three_words() {
        for word in ["mint", "read", "control"] {
            assert_eq!(word.parse::<Scope>().unwrap().to_string(), word);
        }
        assert!(
            "admin".parse::<Scope>().unwrap_err().0.contains("expected \"mint\", \"read\" or \"control\"")
        );
    }
}
