//! User names: the one text that an unauthenticated client may send and that is taken apart.

use std::sync::LazyLock;

use turnbridge::auth::authenticator::Credentials;
use turnbridge::auth::name::check_username;
use turnbridge::auth::rest::RestName;
use turnbridge::auth::{Authenticator, CredentialSource, PasswordAlgorithm, Refused, Secret};

const NOW: u64 = 1_760_000_000;
const MAX_TTL: u64 = 86_400;

static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(|| {
    Authenticator::new(Credentials {
        realm: "example.org".into(),
        max_ttl: Some(MAX_TTL),
        secrets: vec![Secret::new("north"), Secret::new("south")],
        ..Credentials::default()
    })
});

/// Looks a user name up: it is refused for a reason that is true, or good for a time that is written in it.
pub fn username(bytes: &[u8]) {
    let name = check_username(bytes);
    let parsed = name.ok().and_then(|name| RestName::parse(name, Default::default()));
    if let (Ok(name), Some(parsed)) = (name, parsed) {
        assert!(name.contains(parsed.id) && !parsed.id.is_empty());
        let digits = name.split(|char: char| !char.is_ascii_digit());
        assert!(digits.filter_map(|digits| digits.parse::<u64>().ok()).any(|number| number == parsed.expiry));
        assert!(!name.chars().any(char::is_control));
    }
    match (AUTHENTICATOR.find(bytes, NOW), parsed) {
        (Err(Refused::NotAUserName(bad)), None) => assert_eq!(name, Err(bad)),
        (Err(Refused::UnknownUser), None) => assert!(name.is_ok()),
        (Err(Refused::Expired { ago_s }), Some(parsed)) => assert_eq!(parsed.expiry + ago_s, NOW),
        (Err(Refused::TooFarAhead { ahead_s, max_s }), Some(parsed)) => {
            assert_eq!((parsed.expiry - ahead_s, max_s), (NOW, MAX_TTL));
        }
        (Ok(candidates), Some(parsed)) => {
            assert!((NOW..=NOW + MAX_TTL).contains(&parsed.expiry));
            let candidates: Vec<_> = candidates.collect();
            let sources: Vec<_> = candidates.iter().map(|candidate| candidate.source()).collect();
            assert_eq!(sources, [1, 2].map(|position| CredentialSource::Secret { position }));
            for candidate in &candidates {
                assert_eq!((candidate.user_id(), candidate.expiry()), (parsed.id, Some(parsed.expiry)));
                assert!(candidate.key(PasswordAlgorithm::Md5).is_some());
                assert!(candidate.key(PasswordAlgorithm::Sha256).is_some());
            }
        }
        (found, parsed) => panic!("{found:?} does not follow from {parsed:?}"),
    }
}
