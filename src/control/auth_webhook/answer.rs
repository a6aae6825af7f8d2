//! What a webhook may answer. `docs/auth-webhook.md` promises how it is read.
//!
//! Messages name the field that is wrong and never repeat what is in it: it may be a key in the wrong place.

use std::sync::Arc;

use ipnet::IpNet;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::auth::{Key, PasswordAlgorithm, Secret, name};
use crate::config::address::Cidr;
use crate::config::units::BitsPerSecond;
use crate::control::settings::bandwidth;
use crate::turn::{Grant, GrantedKeys, PeerTerms, Terms, Verdict};

/// An answer that was understood.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    pub(super) verdict: Verdict,
    /// How many seconds it may be remembered, if it says so.
    pub(super) ttl: Option<u64>,
    /// Whether it holds for the client's address alone.
    pub(super) by_address: bool,
    /// The last Unix second of it.
    pub(super) expires: Option<u64>,
}

/// Longer reasons would only fill the log.
const LONGEST_REASON: usize = 200;
/// More ranges than an answer to one question has any use for.
const MOST_RANGES: usize = 1000;

impl Decision {
    /// Reads an answer about `user`; the reason says what is wrong with it.
    pub(super) fn read(body: &[u8], user: &str, realm: &str) -> Result<Self, String> {
        // Only where it is no JSON, in lines and columns.
        let value = serde_json::from_slice(body).map_err(|error| format!("it is not JSON: {error}"))?;
        let Value::Object(fields) = value else { return Err("it is not a JSON object".to_owned()) };
        let mut fields = Fields { prefix: "", fields };
        // First of all, so that nothing of them stays behind if something else is wrong.
        let (password, key, key_sha256) =
            (fields.secret("password")?, fields.secret("key")?, fields.secret("key_sha256")?);
        let allow = fields.flag("allow")?.ok_or("there is no `allow`")?;
        let (ttl, by_address) = (fields.number("ttl")?, fields.flag("cache_by_address")?.unwrap_or(false));
        let expires = fields.number("expires")?;
        if !allow {
            let reason = fields.text("reason")?.unwrap_or_default();
            let verdict = Verdict::Refused { reason: readable(&reason).into() };
            return Ok(Self { verdict, ttl, by_address, expires });
        }
        let keys = keys(password, key, key_sha256, user, realm)?;
        let user_id = fields.text("user_id")?.filter(|id| !id.is_empty());
        if let Some(id) = &user_id {
            name::check_username(id.as_bytes()).map_err(|bad| format!("`user_id` is no name: {bad}"))?;
        }
        let terms = terms(&mut fields)?.map(Arc::new);
        let grant = Grant { keys, user_id: user_id.map(Into::into), expires, terms };
        Ok(Self { verdict: Verdict::Granted(grant), ttl, by_address, expires })
    }
}

/// A reason for the log: short, and without characters that could forge a line of it.
fn readable(reason: &str) -> String {
    let kept = reason.chars().filter(|char| !char.is_control()).take(LONGEST_REASON).collect::<String>();
    if kept.is_empty() { "the auth webhook gives no reason".to_owned() } else { kept }
}

fn keys(
    password: Option<Secret>,
    key: Option<Secret>,
    key_sha256: Option<Secret>,
    user: &str,
    realm: &str,
) -> Result<Option<GrantedKeys>, String> {
    if let Some(password) = password {
        if key.is_some() || key_sha256.is_some() {
            return Err("it has `password` and a key; one of them is enough".to_owned());
        }
        // As the client does it, before it makes its key (RFC 8489 §9.2.2).
        let prepared =
            name::opaque_string(password.expose()).map_err(|bad| format!("`password` is none: {bad}"))?;
        let prepared = Zeroizing::new(prepared.into_owned());
        let derive = |algorithm| Some(Key::derive(algorithm, user, realm, prepared.as_bytes()));
        return Ok(Some(GrantedKeys {
            md5: derive(PasswordAlgorithm::Md5),
            sha256: derive(PasswordAlgorithm::Sha256),
        }));
    }
    let read = |field: &str, algorithm: PasswordAlgorithm, text: Option<Secret>| match text {
        Some(text) => Key::from_hex(algorithm, text.expose())
            .map(Some)
            .ok_or_else(|| format!("`{field}` is not {} hexadecimal digits", 2 * algorithm.key_len())),
        None => Ok(None),
    };
    let md5 = read("key", PasswordAlgorithm::Md5, key)?;
    let sha256 = read("key_sha256", PasswordAlgorithm::Sha256, key_sha256)?;
    Ok((md5.is_some() || sha256.is_some()).then_some(GrantedKeys { md5, sha256 }))
}

fn terms(fields: &mut Fields) -> Result<Option<Terms>, String> {
    let mut terms = Terms::default();
    let mut is_any = false;
    if let Some(mut limits) = fields.object("limits")? {
        let allocations = limits.number("allocations")?.map(u32::try_from).transpose();
        terms.allocations = allocations.map_err(|_| "`limits.allocations` is too large")?;
        if let Some(text) = limits.text("bandwidth")? {
            let BitsPerSecond(bits) = text
                .parse()
                .map_err(|_| "`limits.bandwidth` is not a bandwidth like \"5 Mbit/s\"".to_owned())?;
            terms.bandwidth = Some(bandwidth(bits));
        }
        is_any |= terms.allocations.is_some() || terms.bandwidth.is_some();
    }
    if let Some(mut peers) = fields.object("peers")? {
        let (allow, deny) = (peers.ranges("allow")?, peers.ranges("deny")?);
        if !allow.is_empty() || !deny.is_empty() {
            terms.peers = Some(PeerTerms::new(&allow, &deny));
            is_any = true;
        }
    }
    Ok(is_any.then_some(terms))
}

/// An object, taken apart field by field. What is `null` is not there; what nobody asks for is ignored.
struct Fields {
    /// Where it is, with a dot.
    prefix: &'static str,
    fields: Map<String, Value>,
}

impl Fields {
    fn take(&mut self, field: &str) -> Option<Value> {
        self.fields.remove(field).filter(|value| !value.is_null())
    }

    fn wrong(&self, field: &str, expected: &str) -> String {
        format!("`{}{field}` is not {expected}", self.prefix)
    }

    fn flag(&mut self, field: &str) -> Result<Option<bool>, String> {
        let Some(value) = self.take(field) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.wrong(field, "true or false"))
    }

    fn number(&mut self, field: &str) -> Result<Option<u64>, String> {
        let Some(value) = self.take(field) else { return Ok(None) };
        value.as_u64().map(Some).ok_or_else(|| self.wrong(field, "a whole number"))
    }

    fn text(&mut self, field: &str) -> Result<Option<String>, String> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(field, "text")),
        }
    }

    /// Text that is wiped when it is not needed any more. None is an empty one.
    fn secret(&mut self, field: &str) -> Result<Option<Secret>, String> {
        let secret = self.text(field)?.map(Secret::new);
        match secret {
            Some(secret) if secret.expose().is_empty() => Err(self.wrong(field, "there: it is empty")),
            secret => Ok(secret),
        }
    }

    fn object(&mut self, field: &'static str) -> Result<Option<Self>, String> {
        let prefix = match field {
            "limits" => "limits.",
            _ => "peers.",
        };
        match self.take(field) {
            None => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(Self { prefix, fields })),
            Some(_) => Err(self.wrong(field, "an object")),
        }
    }

    fn ranges(&mut self, field: &str) -> Result<Vec<IpNet>, String> {
        let expected = "a list of ranges like \"10.0.0.0/8\"";
        let Some(value) = self.take(field) else { return Ok(Vec::new()) };
        let Value::Array(items) = value else { return Err(self.wrong(field, expected)) };
        if items.len() > MOST_RANGES {
            return Err(self.wrong(field, &format!("a list of up to {MOST_RANGES} ranges")));
        }
        let range = |item: &Value| item.as_str()?.parse::<Cidr>().ok().map(|cidr| cidr.0);
        let ranges: Option<Vec<IpNet>> = items.iter().map(range).collect();
        ranges.ok_or_else(|| self.wrong(field, expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str) -> Result<Decision, String> {
        Decision::read(answer.as_bytes(), "dave", "example.org")
    }

    fn grant(answer: &str) -> Grant {
        match read(answer).unwrap_or_else(|reason| panic!("{answer}: {reason}")).verdict {
            Verdict::Granted(grant) => grant,
            Verdict::Refused { reason } => panic!("{answer}: {reason}"),
        }
    }

    #[test]
    fn a_password_and_its_hashes_are_the_same_keys() {
        let derive = |algorithm| Key::derive(algorithm, "dave", "example.org", b"bowman");
        // Recomputed with `printf dave:example.org:bowman | md5sum`.
        let hashed = r#"{"allow":true,"key":"0b55330f3926a11dfaf3118ffabae937","key_sha256":null}"#;
        let cases = [(r#"{"allow":true,"password":"bowman"}"#, true), (hashed, false)];
        for (answer, has_sha256) in cases {
            let keys = grant(answer).keys.unwrap();
            assert_eq!(keys.md5, Some(derive(PasswordAlgorithm::Md5)), "{answer}");
            assert_eq!(keys.sha256, has_sha256.then(|| derive(PasswordAlgorithm::Sha256)), "{answer}");
        }
        assert!(grant(r#"{"allow":true}"#).keys.is_none(), "our own credentials judge");
    }

    #[test]
    fn terms_are_read_and_what_is_not_known_is_ignored() {
        let answer = r#"{"allow":true,"ttl":7,"cache_by_address":true,"expires":99,"user_id":"d","colour":"red",
            "limits":{"allocations":3,"bandwidth":"8 Mbit/s","x":1},"peers":{"allow":["10.0.0.0/8"],"deny":[]}}"#;
        let decision = read(answer).unwrap();
        assert_eq!((decision.ttl, decision.by_address, decision.expires), (Some(7), true, Some(99)));
        let granted = grant(answer);
        assert_eq!((granted.user_id.as_deref(), granted.expires), (Some("d"), Some(99)));
        let terms = granted.terms.unwrap();
        assert_eq!((terms.allocations, terms.bandwidth.unwrap().per_second), (Some(3), 1_000_000));
        assert!(terms.peers.is_some());
        let none = r#"{"allow":true,"limits":{},"peers":{"allow":null}}"#;
        assert!(grant(none).terms.is_none());
    }

    #[test]
    fn a_refusal_has_a_reason_that_is_fit_for_a_log() {
        let reason = |answer: &str| match read(answer).unwrap().verdict {
            Verdict::Refused { reason } => String::from(reason),
            Verdict::Granted(_) => panic!("{answer}"),
        };
        assert_eq!(reason(r#"{"allow":false,"reason":"not\npaid"}"#), "notpaid");
        assert_eq!(reason(r#"{"allow":false}"#), "the auth webhook gives no reason");
        let long = format!(r#"{{"allow":false,"reason":"{}"}}"#, "x".repeat(5000));
        assert_eq!(reason(&long).len(), LONGEST_REASON);
    }

    #[test]
    fn what_is_malformed_is_named_and_never_repeated() {
        let cases = [
            ("hunter2", "it is not JSON: expected value at line 1 column 1"),
            ("[\"hunter2\"]", "it is not a JSON object"),
            (r#"{"password":"hunter2"}"#, "there is no `allow`"),
            (r#"{"allow":"hunter2"}"#, "`allow` is not true or false"),
            (r#"{"allow":true,"password":["hunter2"]}"#, "`password` is not text"),
            (r#"{"allow":true,"password":"hunter2\u0000"}"#, "`password` is none: it contains"),
            (r#"{"allow":true,"password":""}"#, "`password` is not there: it is empty"),
            (r#"{"allow":true,"password":"hunter2","key":"00"}"#, "it has `password` and a key"),
            (r#"{"allow":true,"key":"hunter2"}"#, "`key` is not 32 hexadecimal digits"),
            (r#"{"allow":true,"key_sha256":"hunter2"}"#, "`key_sha256` is not 64 hexadecimal digits"),
            (r#"{"allow":true,"ttl":"hunter2"}"#, "`ttl` is not a whole number"),
            (r#"{"allow":true,"ttl":-1}"#, "`ttl` is not a whole number"),
            (r#"{"allow":true,"limits":"hunter2"}"#, "`limits` is not an object"),
            (r#"{"allow":true,"limits":{"allocations":4294967296}}"#, "`limits.allocations` is too large"),
            (r#"{"allow":true,"limits":{"bandwidth":"hunter2"}}"#, "`limits.bandwidth` is not a bandwidth"),
            (r#"{"allow":true,"peers":{"deny":["hunter2"]}}"#, "`peers.deny` is not a list of ranges"),
            (r#"{"allow":true,"peers":{"allow":"10.0.0.0/8"}}"#, "`peers.allow` is not a list of ranges"),
            (r#"{"allow":true,"user_id":"hunter2\n"}"#, "`user_id` is no name"),
        ];
        for (answer, expected) in cases {
            let reason = read(answer).unwrap_err();
            assert!(reason.starts_with(expected) && !reason.contains("hunter2"), "{answer}: {reason}");
        }
    }
}
