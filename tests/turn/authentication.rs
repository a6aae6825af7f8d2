//! The long-term credential mechanism (RFC 8489 §9.2, RFC 8656 §5).

use std::time::Duration;

use turnbridge::auth::name::BadName;
use turnbridge::auth::users::User;
use turnbridge::auth::{Key, PasswordAlgorithm, Refused, Secret};
use turnbridge::turn::{Denial, FiveTuple, Rate, Tried, WRONG_PASSWORD_COST};
use turnbridge::wire::{AttributeType, Class, Integrity, Message, Method};

use crate::rig::*;

const METHODS: [Method; 4] =
    [Method::ALLOCATE, Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND];
/// What a challenge consists of, and nothing else: no SOFTWARE, no USERNAME, no integrity.
const CHALLENGE: [AttributeType; 4] = [
    AttributeType::ERROR_CODE,
    AttributeType::REALM,
    AttributeType::NONCE,
    AttributeType::PASSWORD_ALGORITHMS,
];
/// What a wrong password of a static user was held against.
const USER: Tried = Tried { user: true, secrets: 0 };
/// SHA-256 before MD5 (RFC 8489 §18.5).
const BOTH: [u8; 8] = [0, 2, 0, 0, 0, 1, 0, 0];

/// A rig and alice, who has been challenged.
fn challenged() -> (Rig, Client) {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let request = alice.unsigned(Method::ALLOCATE, &[udp()]);
    let answer = rig.ask(&alice, &request);
    alice.accept_challenge(&answer);
    (rig, alice)
}

/// A challenge: error, realm, a fresh nonce, the algorithms; and no integrity, because the client is nobody yet.
fn assert_challenge(answer: &Answer, code: u16) {
    assert_eq!(answer.code(), code);
    assert_eq!(answer.kinds(), CHALLENGE);
    assert_eq!(answer.get(AttributeType::REALM).unwrap(), REALM.as_bytes());
    assert_eq!(answer.proof(b""), None);
    assert_eq!(answer.phrase(), "", "short, for whoever it is sent to");
}

/// RFC 8489 §9.2.4: without integrity 401, with REALM and NONCE. THREATS A01: nothing is kept.
#[test]
fn a01_a_request_without_credentials_is_challenged_and_forgotten() {
    for method in METHODS {
        let (mut rig, mut client) = (Rig::new(), Client::alice("192.0.2.1:1000"));
        // Credentials without integrity are none.
        for attributes in [&[udp()][..], &[udp(), raw(AttributeType::USERNAME, b"alice")]] {
            let request = client.unsigned(method, attributes);
            let answer = rig.ask(&client, &request);
            assert_challenge(&answer, 401);
            assert_eq!(answer.get(AttributeType::PASSWORD_ALGORITHMS).unwrap(), BOTH);
        }
        rig.assert_nothing_is_left();
    }
}

/// RFC 8489 §7: a challenge ends with FINGERPRINT where the request did.
#[test]
fn a_challenge_carries_fingerprint_when_the_request_does() {
    let (mut rig, mut client) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let request = client.unsigned(Method::ALLOCATE, &[udp(), Attr::Fingerprint]);
    let answer = rig.ask(&client, &request);
    assert_challenge(&answer, 401);
    assert!(answer.has_fingerprint());
}

/// L02: a bare request is no client's, and draws an answer of at most 2.5 times its size.
#[test]
fn l02_a_bare_request_draws_a_short_challenge() {
    for method in METHODS {
        let (mut rig, mut client) = (Rig::new(), Client::alice("192.0.2.1:1000"));
        let request = client.unsigned(method, &[]);
        assert_eq!(request.len(), 20);
        let answer = rig.ask(&client, &request);
        assert_eq!(answer.code(), 401);
        assert_eq!(answer.kinds(), CHALLENGE[..3]);
        assert!(answer.bytes.len() <= 50, "{} bytes", answer.bytes.len());
        let request = client.unsigned(method, &[Attr::Fingerprint]);
        assert!(rig.ask(&client, &request).bytes.len() <= 70);
    }
}

/// The short challenge offers no algorithms, so somebody on the path could strip a client's first request to get one
/// for it. It must not be worth anything: whoever meets it is told of the algorithms first (RFC 8489 §9.2.1).
#[test]
fn a_short_challenge_cannot_be_used_to_bid_down() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let request = alice.unsigned(Method::ALLOCATE, &[]);
    let bare = rig.ask(&alice, &request);
    let nonce = bare.get(AttributeType::NONCE).unwrap();
    let key = Key::derive(PasswordAlgorithm::Md5, "alice", REALM, b"wonderland");
    let attributes = [
        udp(),
        raw(AttributeType::USERNAME, b"alice"),
        raw(AttributeType::REALM, REALM.as_bytes()),
        raw(AttributeType::NONCE, &nonce),
        Attr::Sha1(key.as_bytes().to_vec()),
    ];
    let request = alice.unsigned(Method::ALLOCATE, &attributes);
    let answer = rig.ask(&alice, &request);
    assert_challenge(&answer, 438);
    assert!(answer.get(AttributeType::NONCE).unwrap().starts_with(b"obMatJos2"));
    alice.accept_challenge(&answer);
    rig.allocate(&mut alice, &[]);
}

/// RFC 8489 §9.2, §18.1: the nonce begins with the cookie, which tells the security features. USERHASH is announced
/// only where every user's name can be found by its hash, SHA-256 only where every user has such a key.
#[test]
fn the_nonce_cookie_and_the_offer_tell_what_the_server_can() {
    let secret = |setup: &mut Setup| setup.credentials.secrets = vec![Secret::new("north")];
    let hashed = |setup: &mut Setup| {
        let key = Key::derive(PasswordAlgorithm::Md5, "dave", REALM, b"x");
        setup.credentials.users.push(User::with_keys("dave", Some(key), None).unwrap());
    };
    type Case<'a> = (&'a dyn Fn(&mut Setup), &'a [u8], &'a [u8]);
    let cases: [Case<'_>; 3] = [
        (&|_| {}, b"obMatJos2wAAA", &BOTH),
        (&secret, b"obMatJos2gAAA", &BOTH),
        (&hashed, b"obMatJos2wAAA", &[0, 1, 0, 0]),
    ];
    for (change, cookie, offer) in cases {
        let (mut rig, mut client) = (Rig::with(change), Client::alice("192.0.2.1:1000"));
        let request = client.unsigned(Method::ALLOCATE, &[udp()]);
        let answer = rig.ask(&client, &request);
        let nonce = answer.get(AttributeType::NONCE).unwrap();
        assert_eq!(nonce[..13], *cookie);
        assert!(nonce.len() < 128, "RFC 8489 §14.10");
        assert!(nonce.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte)));
        assert_eq!(answer.get(AttributeType::PASSWORD_ALGORITHMS).unwrap(), offer);
    }
}

/// RFC 8489 §9.2.4: no two clients get one nonce, and nobody but its client can use one (A03).
#[test]
fn a03_a_nonce_is_good_for_its_client_alone() {
    let (mut rig, alice) = challenged();
    let nonce = |client: &Client| client.challenge.as_ref().unwrap().nonce.clone();
    for other in ["192.0.2.1:1001", "192.0.2.2:1000", "[2001:db8::1]:1000"] {
        let mut thief = Client { challenge: alice.challenge.clone(), ..Client::alice(other) };
        let request = thief.signed(Method::ALLOCATE, &[udp()]);
        let answer = rig.ask(&thief, &request);
        assert_challenge(&answer, 438);
        thief.accept_challenge(&answer);
        assert_ne!(nonce(&thief), nonce(&alice));
        rig.allocate(&mut thief, &[]);
    }
}

/// RFC 8489 §9.2.4: an old nonce draws 438 with a new one that is good; A04: not 401, whatever the password.
#[test]
fn a04_an_old_nonce_is_stale_and_its_successor_is_good() {
    for scheme in Scheme::ALL {
        let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000").with_scheme(scheme));
        rig.advance(Duration::from_secs(200));
        rig.allocate(&mut alice, &[lifetime(3600)]);
        rig.advance(Duration::from_secs(300));
        let request = alice.signed(Method::REFRESH, &[]);
        assert_eq!(rig.ask(&alice, &request).code(), 0, "not older than half of its life");
        rig.advance(Duration::from_secs(300));
        let request = alice.signed(Method::REFRESH, &[]);
        let answer = rig.ask(&alice, &request);
        assert_challenge(&answer, 438);
        alice.accept_challenge(&answer);
        let request = alice.signed(Method::REFRESH, &[]);
        assert_eq!(rig.ask(&alice, &request).code(), 0);
    }
}

/// RFC 8656 §5: a nonce expires at least once an hour. How long it lives is a setting, which a reload changes.
#[test]
fn a_changed_nonce_lifetime_is_taken_into_use() {
    let (mut rig, mut alice) = challenged();
    rig.reload(|settings, _| settings.nonce_lifetime = Duration::from_secs(20));
    rig.allocate(&mut alice, &[]);
    rig.advance(Duration::from_secs(20));
    let request = alice.signed(Method::REFRESH, &[]);
    assert_eq!(rig.ask(&alice, &request).code(), 438);
}

/// A02: a made-up nonce is answered 438 before any password is looked at, and nothing is kept.
#[test]
fn a02_a_made_up_nonce_is_stale_and_leaves_nothing() {
    let (mut rig, mut alice) = challenged();
    let nonces: [&[u8]; 5] = [b"x", b"AAAAAAAA", b"obMatJos2wAAAAAAAAAAAAAAA", &[0; 25], &[b'a'; 763]];
    for nonce in nonces {
        for password in ["wonderland", "wrong"] {
            let mut client = Client { password: password.into(), ..alice.clone() };
            client.challenge.as_mut().unwrap().nonce = nonce.to_vec();
            let request = client.signed(Method::ALLOCATE, &[udp()]);
            assert_challenge(&rig.ask(&client, &request), 438);
            assert_eq!(rig.last.denial(), None, "no password was judged");
        }
    }
    rig.assert_nothing_is_left();
    rig.allocate(&mut alice, &[]);
}

/// RFC 8489 §9.2.4: integrity without user, realm or nonce is a bad request, whose answer says nothing more.
#[test]
fn credentials_that_are_incomplete_are_a_bad_request() {
    for scheme in Scheme::ALL {
        let (mut rig, alice) = challenged();
        let mut alice = alice.with_scheme(scheme);
        for missing in 0..3 {
            let mut attributes = alice.credentials();
            attributes.remove(missing);
            attributes.push(alice.seal());
            let request = alice.unsigned(Method::ALLOCATE, &attributes);
            let answer = rig.ask(&alice, &request);
            assert_eq!(answer.code(), 400, "{scheme:?} without the credential attribute {missing}");
            assert_eq!(answer.kinds(), [AttributeType::ERROR_CODE]);
            assert_eq!(answer.proof(b""), None);
        }
    }
}

/// RFC 8489 §9.2.4, A14: whoever names an algorithm must repeat the offer as it was made, and choose from it.
#[test]
fn a14_an_altered_offer_of_algorithms_is_a_bad_request() {
    let offer = |value: &[u8]| raw(AttributeType::PASSWORD_ALGORITHMS, value);
    let choice = |value: &[u8]| raw(AttributeType::PASSWORD_ALGORITHM, value);
    let sha256 = &[0, 2, 0, 0];
    let cases: Vec<(&str, Vec<Attr>)> = vec![
        ("no offer", vec![choice(sha256)]),
        ("no choice", vec![offer(&BOTH)]),
        ("an offer cut to MD5", vec![offer(&[0, 1, 0, 0]), choice(&[0, 1, 0, 0])]),
        ("an offer cut to SHA-256", vec![offer(sha256), choice(sha256)]),
        ("an offer in another order", vec![offer(&[0, 1, 0, 0, 0, 2, 0, 0]), choice(sha256)]),
        ("an empty offer", vec![offer(&[]), choice(sha256)]),
        ("an algorithm that was not offered", vec![offer(&BOTH), choice(&[0, 3, 0, 0])]),
        ("an algorithm with parameters", vec![offer(&BOTH), choice(&[0, 2, 0, 4, 1, 2, 3, 4])]),
        ("an algorithm cut short", vec![offer(&BOTH), choice(&[0, 2])]),
        ("an empty choice", vec![offer(&BOTH), choice(&[])]),
    ];
    for (name, algorithms) in cases {
        for scheme in [Scheme::Md5, Scheme::Sha256] {
            let (mut rig, alice) = challenged();
            let mut alice = alice.with_scheme(scheme);
            let credentials = alice.credentials()[..3].to_vec();
            let attributes = [&[udp()], &credentials[..], &algorithms, &[alice.seal()]].concat();
            let request = alice.unsigned(Method::ALLOCATE, &attributes);
            let answer = rig.ask(&alice, &request);
            assert_eq!((answer.code(), answer.kinds().len()), (400, 1), "{name}");
            rig.assert_nothing_is_left();
        }
    }
}

/// RFC 8489 §9.2.4: beside a nonce that does not say that algorithms were offered there is no offer to compare with.
#[test]
fn algorithms_beside_a_nonce_of_another_server_are_no_bad_request() {
    for nonce in [&b"0123456789"[..], b"obMatJos2AAAAabcdefgh", b"obMatJos2QAAAabcdefgh", b"obMatJos2"] {
        let (mut rig, alice) = challenged();
        let mut alice = alice.with_scheme(Scheme::Sha256);
        let mut credentials = alice.credentials()[..2].to_vec();
        credentials.push(raw(AttributeType::NONCE, nonce));
        let choice = raw(AttributeType::PASSWORD_ALGORITHM, &[0, 2, 0, 0]);
        let attributes = [&[udp()], &credentials[..], &[choice, alice.seal()]].concat();
        let request = alice.unsigned(Method::ALLOCATE, &attributes);
        let answer = rig.ask(&alice, &request);
        assert_eq!((answer.code(), answer.has(AttributeType::NONCE)), (438, true), "{nonce:?}");
    }
}

/// A user with nothing but an MD5 key is not offered SHA-256, and nobody else may take it then.
#[test]
fn an_algorithm_that_is_not_offered_cannot_be_chosen() {
    let mut rig = Rig::with(|setup| {
        let key = Key::derive(PasswordAlgorithm::Md5, "dave", REALM, b"x");
        setup.credentials.users.push(User::with_keys("dave", Some(key), None).unwrap());
    });
    let mut dave = Client::new("192.0.2.1:1000", "dave", "x").with_scheme(Scheme::Md5);
    rig.allocate(&mut dave, &[]);
    let mut alice = Client::alice("192.0.2.2:1000").with_scheme(Scheme::Sha256);
    let request = alice.unsigned(Method::ALLOCATE, &[udp()]);
    let answer = rig.ask(&alice, &request);
    alice.accept_challenge(&answer);
    let request = alice.signed(Method::ALLOCATE, &[udp()]);
    assert_eq!(rig.ask(&alice, &request).code(), 400);
}

/// RFC 8489 §9.2.4: MD5 where none is named; the answer to who named one carries MESSAGE-INTEGRITY-SHA256, the
/// other's MESSAGE-INTEGRITY. The rig checks that on every answer.
#[test]
fn every_scheme_authenticates_every_request() {
    for scheme in Scheme::ALL {
        let mut rig = Rig::new();
        let mut alice = Client::alice("192.0.2.1:1000").with_scheme(scheme);
        rig.allocate(&mut alice, &[]);
        rig.permit(&mut alice, addr("9.9.9.9:9"));
        rig.bind(&mut alice, 0x4000, addr("9.9.9.9:9"));
        let answer = rig.call(&mut alice, Method::REFRESH, &[lifetime(0)]);
        assert_eq!(answer.code(), 0);
        assert_eq!(answer.proof(&alice.key()), Some(scheme.answered_with()));
        rig.assert_nothing_is_left();
    }
}

/// RFC 8489 §9.2.4: USERNAME, USERHASH, REALM and NONCE do not come back in the answer to a good request.
#[test]
fn an_authenticated_answer_repeats_no_credentials() {
    for scheme in Scheme::ALL {
        let mut rig = Rig::new();
        let mut alice = Client::alice("192.0.2.1:1000").with_scheme(scheme);
        for attributes in [&[udp()][..], &[]] {
            let kinds = rig.call(&mut alice, Method::ALLOCATE, attributes).kinds();
            let mut private = [
                AttributeType::USERNAME,
                AttributeType::USERHASH,
                AttributeType::REALM,
                AttributeType::NONCE,
                AttributeType::PASSWORD_ALGORITHMS,
            ]
            .into_iter();
            assert!(private.all(|kind| !kinds.contains(&kind)), "{kinds:?}");
        }
    }
}

/// Which integrity attribute the request carries decides nothing about the answer's; both may be there, then
/// SHA-256 counts (A13).
#[test]
fn a13_sha256_counts_where_both_integrity_attributes_are_there() {
    let (right, wrong) = (|key: &[u8]| key.to_vec(), |_: &[u8]| b"wrong".to_vec());
    type Made = fn(&[u8]) -> Vec<u8>;
    let cases: [(Made, Made, u16); 3] = [(right, right, 0), (wrong, right, 0), (right, wrong, 401)];
    for (sha1, sha256, code) in cases {
        for scheme in Scheme::ALL {
            let (mut rig, alice) = challenged();
            let mut alice = alice.with_scheme(scheme);
            let key = alice.key();
            let seals = [Attr::Sha1(sha1(&key)), Attr::Sha256(sha256(&key)), Attr::Fingerprint];
            let attributes = [&[udp()], &alice.credentials()[..], &seals].concat();
            let request = alice.unsigned(Method::ALLOCATE, &attributes);
            let answer = rig.ask(&alice, &request);
            assert_eq!(answer.code(), code);
            let expected = (code == 0).then(|| scheme.answered_with());
            assert_eq!(answer.proof(&key), expected);
        }
    }
}

/// An old client that signs with SHA-256 although it named no algorithm is still answered with SHA-1.
#[test]
fn the_answer_follows_the_named_algorithm_and_not_the_request_s_integrity() {
    let (mut rig, mut alice) = challenged();
    let attributes = [&[udp()], &alice.credentials()[..], &[Attr::Sha256(alice.key())]].concat();
    let request = alice.unsigned(Method::ALLOCATE, &attributes);
    let answer = rig.ask(&alice, &request);
    assert_eq!((answer.code(), answer.proof(&alice.key())), (0, Some(Integrity::Sha1)));
}

/// RFC 8489 §9.2.4 wants SHA-256 in the answer to whoever names an algorithm. Clients that name MD5 and go on signing
/// with SHA-1 (as `turn-client-proto` does) look for that: they get both, the one behind the other.
#[test]
fn who_names_an_algorithm_and_signs_with_sha1_finds_both_in_the_answer() {
    let (mut rig, alice) = challenged();
    let mut alice = alice.with_scheme(Scheme::Md5);
    let attributes = [&[udp()], &alice.credentials()[..], &[Attr::Sha1(alice.key())]].concat();
    let request = alice.unsigned(Method::ALLOCATE, &attributes);
    let answer = rig.ask(&alice, &request);
    let whole = Message::parse(&answer.bytes).unwrap();
    assert_eq!((answer.code(), whole.integrity()), (0, Some(Integrity::Sha256)));
    assert_eq!(whole.verify(&alice.key()), Ok(()));
    // What an old client sees: it ignores all behind MESSAGE-INTEGRITY.
    let mut seen = answer.bytes[..answer.bytes.len() - 36].to_vec();
    let length = u16::try_from(seen.len() - 20).unwrap();
    seen[2..4].copy_from_slice(&length.to_be_bytes());
    let seen = Message::parse(&seen).unwrap();
    assert_eq!((seen.integrity(), seen.verify(&alice.key())), (Some(Integrity::Sha1), Ok(())));
}

/// RFC 8489 §14.6: all 32 bytes, because RFC 8656 does not allow to cut them. §14.5: 20.
#[test]
fn integrity_of_another_length_proves_nothing() {
    for (kind, right) in
        [(AttributeType::MESSAGE_INTEGRITY, 20), (AttributeType::MESSAGE_INTEGRITY_SHA256, 32)]
    {
        for length in [0, 4, 16, 20, 28, 32, 36] {
            let (mut rig, mut alice) = challenged();
            let attributes = [&[udp()], &alice.credentials()[..], &[raw(kind, &vec![7; length])]].concat();
            let request = alice.unsigned(Method::ALLOCATE, &attributes);
            assert_challenge(&rig.ask(&alice, &request), 401);
            assert_eq!(rig.last.denial(), Some(Denial::WrongPassword(USER)), "{length} of {right}");
        }
    }
}

/// RFC 8489 §9.2.4: 401 for a name nobody has and for a password that is wrong; both the same for the client, while
/// operators are told apart.
#[test]
fn wrong_credentials_are_challenged_again_and_told_apart_for_operators_only() {
    let unknown = Denial::Credential(Refused::UnknownUser);
    let cases = [
        ("alice", "wonderlan", Denial::WrongPassword(USER)),
        ("alice", "", Denial::WrongPassword(USER)),
        ("alicia", "wonderland", unknown),
        ("ALICE", "wonderland", unknown),
        ("bob", "wonderland", Denial::WrongPassword(USER)),
    ];
    for (user, password, denial) in cases {
        for scheme in Scheme::ALL {
            let (mut rig, challenged) = challenged();
            let mut client = Client { user: user.into(), password: password.into(), scheme, ..challenged };
            for method in METHODS {
                let request = client.signed(method, &[udp()]);
                assert_challenge(&rig.ask(&client, &request), 401);
                assert_eq!(rig.last.denial(), Some(denial), "{user}:{password} {scheme:?}");
            }
            rig.assert_nothing_is_left();
        }
    }
}

/// RFC 8489 §14.4: USERHASH is 32 bytes.
#[test]
fn a_userhash_of_another_length_is_nobody_s() {
    for length in [0, 31, 33] {
        let (mut rig, alice) = challenged();
        let mut alice = alice.with_scheme(Scheme::UserHash);
        let mut attributes = alice.credentials();
        attributes[0] = raw(AttributeType::USERHASH, &vec![1; length]);
        attributes.push(alice.seal());
        let request = alice.unsigned(Method::ALLOCATE, &attributes);
        assert_challenge(&rig.ask(&alice, &request), 401);
    }
}

/// A12: the key is made with our realm, so an answer to another realm's challenge is worth nothing.
#[test]
fn a12_another_realm_s_credentials_are_refused() {
    for realm in ["turn.example.org", "TURN", ""] {
        let (mut rig, mut alice) = challenged();
        alice.challenge.as_mut().unwrap().realm = realm.into();
        let request = alice.signed(Method::ALLOCATE, &[udp()]);
        assert_challenge(&rig.ask(&alice, &request), 401);
        assert_eq!(rig.last.denial(), Some(Denial::WrongRealm));
    }
}

/// A10, RFC 8489 §14.3: names that could harm a log are refused, never shown, and never a reason to drop: up to 763
/// bytes must be read.
#[test]
fn a10_harmful_user_names_are_refused_and_not_shown() {
    let (longest, too_long) = ("x".repeat(508), "x".repeat(763));
    let cases: [(&str, Refused); 7] = [
        ("", Refused::NotAUserName(BadName::Empty)),
        ("alice\n", Refused::NotAUserName(BadName::ForbiddenCharacter)),
        ("a\0b", Refused::NotAUserName(BadName::ForbiddenCharacter)),
        ("\u{202E}alice", Refused::NotAUserName(BadName::ForbiddenCharacter)),
        (&too_long, Refused::NotAUserName(BadName::TooLong)),
        (&longest, Refused::UnknownUser),
        ("%s%n'; --", Refused::UnknownUser),
    ];
    for (user, refused) in cases {
        let (mut rig, challenged) = challenged();
        let mut client = Client { user: user.into(), ..challenged };
        let request = client.signed(Method::ALLOCATE, &[udp()]);
        assert_challenge(&rig.ask(&client, &request), 401);
        let told = Told::Refused {
            user: (refused == Refused::UnknownUser).then(|| user.into()),
            method: Method::ALLOCATE,
            denial: Denial::Credential(refused),
            peer: None,
        };
        assert!(rig.last.contains(&Out::Told(told)), "{:?}", rig.last);
    }
}

/// A09: the published vector of the time-limited credentials.
#[test]
fn a09_the_vector_of_a_time_limited_credential_is_accepted() {
    for (at, code) in [(1_266_890_799, 0), (1_266_890_800, 0), (1_266_890_801, 401)] {
        let mut rig = Rig::with(|setup| setup.credentials.secrets = vec![Secret::new("north")]);
        rig.jump(at - i64::try_from(START).unwrap());
        let (user, password) = ("1266890800:mbzrxpgjys", "nbRcrnq5h6xXhyNhlwk+lDLvVVo=");
        let mut client = Client::new("192.0.2.1:1000", user, password);
        assert_eq!(rig.call(&mut client, Method::ALLOCATE, &[udp()]).code(), code, "at {at}");
    }
}

/// A05, RFC 8489 §9: what stands behind MESSAGE-INTEGRITY does not exist, although length and FINGERPRINT fit it.
#[test]
fn a05_attributes_behind_integrity_are_ignored() {
    let smuggled =
        [lifetime(0), xor_peer(addr("9.9.9.9:9")), dont_fragment(), raw(AttributeType(0x7ABC), b"?")];
    for scheme in Scheme::ALL {
        let mut rig = Rig::new();
        let mut alice = Client::alice("192.0.2.1:1000").with_scheme(scheme);
        let relay = rig.allocate(&mut alice, &[]);
        for (method, genuine, code) in [
            (Method::REFRESH, vec![], 0),
            (Method::CREATE_PERMISSION, vec![], 400),
            (Method::CREATE_PERMISSION, vec![xor_peer(addr("8.8.8.8:8"))], 0),
        ] {
            let attributes =
                [&genuine[..], &alice.credentials(), &[alice.seal()], &smuggled, &[Attr::Fingerprint]]
                    .concat();
            let request = alice.unsigned(method, &attributes);
            let answer = rig.ask(&alice, &request);
            assert_eq!(answer.code(), code);
            if method == Method::REFRESH {
                assert_eq!(answer.lifetime(), 600);
            }
        }
        assert!(rig.receive(relay, addr("9.9.9.9:9"), b"?").is_silent());
        assert!(!rig.receive(relay, addr("8.8.8.8:8"), b"!").is_silent());
    }
}

/// Whatever was refused after the password was right, the answer proves to be the server's (RFC 8489 §9.2.4); the
/// rig checks it in `call`.
#[test]
fn every_error_after_good_credentials_carries_integrity() {
    let peer = || xor_peer(addr("9.9.9.9:9"));
    let cases: Vec<(u16, Method, Vec<Attr>)> = vec![
        (437, Method::ALLOCATE, vec![udp()]),
        (400, Method::CREATE_PERMISSION, vec![]),
        (403, Method::CREATE_PERMISSION, vec![xor_peer(addr("127.0.0.1:1"))]),
        (403, Method::CHANNEL_BIND, vec![channel(0x4000), xor_peer(addr("10.0.0.1:1"))]),
        (400, Method::CHANNEL_BIND, vec![channel(0x3FFF), peer()]),
        (443, Method::CREATE_PERMISSION, vec![xor_peer(addr("[2a00::1]:1"))]),
        (443, Method::CHANNEL_BIND, vec![channel(0x4000), xor_peer(addr("[2a00::1]:1"))]),
        (443, Method::REFRESH, vec![family(2)]),
        (420, Method::ALLOCATE, vec![udp(), raw(AttributeType(0x7ABC), b"")]),
        (420, Method::REFRESH, vec![raw(AttributeType(0x7ABC), b"")]),
        (420, Method::CREATE_PERMISSION, vec![peer(), raw(AttributeType(0x7ABC), b"")]),
        (420, Method::CHANNEL_BIND, vec![channel(0x4000), peer(), raw(AttributeType(0x7ABC), b"")]),
        (508, Method::CREATE_PERMISSION, vec![peer(), xor_peer(addr("9.9.9.8:9"))]),
    ];
    for scheme in Scheme::ALL {
        let mut rig = Rig::with(|setup| setup.settings.permissions_per_allocation = 1);
        let mut alice = Client::alice("192.0.2.1:1000").with_scheme(scheme);
        rig.allocate(&mut alice, &[]);
        for (code, method, attributes) in &cases {
            let answer = rig.call(&mut alice, *method, attributes);
            assert_eq!(answer.code(), *code, "{method:?} {attributes:?}");
            assert_ne!(answer.phrase(), "");
            if *code == 420 {
                assert_eq!(answer.unknown(), [0x7ABC]);
            }
        }
        let mut other = Client::alice("192.0.2.2:1000").with_scheme(scheme);
        for method in [Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND] {
            let answer = rig.call(&mut other, method, &[channel(0x4000), peer()]);
            assert_eq!(answer.code(), 437, "RFC 8656 §5: no allocation");
        }
        for (code, attributes) in
            [(400, vec![]), (442, vec![raw(AttributeType::REQUESTED_TRANSPORT, &[7, 0, 0, 0])])]
        {
            assert_eq!(rig.call(&mut other, Method::ALLOCATE, &attributes).code(), code);
        }
    }
}

/// RFC 8489 §6.3: attributes are looked at once the sender is known, so a stranger learns nothing about them.
#[test]
fn unknown_attributes_matter_only_after_authentication() {
    let (mut rig, mut alice) = (Rig::new(), Client::alice("192.0.2.1:1000"));
    let unknown = [udp(), raw(AttributeType(0x7ABC), b"")];
    let request = alice.unsigned(Method::ALLOCATE, &unknown);
    assert_eq!(rig.ask(&alice, &request).code(), 401);
    assert_eq!(rig.call(&mut alice, Method::ALLOCATE, &unknown).code(), 420);
    rig.allocate(&mut alice, &[]);
}

/// RFC 8656 §5, A07: another user's credentials, although good, are refused with 441 on somebody's allocation, and
/// change nothing about it.
#[test]
fn a07_another_user_s_credentials_are_wrong() {
    for scheme in Scheme::ALL {
        let mut rig = Rig::new();
        let mut alice = Client::alice("192.0.2.1:1000");
        let relay = rig.allocate(&mut alice, &[]);
        let mut bob = Client::bob("192.0.2.1:1000").with_scheme(scheme);
        let peer = xor_peer(addr("9.9.9.9:9"));
        for (method, attributes) in [
            (Method::REFRESH, vec![lifetime(0)]),
            (Method::CREATE_PERMISSION, vec![peer.clone()]),
            (Method::CHANNEL_BIND, vec![channel(0x4000), peer]),
        ] {
            assert_eq!(rig.call(&mut bob, method, &attributes).code(), 441, "{method:?}");
            let told =
                Told::Refused { user: Some("bob".into()), method, denial: Denial::OtherUser, peer: None };
            if scheme != Scheme::UserHash {
                assert!(rig.last.contains(&Out::Told(told)), "{:?}", rig.last);
            }
        }
        assert!(rig.receive(relay, addr("9.9.9.9:9"), b"?").is_silent());
        assert_eq!(rig.call(&mut bob, Method::ALLOCATE, &[udp()]).code(), 437);
        assert_eq!(rig.call(&mut alice, Method::REFRESH, &[]).code(), 0);
    }
}

/// A retransmission is its own user's: somebody else's request in the same transaction is a mismatch.
#[test]
fn a_retransmission_under_another_name_is_a_mismatch() {
    let (mut rig, mut alice) = challenged();
    let mut bob = Client { challenge: alice.challenge.clone(), ..Client::bob("192.0.2.1:1000") };
    let header = alice.header(Class::Request, Method::ALLOCATE);
    let sealed =
        |client: &Client| build(header, &[&[udp()], &client.credentials()[..], &[client.seal()]].concat());
    assert_eq!(rig.ask(&alice, &sealed(&alice)).code(), 0);
    assert_eq!(rig.ask(&bob, &sealed(&bob)).code(), 437);
    assert_eq!(rig.ask(&alice, &sealed(&alice)).code(), 0);
    bob.challenge = None;
}

/// A client may change how it proves its password while it holds an allocation.
#[test]
fn the_owner_may_change_the_scheme() {
    let mut rig = Rig::new();
    let mut alice = Client::alice("192.0.2.1:1000");
    rig.allocate(&mut alice, &[]);
    for scheme in Scheme::ALL {
        alice.scheme = scheme;
        assert_eq!(rig.call(&mut alice, Method::REFRESH, &[]).code(), 0, "{scheme:?}");
    }
}

/// A16: wrong passwords soon exhaust the budget of their source, and of no other.
#[test]
fn a16_wrong_passwords_end_in_silence() {
    let budget = Rate { per_second: 100, burst: 1000 };
    let mut rig = Rig::with(|setup| setup.settings.challenge_budget = budget);
    let mut thief = Client { password: "wrong".into(), ..Client::alice("192.0.2.66:1000") };
    let request = thief.unsigned(Method::ALLOCATE, &[udp()]);
    let answer = rig.ask(&thief, &request);
    thief.accept_challenge(&answer);
    let mut answered = 0;
    for _ in 0..1000 {
        let request = thief.signed(Method::ALLOCATE, &[udp()]);
        answered += u64::from(!rig.send(&thief, &request).is_silent());
        assert_eq!(rig.last.denial(), Some(Denial::WrongPassword(USER)), "operators see all of them");
    }
    assert_eq!(answered, (budget.burst - 1) / WRONG_PASSWORD_COST);
    assert_eq!(rig.relay.counters().suppressed, 1000 - answered);
    let mut alice = Client::alice("192.0.2.1:1000");
    rig.allocate(&mut alice, &[]);
    rig.advance(Duration::from_secs(10));
    let request = thief.signed(Method::ALLOCATE, &[udp()]);
    assert!(!rig.send(&thief, &request).is_silent(), "budgets come back");
}

/// The budget of an IPv6 source is its /64: whoever has one has all of it.
#[test]
fn a16_an_ipv6_source_is_its_prefix() {
    let budget = Rate { per_second: 1, burst: 10 };
    let mut rig = Rig::with(|setup| setup.settings.challenge_budget = budget);
    let mut drawn = |prefix: &str| {
        let draws = (0..100).filter(|host| {
            let mut client = Client::alice(&format!("[{prefix}::{host:x}]:1000"));
            let request = client.unsigned(Method::ALLOCATE, &[udp()]);
            !rig.send(&client, &request).is_silent()
        });
        draws.count()
    };
    assert_eq!((drawn("2001:db8:0:1"), drawn("2001:db8:0:1"), drawn("2001:db8:0:2")), (10, 0, 10));
}

/// However many honest clients share an address, none of them runs out: a met challenge costs nothing.
#[test]
fn a_met_challenge_is_refunded() {
    let budget = Rate { per_second: 0, burst: 10 };
    let mut rig = Rig::with(|setup| setup.settings.challenge_budget = budget);
    for port in 1000..1500 {
        rig.allocate(&mut Client::alice(&format!("192.0.2.1:{port}")), &[]);
    }
    assert_eq!(rig.relay.allocations(), 500);
}

/// Nothing that is refused before it is authenticated leaves a trace, from however many sources it comes (A01).
#[test]
fn a01_strangers_leave_nothing_behind() {
    let mut rig = Rig::new();
    let mut client = Client::alice("192.0.2.1:1000");
    let request = client.unsigned(Method::ALLOCATE, &[udp()]);
    for source in 0..20_000_u32 {
        let address = (std::net::Ipv4Addr::from(0x0B00_0000 + source), 1000).into();
        let client = FiveTuple::new(address, client.listener);
        let input = turnbridge::turn::Input::FromClient { client, bytes: &request };
        assert_eq!(rig.feed(input).to_client().len(), 1);
    }
    rig.assert_nothing_is_left();
}
