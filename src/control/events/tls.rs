//! Why TLS with a client failed, in words that help.

use std::borrow::Cow;

use rustls::{AlertDescription, Error, InvalidMessage, PeerIncompatible};

use crate::net::tls::{Foreign, TlsFailure};

/// A failure that outlives its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The alert's name (RFC 8446 §6), or what stands for it. Folds are told apart by it.
    pub(super) alert: &'static str,
    /// What it means.
    pub(super) reason: Cow<'static, str>,
    /// Whether an operator may have to act; the rest is what anybody sends to any port of the Internet.
    pub(super) matters: bool,
}

impl Trouble {
    pub(super) fn of(failure: TlsFailure<'_>) -> Self {
        match failure {
            TlsFailure::Protocol(error) => Self::of_error(error),
            TlsFailure::NotTls(foreign) => Self::of_foreign(foreign),
            TlsFailure::TimedOut => {
                noise("timeout", "the client did not finish the handshake within limits.handshake_timeout")
            }
            TlsFailure::HungUp => noise(
                "hang_up",
                "the client closed the connection during the handshake, as some do that do not like the certificate",
            ),
        }
    }

    /// What comes to a TLS port without TLS. A load balancer that is not configured as one keeps all its clients out.
    fn of_foreign(foreign: Foreign) -> Self {
        match foreign {
            Foreign::Stun => noise(
                "not_tls",
                "the first bytes are STUN without TLS: the client uses turn: for a port that is for turns:, or for \
                 transport = \"auto\"",
            ),
            Foreign::Http => noise("not_tls", "the first bytes are HTTP without TLS"),
            Foreign::Proxy => matters(
                "not_tls",
                "the first bytes are a PROXY protocol header, from an address that is not in proxy_protocol_from",
            ),
            Foreign::Unknown => noise("not_tls", "the first bytes are not TLS"),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open, and the rest is one case")]
    fn of_error(error: &Error) -> Self {
        match error {
            Error::AlertReceived(alert) => Self::of_alert(*alert),
            Error::PeerIncompatible(what) => Self::of_incompatibility(what),
            Error::NoApplicationProtocol => matters(
                "no_application_protocol",
                "the client offers only protocols that are not served here (ALPN)",
            ),
            Error::General(what) if what.contains("no server certificate chain resolved") => {
                matters("unrecognized_name", "there is no certificate to show to this client")
            }
            Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion) => {
                noise("protocol_version", "the client speaks an age-old version of TLS")
            }
            Error::InvalidMessage(_) | Error::PeerMisbehaved(_) | Error::PeerSentOversizedRecord => {
                noise("decode_error", format!("the client breaks the rules of TLS: {error}"))
            }
            Error::DecryptError => noise("bad_record_mac", "a record from the client was damaged on its way"),
            other => noise("internal_error", other.to_string()),
        }
    }

    /// What the client said before it went.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open, and the rest is one case")]
    fn of_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::UnknownCA => matters(
                "unknown_ca",
                "the client does not trust our certificate: it does not know its issuer, or an intermediate is missing in \
                 the chain",
            ),
            AlertDescription::BadCertificate => matters(
                "bad_certificate",
                "the client refuses our certificate; most often it does not have the name that the client uses",
            ),
            AlertDescription::CertificateUnknown => matters(
                "certificate_unknown",
                "the client refuses our certificate: it may not trust the issuer, or not find the name that it uses",
            ),
            AlertDescription::DecryptError => matters(
                "decrypt_error",
                "the client finds a signature wrong: a certificate in the chain may be from an issuer of the same name with \
                 another key",
            ),
            AlertDescription::CertificateExpired => matters(
                "certificate_expired",
                "the client finds our certificate expired or not yet valid; its clock may be wrong",
            ),
            AlertDescription::CertificateRevoked => {
                matters("certificate_revoked", "the client finds our certificate revoked")
            }
            AlertDescription::UnsupportedCertificate => {
                matters("unsupported_certificate", "the client cannot use a certificate of this kind")
            }
            AlertDescription::HandshakeFailure => {
                matters("handshake_failure", "the client found nothing in what we offer that it can use")
            }
            AlertDescription::ProtocolVersion => {
                matters("protocol_version", "the client does not speak the version of TLS that was chosen")
            }
            AlertDescription::InsufficientSecurity => {
                matters("insufficient_security", "the client wants stronger cryptography than we offer")
            }
            AlertDescription::NoApplicationProtocol => matters(
                "no_application_protocol",
                "the client does not want the protocol that was chosen (ALPN)",
            ),
            AlertDescription::UserCanceled => noise("user_canceled", "the client broke off the handshake"),
            other => noise("alert", format!("the client broke off with the alert {other:?}")),
        }
    }

    /// What we found missing in what the client offers.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open, and the rest is one case")]
    fn of_incompatibility(what: &PeerIncompatible) -> Self {
        match what {
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::ServerDoesNotSupportTls12Or13 => matters(
                "protocol_version",
                "the client offers no version of TLS that is served here: 1.3 and, with tls.min_version = \"1.2\", 1.2",
            ),
            // Clients of TLS 1.2 say which signatures they know (RFC 5246 §7.4.1.4.1); who does not is older.
            PeerIncompatible::SignatureAlgorithmsExtensionRequired => matters(
                "handshake_failure",
                "the client offers only TLS 1.1 or older, which is broken (RFC 8996)",
            ),
            PeerIncompatible::NoCipherSuitesInCommon
            | PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NoSignatureSchemesInCommon
            | PeerIncompatible::NoEcPointFormatsInCommon => matters(
                "handshake_failure",
                format!(
                    "the client and we have no cryptography in common for the kind of key we have ({what:?})"
                ),
            ),
            other => matters("handshake_failure", format!("the client lacks what we need: {other:?}")),
        }
    }
}

fn matters(alert: &'static str, reason: impl Into<Cow<'static, str>>) -> Trouble {
    Trouble { alert, reason: reason.into(), matters: true }
}

fn noise(alert: &'static str, reason: impl Into<Cow<'static, str>>) -> Trouble {
    Trouble { alert, reason: reason.into(), matters: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_have_the_name_of_their_alert_and_words_that_help() {
        let of = |error: Error| Trouble::of(TlsFailure::Protocol(&error));
        let cases = [
            (
                of(Error::AlertReceived(AlertDescription::UnknownCA)),
                "unknown_ca",
                "does not trust our certificate",
                true,
            ),
            (
                of(Error::AlertReceived(AlertDescription::RecordOverflow)),
                "alert",
                "the alert RecordOverflow",
                false,
            ),
            (of(PeerIncompatible::Tls12NotOffered.into()), "protocol_version", "no version of TLS", true),
            (of(PeerIncompatible::NoCipherSuitesInCommon.into()), "handshake_failure", "in common", true),
            (Trouble::of(TlsFailure::NotTls(Foreign::Http)), "not_tls", "HTTP without TLS", false),
            (of(Error::DecryptError), "bad_record_mac", "damaged", false),
            (Trouble::of(TlsFailure::TimedOut), "timeout", "limits.handshake_timeout", false),
            (Trouble::of(TlsFailure::HungUp), "hang_up", "closed the connection", false),
        ];
        for (trouble, alert, words, matters) in cases {
            assert_eq!((trouble.alert, trouble.matters), (alert, matters));
            assert!(trouble.reason.contains(words), "{trouble:?}");
        }
    }
}
