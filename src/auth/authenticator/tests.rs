use super::*;

const NOW: u64 = 1_760_000_000;

fn authenticator(max_ttl: Option<u64>) -> Authenticator {
    Authenticator::new(Credentials {
        realm: "example.org".into(),
        max_ttl,
        secrets: vec![Secret::new("new-secret"), Secret::new("rest-secret")],
        users: vec![
            User::with_password("bob", &Secret::new("builder")).unwrap(),
            User::with_password("1:carol", &Secret::new("static")).unwrap(),
            User::with_keys(
                "dave",
                Some(Key::derive(PasswordAlgorithm::Md5, "dave", "example.org", b"x")),
                None,
            )
            .unwrap(),
        ],
        ..Credentials::default()
    })
}

#[test]
fn a08_each_user_name_gets_its_documented_verdict() {
    let day = 86_400;
    type Found = Result<(&'static str, Option<u64>), Refused>;
    let cases: &[(&[u8], Found)] = &[
        (b"1760000000:alice", Ok(("alice", Some(NOW)))),
        (b"alice:1760000001", Ok(("alice", Some(NOW + 1)))),
        (b"1760000000", Ok(("1760000000", Some(NOW)))),
        (b"1760086400:alice", Ok(("alice", Some(NOW + day)))),
        (b"bob", Ok(("bob", None))),
        (b"1:carol", Ok(("1:carol", None))),
        (b"1759999999:alice", Err(Refused::Expired { ago_s: 1 })),
        (b"0:alice", Err(Refused::Expired { ago_s: NOW })),
        (b"1760086401:alice", Err(Refused::TooFarAhead { ahead_s: day + 1, max_s: day })),
        (b"2075360000:alice", Err(Refused::TooFarAhead { ahead_s: 315_360_000, max_s: day })),
        (b"18446744073709551615:a", Err(Refused::TooFarAhead { ahead_s: u64::MAX - NOW, max_s: day })),
        (b"18446744073709551616:a", Err(Refused::UnknownUser)),
        (b"-1760000000:alice", Err(Refused::UnknownUser)),
        (b"alice", Err(Refused::UnknownUser)),
        (b"BOB", Err(Refused::UnknownUser)),
        (b"", Err(Refused::NotAUserName(BadName::Empty))),
        (&[b'9'; 509], Err(Refused::NotAUserName(BadName::TooLong))),
        (&[b'9'; 508], Err(Refused::UnknownUser)),
        (b"1760000000:a\0", Err(Refused::NotAUserName(BadName::ForbiddenCharacter))),
        (b"1760000000:\xFF", Err(Refused::NotAUserName(BadName::NotUtf8))),
    ];
    let authenticator = authenticator(Some(day));
    for (username, expected) in cases {
        let found = authenticator.find(username, NOW).map(|mut candidates| {
            let first = candidates.next().expect("never empty");
            (first.user_id(), first.expiry())
        });
        assert_eq!(found, *expected, "{}", String::from_utf8_lossy(username));
    }
}

#[test]
fn without_max_ttl_the_far_future_is_accepted() {
    let authenticator = authenticator(None);
    assert!(authenticator.find(b"18446744073709551615:a", NOW).is_ok());
}

#[test]
fn every_secret_is_a_candidate_and_named_by_its_position() {
    let authenticator = authenticator(None);
    let presented = Key::derive(
        PasswordAlgorithm::Md5,
        "1760000000:alice",
        "example.org",
        b"zJPXkwuqCr56jVDlqk1KOUl6mGM=",
    );
    let matching: Vec<_> = authenticator
        .find(b"1760000000:alice", NOW)
        .unwrap()
        .filter(|candidate| candidate.key(PasswordAlgorithm::Md5).as_ref() == Some(&presented))
        .map(|candidate| candidate.source())
        .collect();
    assert_eq!(matching, [CredentialSource::Secret { position: 2 }]);
    assert_eq!(matching[0].to_string(), "secret 2");
}

#[test]
fn a_static_user_with_a_time_limited_looking_name_is_tried_first_and_beside_the_secrets() {
    let authenticator = authenticator(None);
    let sources =
        |now| authenticator.find(b"1:carol", now).unwrap().map(|it| it.source()).collect::<Vec<_>>();
    let secret = |position| CredentialSource::Secret { position };
    assert_eq!(sources(1), [CredentialSource::User, secret(1), secret(2)]);
    assert_eq!(sources(2), [CredentialSource::User], "expired as a time-limited name, still a static user");
}

#[test]
fn both_algorithms_give_the_key_of_user_realm_and_password() {
    let authenticator = authenticator(None);
    for algorithm in [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256] {
        let bob = authenticator.find(b"bob", NOW).unwrap().next().unwrap();
        assert_eq!(bob.key(algorithm), Some(Key::derive(algorithm, "bob", "example.org", b"builder")));
        let alice = authenticator.find(b"1760000000:alice", NOW).unwrap().nth(1).unwrap();
        let expected =
            Key::derive(algorithm, "1760000000:alice", "example.org", b"zJPXkwuqCr56jVDlqk1KOUl6mGM=");
        assert_eq!(alice.key(algorithm), Some(expected));
    }
}

#[test]
fn a_pre_hashed_user_has_only_the_keys_that_were_given() {
    let authenticator = authenticator(None);
    let dave = authenticator.find(b"dave", NOW).unwrap().next().unwrap();
    assert!(dave.key(PasswordAlgorithm::Md5).is_some());
    assert_eq!(dave.key(PasswordAlgorithm::Sha256), None);
}

#[test]
fn without_secrets_time_limited_names_are_unknown_users() {
    let authenticator = Authenticator::new(Credentials { realm: "r".into(), ..Credentials::default() });
    assert_eq!(authenticator.find(b"1760000000:alice", NOW).unwrap_err(), Refused::UnknownUser);
}

#[test]
fn refusals_read_as_sentences() {
    let cases = [
        (Refused::UnknownUser, "unknown user"),
        (Refused::Expired { ago_s: 73 }, "expired 73 s ago"),
        (
            Refused::TooFarAhead { ahead_s: 90, max_s: 60 },
            "expires 90 s from now, more than the 60 s of max_ttl",
        ),
        (Refused::NotAUserName(BadName::NotUtf8), "not a user name: it is not UTF-8"),
    ];
    for (refused, expected) in cases {
        assert_eq!(refused.to_string(), expected);
    }
}

#[test]
fn debug_of_a_snapshot_shows_no_secret() {
    let text = format!("{:?} {:?}", authenticator(None), authenticator(None).find(b"1760000000:alice", NOW));
    for secret in ["new-secret", "rest-secret", "builder", "static"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
