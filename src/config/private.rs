//! Which keys of a configuration hold what must not be repeated anywhere.

/// Sections of which everything may be a secret: a misspelt key leaves nothing to tell it by.
pub(super) const SECTIONS: [&str; 4] = ["auth", "admin.key", "accounting.webhook", "accounting.otlp"];

/// Whether a value that stands at `key` (a path like `auth.user[0].password`), fitting or not, may be a secret.
pub(super) fn may_be_secret(key: &str) -> bool {
    let rests = SECTIONS.iter().filter_map(|section| key.strip_prefix(section));
    rests.into_iter().any(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        || ["secret", "password", "key", "url"].iter().any(|end| key.ends_with(end))
}

/// Whether the value of a key that there is (`auth.webhook.secret`) is a secret, or a list of sections with some.
pub(super) fn is_secret(key: &str) -> bool {
    matches!(key, "auth.secrets" | "auth.user" | "admin.key")
        || ["secret", "password", "key"].iter().any(|end| key.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_section_or_their_name() {
        for key in [
            "auth",
            "auth.secrets[0]",
            "auth.user[0].key_sha256",
            "auth.webhook",
            "admin.key[1]",
            "admin.key[1].key",
            "accounting.webhook",
            "accounting.webhook.url",
            "accounting.otlp.endpoint",
            "tls.acme.eab_hmac_key",
            "tls.certificate[0].key",
            "metrics.password",
        ] {
            assert!(may_be_secret(key), "{key}");
        }
        for key in
            ["", "author", "admin.listen[0]", "accounting.interim", "limits.bandwidth", "listener[0].address"]
        {
            assert!(!may_be_secret(key), "{key}");
        }
    }
}
