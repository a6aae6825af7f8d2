//! Why there is no certificate, in words an operator can act on.

use instant_acme::{Error, Problem};
use std::{error::Error as _, io};

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// What was being done, as in "cannot STEP".
    pub(super) step: &'static str,
    /// What the CA, the system or a library said.
    pub(super) reason: String,
    /// What can be done about it.
    pub(super) advice: Option<String>,
    /// What the back-off and the account depend on.
    pub(super) kind: Kind,
}

/// Failures that are not only waited out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The CA does not know our account, or no longer wants it.
    NoAccount,
    /// The CA says that there were too many requests.
    RateLimited,
    /// The CA has not heard of it: the network is down, or something on this host is in the way.
    NotReached,
    /// All others.
    Other,
}

impl Failure {
    /// A failure on this side.
    pub(super) fn here(step: &'static str, reason: impl Into<String>) -> Self {
        Self { step, reason: reason.into(), advice: None, kind: Kind::Other }
    }

    /// A file that cannot be read or written.
    pub(super) fn file(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| {
            Self::here(step, error.to_string())
                .advise("look at the state directory: its permissions, its disk")
        }
    }

    /// A failure of talking to the CA, or what it answered.
    pub(super) fn ca(step: &'static str) -> impl FnOnce(Error) -> Self {
        move |error| {
            if let Error::Api(problem) = &error {
                return Self::problem(step, problem);
            }
            let reached = !matches!(error, Error::Http(_) | Error::Hyper(_) | Error::Other(_));
            let kind = if reached { Kind::Other } else { Kind::NotReached };
            let failure = Self { kind, ..Self::here(step, with_causes(&error)) };
            match failure.reason.contains("UnknownIssuer") {
                true => failure.advise(
                    "this host does not trust the CA's own server: install the package ca-certificates, or for a private \
                     CA set tls.acme.ca_file",
                ),
                false => failure,
            }
        }
    }

    /// What the CA answered instead of what was asked for.
    pub(super) fn problem(step: &'static str, problem: &Problem) -> Self {
        let (kind, advice) = match short_type(problem) {
            "accountDoesNotExist" => (Kind::NoAccount, None),
            "rateLimited" => (Kind::RateLimited, None),
            "externalAccountRequired" => (
                Kind::Other,
                Some(
                    "this CA wants to know whose the account is; set eab_kid and eab_hmac_key in [tls.acme]",
                ),
            ),
            "rejectedIdentifier" => {
                (Kind::Other, Some("this CA does not certify that name; take it out of tls.acme.names"))
            }
            "caa" => (Kind::Other, Some("a CAA record in the DNS of the name must allow this CA")),
            "invalidContact" | "unsupportedContact" => (Kind::Other, Some("see tls.acme.contact")),
            "userActionRequired" => (Kind::Other, Some("the CA wants its new terms of service agreed to")),
            _ => (Kind::Other, None),
        };
        Self { step, reason: in_words(problem), advice: advice.map(str::to_owned), kind }
    }

    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// A problem document (RFC 7807) as one line: what the CA says, and by what name RFC 8555 §6.7 knows it.
pub(super) fn in_words(problem: &Problem) -> String {
    let kind = short_type(problem);
    let mut text = problem.detail.clone().unwrap_or_else(|| "the CA gives no reason".to_owned());
    if !kind.is_empty() {
        text.push_str(&format!(" ({kind})"));
    }
    for part in &problem.subproblems {
        text.push_str(&format!("; {}", part.to_string().trim_start_matches(": ")));
    }
    text
}

fn short_type(problem: &Problem) -> &str {
    let full = problem.r#type.as_deref().unwrap_or_default();
    full.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(full)
}

/// The HTTP library says "client error (Connect)", and only the causes say that the connection was refused.
fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.ends_with(&said) {
            text.push_str(&format!(": {said}"));
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(json: &str) -> Problem {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_problem_is_told_by_what_the_ca_says() {
        let rejected = problem(
            r#"{"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "Refused", "subproblems":
                [{"type": "urn:x", "detail": "Not this one", "identifier": {"type": "dns", "value": "a.example"}}]}"#,
        );
        let failure = Failure::problem("order", &rejected);
        assert_eq!(failure.reason, "Refused (rejectedIdentifier); for \"a.example\": Not this one (urn:x)");
        assert!(failure.advice.unwrap().contains("take it out of tls.acme.names"));
        assert_eq!(in_words(&problem("{}")), "the CA gives no reason");
    }

    #[test]
    fn what_the_account_and_the_back_off_depend_on_is_told_apart() {
        let kind = |name: &str| {
            let json = format!(r#"{{"type": "urn:ietf:params:acme:error:{name}", "detail": "x"}}"#);
            Failure::ca("order")(Error::Api(problem(&json))).kind
        };
        assert_eq!(kind("accountDoesNotExist"), Kind::NoAccount);
        assert_eq!(kind("rateLimited"), Kind::RateLimited);
        assert_eq!(kind("unauthorized"), Kind::Other);
        assert_eq!(Failure::ca("order")(Error::Str("x")).kind, Kind::Other);
    }

    #[test]
    fn causes_are_told_once() {
        let inner = io::Error::new(io::ErrorKind::ConnectionRefused, "refused");
        let failure = Failure::ca("reach the CA")(Error::Other(Box::new(inner)));
        assert_eq!(failure.reason, "refused");
        assert_eq!((failure.advice, failure.kind), (None, Kind::NotReached));
    }
}
