//! What an expired credential still allows, and what clocks that jump do (THREATS A08, A15, R11).

use std::time::Duration;

use turnbridge::auth::rest::RestSecret;
use turnbridge::auth::{Refused, Secret};
use turnbridge::turn::{CredentialExpiry, Denial, EndReason};
use turnbridge::wire::Method;

use crate::rig::*;

const DAY: i64 = 86_400;

/// A server with time-limited credentials.
fn rig(expiry: CredentialExpiry) -> Rig {
    Rig::with(|setup| {
        setup.settings.expiry = expiry;
        setup.credentials.secrets = vec![Secret::new("north"), Secret::new("south")];
        setup.credentials.max_ttl = Some(86_400);
    })
}

/// A client whose credential is good for this many seconds from the start.
fn carol(seconds: u64, scheme: Scheme) -> Client {
    minted(&format!("{}:carol", START + seconds), "north").with_scheme(scheme)
}

fn minted(user: &str, secret: &str) -> Client {
    let password = RestSecret::new(&Secret::new(secret)).password(user).expose().to_owned();
    Client::new("192.0.2.1:1000", user, &password)
}

/// Every secret is good, so that they can be rotated.
#[test]
fn credentials_of_every_secret_are_good() {
    for (secret, code) in [("north", 0), ("south", 0), ("west", 401)] {
        for user in ["1760000100:carol", "carol:1760000100", "1760000100"] {
            let (mut rig, mut client) = (rig(CredentialExpiry::Strict), minted(user, secret));
            assert_eq!(rig.call(&mut client, Method::ALLOCATE, &[udp()]).code(), code, "{user} {secret}");
        }
    }
}

/// A08: what is over, too far ahead or no time at all gets 401, and operators the reason.
#[test]
fn a08_names_that_are_over_or_too_far_ahead_are_refused() {
    let far = START + 315_360_000;
    let cases = [
        ("1759999990:carol".to_owned(), Refused::Expired { ago_s: 10 }),
        (format!("{far}:carol"), Refused::TooFarAhead { ahead_s: 315_360_000, max_s: 86_400 }),
        ("-1760000100:carol".into(), Refused::UnknownUser),
        (
            "9223372036854775809:carol".into(),
            Refused::TooFarAhead { ahead_s: 9_223_372_036_854_775_809 - START, max_s: 86_400 },
        ),
        ("99999999999999999999:carol".into(), Refused::UnknownUser),
        ("carol".into(), Refused::UnknownUser),
    ];
    for (user, refused) in cases {
        let (mut rig, mut client) = (rig(CredentialExpiry::Strict), minted(&user, "north"));
        assert_eq!(rig.call(&mut client, Method::ALLOCATE, &[udp()]).code(), 401, "{user}");
        assert_eq!(rig.last.denial(), Some(Denial::Credential(refused)));
        rig.assert_nothing_is_left();
    }
}

/// Strict: an expired credential can neither allocate nor refresh, bind or permit; what it holds may be given back,
/// and otherwise runs out (A15).
#[test]
fn a15_an_expired_credential_can_only_give_back() {
    let peer = || xor_peer(addr("9.9.9.9:9"));
    for scheme in [Scheme::Rfc5389, Scheme::Md5, Scheme::Sha256, Scheme::UserHash] {
        let mut rig = rig(CredentialExpiry::Strict);
        // The hash of a time-limited name is in no list, so the first request must bring the name.
        let first = if scheme == Scheme::UserHash { Scheme::Sha256 } else { scheme };
        let mut carol = carol(100, first);
        rig.allocate(&mut carol, &[]);
        carol.scheme = scheme;
        rig.bind(&mut carol, 0x4000, addr("9.9.9.9:9"));
        rig.advance(Duration::from_secs(100));
        assert_eq!(rig.call(&mut carol, Method::REFRESH, &[]).code(), 0, "its last second");
        rig.advance(Duration::from_secs(1));
        for (method, attributes) in [
            (Method::REFRESH, vec![]),
            (Method::REFRESH, vec![lifetime(1)]),
            (Method::CREATE_PERMISSION, vec![peer()]),
            (Method::CHANNEL_BIND, vec![channel(0x4000), peer()]),
            (Method::ALLOCATE, vec![udp()]),
        ] {
            assert_eq!(rig.call(&mut carol, method, &attributes).code(), 401, "{method:?}");
            assert_eq!(rig.last.denial(), Some(Denial::CredentialExpired { ago_s: 1 }));
        }
        assert!(!rig.send(&carol, &channel_data(0x4000, b"x")).is_silent(), "what is permitted goes on");
        let mut other = Client { address: addr("192.0.2.9:9"), challenge: None, ..carol.clone() };
        other.scheme = first;
        assert_eq!(rig.call(&mut other, Method::ALLOCATE, &[udp()]).code(), 401);
        assert_eq!(rig.call(&mut carol, Method::REFRESH, &[lifetime(0)]).code(), 0);
        rig.assert_nothing_is_left();
    }
}

/// An allocation that cannot be refreshed any more ends with its lifetime.
#[test]
fn a15_an_allocation_ends_with_its_lifetime_after_its_credential() {
    let mut rig = rig(CredentialExpiry::Strict);
    rig.allocate(&mut carol(100, Scheme::Rfc5389), &[]);
    rig.advance(Duration::from_secs(600));
    assert_eq!(rig.last.ended().unwrap().0, EndReason::Expired);
    rig.assert_nothing_is_left();
}

/// Relaxed: a call outlives the credential it was made with, but no new one is made.
#[test]
fn at_allocation_lets_a_call_outlive_its_credential() {
    let mut rig = rig(CredentialExpiry::AtAllocation);
    let mut carol = carol(100, Scheme::Rfc5389);
    rig.allocate(&mut carol, &[]);
    for _ in 0..10 {
        rig.advance(Duration::from_secs(500));
        assert_eq!(rig.call(&mut carol, Method::REFRESH, &[]).code(), 0);
        rig.permit(&mut carol, addr("9.9.9.9:9"));
        rig.bind(&mut carol, 0x4000, addr("9.9.9.9:9"));
    }
    let mut other = Client { address: addr("192.0.2.9:9"), challenge: None, ..carol.clone() };
    assert_eq!(rig.call(&mut other, Method::ALLOCATE, &[udp()]).code(), 401);
}

/// RFC 8656 §5: a renewed credential has another user name, so it is another user to the allocation.
#[test]
fn a_renewed_credential_is_another_name() {
    let mut rig = rig(CredentialExpiry::Strict);
    rig.allocate(&mut carol(100, Scheme::Rfc5389), &[]);
    assert_eq!(rig.call(&mut carol(200, Scheme::Rfc5389), Method::REFRESH, &[]).code(), 441);
}

/// A static user's credential does not expire.
#[test]
fn a_static_user_never_expires() {
    let (mut rig, mut alice) = (rig(CredentialExpiry::Strict), Client::alice("192.0.2.1:1000"));
    rig.allocate(&mut alice, &[]);
    for _ in 0..100 {
        rig.advance(Duration::from_secs(599));
        assert_eq!(rig.call(&mut alice, Method::REFRESH, &[]).code(), 0);
    }
}

/// R11: the wall clock judges a credential when it is first shown. When it jumps, nobody who has an allocation
/// notices, in either direction; nonces do not either.
#[test]
fn r11_a_jump_of_the_wall_clock_ends_no_allocation() {
    for jump in [DAY, -DAY] {
        let mut rig = rig(CredentialExpiry::Strict);
        let mut carol = carol(3600, Scheme::Rfc5389);
        rig.allocate(&mut carol, &[]);
        rig.jump(jump);
        rig.advance(Duration::from_secs(1));
        let request = carol.signed(Method::REFRESH, &[]);
        assert_eq!(rig.ask(&carol, &request).code(), 0, "the nonce is good, and so is the credential");
        rig.permit(&mut carol, addr("9.9.9.9:9"));
        rig.bind(&mut carol, 0x4000, addr("9.9.9.9:9"));
        assert_eq!(rig.relay.allocations(), 1);
        for _ in 0..6 {
            rig.advance(Duration::from_secs(599));
            assert_eq!(rig.call(&mut carol, Method::REFRESH, &[]).code(), 0);
        }
        rig.advance(Duration::from_secs(10));
        assert_eq!(rig.call(&mut carol, Method::REFRESH, &[]).code(), 401, "an hour is an hour");
    }
}

/// R11: a new credential is judged by the wall clock, wherever that is.
#[test]
fn r11_a_jump_of_the_wall_clock_judges_new_credentials() {
    for (jump, refused) in [
        (DAY, Refused::Expired { ago_s: 86_400 - 100 }),
        (-DAY, Refused::TooFarAhead { ahead_s: 86_400 + 100, max_s: 86_400 }),
    ] {
        let mut rig = rig(CredentialExpiry::Strict);
        rig.jump(jump);
        assert_eq!(rig.call(&mut carol(100, Scheme::Rfc5389), Method::ALLOCATE, &[udp()]).code(), 401);
        assert_eq!(rig.last.denial(), Some(Denial::Credential(refused)));
    }
}
