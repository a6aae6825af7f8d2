//! Settings that are one of a few words.

use super::{nearest::nearest, units::Invalid};
use std::{fmt, num::NonZeroU16, path::PathBuf, str::FromStr};

/// What carries a listener's traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Plain TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// Plain TCP and TLS on one port, told apart by the first byte of a connection.
    Auto,
}

impl Transport {
    /// Whether its clients have connections.
    pub fn is_stream(self) -> bool {
        self != Self::Udp
    }

    /// Whether its clients may have to see a certificate.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Auto)
    }
}

/// The oldest version of TLS that clients may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// Whether, and in which version of the PROXY protocol, a web server is told who the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// It is not.
    Off,
    /// As a line of text.
    V1,
    /// In binary.
    V2,
}

/// When a time-limited credential has to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryRule {
    /// At every request: what has expired can neither allocate nor refresh, bind or permit.
    Strict,
    /// At Allocate only, for calls that outlive their credential.
    AtAllocation,
}

/// What holds while nobody answers who is asked about users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenDown {
    /// Nobody can log in.
    Refuse,
    /// The server's own secrets and users decide alone.
    Local,
}

/// How an ACME CA is shown that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// By a handshake on port 443 (RFC 8737).
    TlsAlpn01,
    /// By a file on port 80 (RFC 8555 §8.3).
    Http01,
}

/// Which numbers a client may bind as channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelNumbers {
    /// 0x4000 to 0x4FFF (RFC 8656 §12).
    Rfc8656,
    /// 0x4000 to 0x7FFF (RFC 5766 §11), for clients from before RFC 8656.
    Rfc5766,
}

/// From which level on something is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// The server cannot go on.
    Error,
    /// An operator should act.
    Warn,
    /// Life cycle of the server and of allocations.
    Info,
    /// Single requests.
    Debug,
    /// Single packets.
    Trace,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Number of worker threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One per core that this process may use (the CPU quota of a container counts).
    Auto,
    /// This many.
    Exactly(NonZeroU16),
}

/// Where secrets are kept that the server makes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateDir {
    /// `$STATE_DIRECTORY`, or where the system keeps such things for this user (`control::state`).
    Auto,
    /// This directory.
    At(PathBuf),
}

/// The words of a choice, in the order they are offered.
type Words<T> = &'static [(&'static str, T)];

const TRANSPORTS: Words<Transport> =
    &[("udp", Transport::Udp), ("tcp", Transport::Tcp), ("tls", Transport::Tls), ("auto", Transport::Auto)];
const TLS_VERSIONS: Words<TlsVersion> = &[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
const PROXY_PROTOCOLS: Words<ProxyProtocol> =
    &[("off", ProxyProtocol::Off), ("v1", ProxyProtocol::V1), ("v2", ProxyProtocol::V2)];
const EXPIRY_RULES: Words<ExpiryRule> =
    &[("strict", ExpiryRule::Strict), ("at-allocation", ExpiryRule::AtAllocation)];
const WHEN_DOWN: Words<WhenDown> = &[("refuse", WhenDown::Refuse), ("local", WhenDown::Local)];
const ACME_CHALLENGES: Words<AcmeChallenge> =
    &[("tls-alpn-01", AcmeChallenge::TlsAlpn01), ("http-01", AcmeChallenge::Http01)];
const CHANNEL_NUMBERS: Words<ChannelNumbers> =
    &[("rfc8656", ChannelNumbers::Rfc8656), ("rfc5766", ChannelNumbers::Rfc5766)];
const LOG_LEVELS: Words<LogLevel> = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];
const LOG_FORMATS: Words<LogFormat> =
    &[("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];

impl FromStr for Transport {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "dtls" => Err(Invalid(
                "\"dtls\" listeners are not available: browsers use TLS, so \"tls\" serves them".to_owned(),
            )),
            _ => choose(text, TRANSPORTS),
        }
    }
}

impl FromStr for TlsVersion {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "1.0" | "1.1" => {
                Err(Invalid(format!("TLS {text} is broken (RFC 8996): expected \"1.2\" or \"1.3\"")))
            }
            _ => choose(text, TLS_VERSIONS),
        }
    }
}

impl FromStr for ProxyProtocol {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        choose(text, PROXY_PROTOCOLS)
    }
}

impl FromStr for ExpiryRule {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        choose(text, EXPIRY_RULES)
    }
}

impl FromStr for WhenDown {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        choose(text, WHEN_DOWN)
    }
}

impl FromStr for AcmeChallenge {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        choose(text, ACME_CHALLENGES)
    }
}

impl FromStr for ChannelNumbers {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        choose(text, CHANNEL_NUMBERS)
    }
}

impl FromStr for LogLevel {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        choose(text, LOG_LEVELS)
    }
}

impl FromStr for LogFormat {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        choose(text, LOG_FORMATS)
    }
}

impl FromStr for Workers {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let number = text.parse::<NonZeroU16>().ok().filter(|number| number.get() <= MAX_WORKERS);
        let expected =
            || Invalid(format!("{text:?} workers: expected a number from 1 to {MAX_WORKERS}, or \"auto\""));
        number.map(Self::Exactly).ok_or_else(expected)
    }
}

impl FromStr for StateDir {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "auto" => Ok(Self::Auto),
            "" => Err(Invalid("\"\" is not a directory: expected a path, or \"auto\"".to_owned())),
            path => Ok(Self::At(path.into())),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word(*self, TRANSPORTS))
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word(*self, TLS_VERSIONS))
    }
}

impl fmt::Display for ProxyProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word(*self, PROXY_PROTOCOLS))
    }
}

impl fmt::Display for ExpiryRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word(*self, EXPIRY_RULES))
    }
}

impl fmt::Display for WhenDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word(*self, WHEN_DOWN))
    }
}

impl fmt::Display for AcmeChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word(*self, ACME_CHALLENGES))
    }
}

impl fmt::Display for ChannelNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word(*self, CHANNEL_NUMBERS))
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word(*self, LOG_LEVELS))
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word(*self, LOG_FORMATS))
    }
}

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Exactly(number) => number.fmt(f),
        }
    }
}

impl fmt::Display for StateDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::At(path) => path.display().fmt(f),
        }
    }
}

/// More would only be a slip of the keyboard: no host of today has as many cores.
const MAX_WORKERS: u16 = 1024;

fn choose<T: Copy>(text: &str, words: Words<T>) -> Result<T, Invalid> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let known: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
    let hint = nearest(text, words.iter().map(|(word, _)| *word));
    let hint = hint.map(|word| format!("; did you mean {word:?}?")).unwrap_or_default();
    let expected = match known.as_slice() {
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
        [] => String::new(),
    };
    Err(Invalid(format!("{text:?} is not known here: expected {expected}{hint}")))
}

fn word<T: Copy + PartialEq>(value: T, words: Words<T>) -> &'static str {
    words.iter().find(|(_, known)| *known == value).map(|(word, _)| *word).expect("each choice has its word")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_and_shown() {
        fn check<T: FromStr<Err = Invalid> + fmt::Display>(words: &[&str]) {
            for text in words {
                assert_eq!(text.parse::<T>().map(|value| value.to_string()), Ok((*text).to_owned()));
            }
        }
        check::<Transport>(&["udp", "tcp", "tls", "auto"]);
        check::<TlsVersion>(&["1.2", "1.3"]);
        check::<ProxyProtocol>(&["off", "v1", "v2"]);
        check::<ExpiryRule>(&["strict", "at-allocation"]);
        check::<WhenDown>(&["refuse", "local"]);
        check::<AcmeChallenge>(&["tls-alpn-01", "http-01"]);
        check::<ChannelNumbers>(&["rfc8656", "rfc5766"]);
        check::<LogLevel>(&["error", "warn", "info", "debug", "trace"]);
        check::<LogFormat>(&["auto", "text", "json"]);
        check::<Workers>(&["auto", "1", "1024"]);
        check::<StateDir>(&["auto", "/var/lib/turnbridge"]);
    }

    #[test]
    fn an_unknown_word_is_refused_with_the_known_ones() {
        fn refused<T: FromStr<Err = Invalid> + fmt::Debug>(text: &str) -> String {
            text.parse::<T>().unwrap_err().0
        }
        let cases = [
            (
                refused::<ExpiryRule>("strickt"),
                r#""strickt" is not known here: expected "strict" or "at-allocation"; did you mean "strict"?"#,
            ),
            (refused::<LogFormat>("yaml"), r#""yaml" is not known here: expected "auto", "text" or "json""#),
            (
                refused::<Transport>("quic"),
                r#""quic" is not known here: expected "udp", "tcp", "tls" or "auto""#,
            ),
            (
                refused::<Transport>("dtls"),
                r#""dtls" listeners are not available: browsers use TLS, so "tls" serves them"#,
            ),
            (refused::<TlsVersion>("1.0"), r#"TLS 1.0 is broken (RFC 8996): expected "1.2" or "1.3""#),
            (refused::<Workers>("0"), r#""0" workers: expected a number from 1 to 1024, or "auto""#),
            (refused::<Workers>("1025"), r#""1025" workers: expected a number from 1 to 1024, or "auto""#),
            (refused::<StateDir>(""), r#""" is not a directory: expected a path, or "auto""#),
        ];
        for (message, expected) in cases {
            assert_eq!(message, expected);
        }
    }
}
