//! Shows the receiver of a webhook that it comes from us, and is not an old one: the signature of "Standard Webhooks"
//! (version 1, symmetric), which there are libraries for in most languages.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue};
use sha2::Sha256;
use std::fmt;

use super::{Secret, encoding};

/// Signs by a secret that both sides know.
#[derive(Clone)]
pub(crate) struct Signer(Hmac<Sha256>);

/// Before a key that is written as base64; any other secret is taken as the bytes it is.
const ENCODED: &str = "whsec_";

impl Signer {
    /// `None` when the secret says that it is base64, and is not.
    pub(crate) fn new(secret: &Secret) -> Option<Self> {
        let secret = secret.expose();
        let made = match secret.strip_prefix(ENCODED) {
            Some(encoded) => {
                let url_form = zeroize::Zeroizing::new(encoded.replace('+', "-").replace('/', "_"));
                Hmac::new_from_slice(&encoding::base64url_decode(&url_form).filter(|key| !key.is_empty())?)
            }
            None => Hmac::new_from_slice(secret.as_bytes()),
        };
        made.ok().map(Self)
    }

    /// What goes into the header `webhook-signature`.
    fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        let digest = mac.finalize().into_bytes();
        let mut text = vec![0; encoding::base64_len(digest.len())];
        encoding::base64_into(&digest, &mut text);
        format!("v1,{}", String::from_utf8_lossy(&text))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(***)")
    }
}

/// The headers of one attempt: a name that stays when it is made again, the time, and the signature of both and of
/// the body.
pub(crate) fn headers(signer: Option<&Signer>, id: &str, unix: u64, body: &[u8]) -> HeaderMap {
    let timestamp = unix.to_string();
    let signature = signer.map(|signer| signer.sign(id, &timestamp, body));
    let fields = [
        ("webhook-id", Some(id.to_owned())),
        ("webhook-timestamp", Some(timestamp)),
        ("webhook-signature", signature),
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(name, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_example_that_the_libraries_of_standard_webhooks_are_tested_with() {
        let signer = Signer::new(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let signature = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(format!("{signer:?}"), "Signer(***)");
    }

    #[test]
    fn a_secret_is_taken_as_it_is_unless_it_says_that_it_is_encoded() {
        let sign = |secret: &str| Signer::new(&Secret::new(secret)).map(|signer| signer.sign("a", "1", b"x"));
        assert_eq!(sign("whsec_aGVsbG8="), sign("hello"));
        assert_ne!(sign("aGVsbG8="), sign("hello"));
        assert_eq!((sign("whsec_"), sign("whsec_!")), (None, None));
    }
}
