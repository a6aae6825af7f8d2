//! Users that somebody outside decides about.

use std::sync::Arc;
use std::time::Duration;

use turnbridge::auth::authenticator::Credentials;
use turnbridge::auth::users::User;
use turnbridge::auth::{Authenticator, Key, PasswordAlgorithm, Refused, Revocations, Secret};
use turnbridge::turn::*;
use turnbridge::wire::{AttributeType, Class, Method};

use crate::rig::*;

fn asking() -> Rig {
    Rig::with(|setup| setup.settings.asks = true)
}

fn key(user: &str, password: &str) -> GrantedKeys {
    let derive = |algorithm| Some(Key::derive(algorithm, user, REALM, password.as_bytes()));
    GrantedKeys { md5: derive(PasswordAlgorithm::Md5), sha256: None }
}

fn dave(address: &str) -> Client {
    Client::new(address, "dave", "bowman")
}

fn grant() -> Grant {
    Grant { keys: Some(key("dave", "bowman")), ..Grant::default() }
}

fn challenged(rig: &mut Rig, client: &mut Client) {
    let request = client.unsigned(Method::ALLOCATE, &[udp()]);
    let answer = rig.ask(client, &request);
    client.accept_challenge(&answer);
}

/// Sends a request about which somebody must be asked.
fn ask(rig: &mut Rig, client: &Client, request: &[u8]) -> QueryId {
    let outs = rig.send(client, request).clone();
    let [Out::FindKey { query, user }] = &outs.0[..] else { panic!("nobody is asked: {outs:?}") };
    assert_eq!(*user, client.user);
    *query
}

fn decide(rig: &mut Rig, query: QueryId, verdict: &Verdict) -> Option<Answer> {
    let outs = rig.feed(Input::KeyFound { query, verdict });
    match &outs.to_client()[..] {
        [] => None,
        [(_, bytes)] => Some(Answer::parse(bytes)),
        more => panic!("{more:?}"),
    }
}

/// Allocates under a grant.
fn allocate(rig: &mut Rig, client: &mut Client, grant: Grant) -> Answer {
    if client.challenge.is_none() {
        challenged(rig, client);
    }
    let request = client.signed(Method::ALLOCATE, &[udp()]);
    let query = ask(rig, client, &request);
    decide(rig, query, &Verdict::Granted(grant)).unwrap()
}

#[test]
fn a_request_waits_for_the_verdict_and_its_owner_is_not_asked_about_again() {
    let (mut rig, mut dave) = (asking(), dave("192.0.2.1:1000"));
    assert_eq!(allocate(&mut rig, &mut dave, grant()).code(), 0);
    assert_eq!(rig.call(&mut dave, Method::REFRESH, &[]).code(), 0);
    rig.bind(&mut dave, 0x4000, addr("9.9.9.9:9"));
    assert_eq!(rig.call(&mut dave, Method::REFRESH, &[lifetime(0)]).code(), 0);
    rig.assert_nothing_is_left();
}

#[test]
fn nobody_is_asked_about_strangers_who_were_not_challenged() {
    let (mut rig, mut dave) = (asking(), dave("192.0.2.1:1000"));
    challenged(&mut rig, &mut dave);
    let mut elsewhere = Client { address: addr("192.0.2.9:9"), ..dave.clone() };
    let request = elsewhere.signed(Method::ALLOCATE, &[udp()]);
    assert_eq!(rig.ask(&elsewhere, &request).code(), 438, "the nonce is another client's");
}

#[test]
fn a_refusal_and_a_wrong_password_are_the_same_for_the_client() {
    let (mut rig, mut client) = (asking(), Client { password: "wrong".into(), ..dave("192.0.2.1:1000") });
    assert_eq!(allocate(&mut rig, &mut client, grant()).code(), 401);
    assert_eq!(rig.last.denial(), Some(Denial::WrongPassword(Tried::default())));
    let request = client.signed(Method::ALLOCATE, &[udp()]);
    let query = ask(&mut rig, &client, &request);
    let verdict = Verdict::Refused { reason: "the bill is not paid".into() };
    let answer = decide(&mut rig, query, &verdict).unwrap();
    assert_eq!((answer.code(), answer.phrase().as_str()), (401, ""));
    assert_eq!(rig.last.denial(), Some(Denial::Verdict));
    rig.assert_nothing_is_left();
}

#[test]
fn a_grant_without_keys_leaves_the_password_to_the_server() {
    let mut rig = asking();
    let mut alice = Client::alice("192.0.2.1:1000");
    assert_eq!(allocate(&mut rig, &mut alice, Grant::default()).code(), 0);
    let mut thief = Client::new("192.0.2.2:1000", "alice", "wrong");
    assert_eq!(allocate(&mut rig, &mut thief, Grant::default()).code(), 401);
    let mut nobody = dave("192.0.2.3:1000");
    assert_eq!(allocate(&mut rig, &mut nobody, Grant::default()).code(), 401);
    assert_eq!(rig.last.denial(), Some(Denial::Credential(Refused::UnknownUser)));
}

#[test]
fn retransmissions_wait_once_and_late_or_doubled_verdicts_do_nothing() {
    let (mut rig, mut dave) = (asking(), dave("192.0.2.1:1000"));
    challenged(&mut rig, &mut dave);
    let request = dave.signed(Method::ALLOCATE, &[udp()]);
    let query = ask(&mut rig, &dave, &request);
    assert!(rig.send(&dave, &request).0.is_empty(), "it is known that somebody must be asked");
    let verdict = Verdict::Granted(grant());
    assert_eq!(decide(&mut rig, query, &verdict).unwrap().code(), 0);
    assert_eq!(decide(&mut rig, query, &verdict), None);
    assert_eq!(rig.ask(&dave, &request).code(), 0, "a later one gets the same answer");
    assert_eq!(rig.relay.allocations(), 1);
}

#[test]
fn a_connection_that_closes_takes_its_waiting_requests_along() {
    let (mut rig, mut dave) = (asking(), dave("192.0.2.1:1000").over(Transport::Tcp));
    challenged(&mut rig, &mut dave);
    let request = dave.signed(Method::ALLOCATE, &[udp()]);
    let query = ask(&mut rig, &dave, &request);
    rig.disconnect(&dave);
    assert_eq!(decide(&mut rig, query, &Verdict::Granted(grant())), None);
    rig.assert_nothing_is_left();
}

#[test]
fn so_many_may_wait_and_no_more() {
    let mut rig = asking();
    let mut waiting = 0;
    for port in 1..=1100 {
        let mut client = dave(&format!("192.0.{}.{}:1", port / 256, port % 256));
        challenged(&mut rig, &mut client);
        let request = client.signed(Method::ALLOCATE, &[udp()]);
        waiting += usize::from(!rig.send(&client, &request).0.is_empty());
    }
    assert_eq!((waiting, rig.relay.counters().unasked), (1024, 76));
}

#[test]
fn terms_limit_one_user_and_nobody_else() {
    let terms =
        Terms { allocations: Some(1), bandwidth: Some(Rate { per_second: 100, burst: 100 }), peers: None };
    let grant = Grant { terms: Some(Arc::new(terms)), ..grant() };
    let mut rig = asking();
    let mut first = dave("192.0.2.1:1");
    assert_eq!(allocate(&mut rig, &mut first, grant.clone()).code(), 0);
    assert_eq!(allocate(&mut rig, &mut dave("192.0.2.1:2"), grant).code(), 486);
    assert_eq!(rig.last.denial(), Some(Denial::Quota(QuotaError::User)));
    rig.bind(&mut first, 0x4000, addr("9.9.9.9:9"));
    let mut alice = Client::alice("192.0.2.2:1");
    assert_eq!(allocate(&mut rig, &mut alice, Grant::default()).code(), 0);
    rig.bind(&mut alice, 0x4000, addr("9.9.9.9:9"));
    // A reload leaves it as it is.
    rig.reload(|_, _| {});
    for (client, passes) in [(&first, 1), (&alice, 5)] {
        let sent = (0..5).filter(|_| !rig.send(client, &channel_data(0x4000, &[0; 100])).0.is_empty());
        assert_eq!(sent.count(), passes, "{client:?}");
    }
}

#[test]
fn peer_terms_open_and_close_ranges_for_one_user_but_never_the_server_itself() {
    let nets = |nets: &[&str]| nets.iter().map(|net| net.parse().unwrap()).collect::<Vec<_>>();
    let peers = PeerTerms::new(&nets(&["10.0.0.0/8", "44.0.0.0/24", "9.9.9.9/32"]), &nets(&["9.9.0.0/16"]));
    let terms = Terms { peers: Some(peers), ..Terms::default() };
    let grant = Grant { terms: Some(Arc::new(terms)), ..grant() };
    let mut rig = asking();
    let mut dave = dave("192.0.2.1:1");
    assert_eq!(allocate(&mut rig, &mut dave, grant).code(), 0);
    let cases: &[(&str, Result<(), &str>)] = &[
        ("10.1.2.3:4", Ok(())),
        ("9.9.9.9:9", Ok(())),
        ("9.9.1.1:1", Err("user-terms")),
        ("8.8.8.8:8", Ok(())),
        ("192.168.1.1:1", Err("private")),
        (LISTENER, Err("own-service")),
        ("239.0.0.1:1", Err("multicast")),
    ];
    for (at, (peer, expected)) in (0x4000..).zip(cases) {
        let code = rig.call(&mut dave, Method::CHANNEL_BIND, &[channel(at), xor_peer(addr(peer))]).code();
        assert_eq!(code, if expected.is_ok() { 0 } else { 403 }, "{peer}");
        assert_eq!(rig.last.denial(), expected.err().map(Denial::Peer), "{peer}");
    }
    let channels = |rig: &Rig| rig.relay.sessions(rig.now(), 0, 9).0[0].channels;
    let before = channels(&rig);
    rig.reload(|_, rules| rules.deny = vec!["0.0.0.0/0".parse().unwrap()]);
    assert_eq!((before, channels(&rig)), (3, 2), "what the user's terms allow stays");
}

#[test]
fn granted_keys_expire_are_revoked_and_name_the_user() {
    let mut rig = asking();
    let mut client = dave("192.0.2.1:1");
    let until = |expires| Grant { expires: Some(expires), user_id: Some("crew-1".into()), ..grant() };
    assert_eq!(allocate(&mut rig, &mut client, until(START - 1)).code(), 401);
    assert!(matches!(rig.last.denial(), Some(Denial::Credential(Refused::Expired { .. }))));
    assert_eq!(allocate(&mut rig, &mut client, until(START + 100)).code(), 0);
    let session = rig.relay.sessions(rig.now(), 0, 9).0.remove(0);
    assert_eq!((&*session.user, &*session.user_id), ("dave", "crew-1"));
    rig.advance(Duration::from_secs(101));
    let request = client.signed(Method::REFRESH, &[]);
    assert_eq!(rig.ask(&client, &request).code(), 401);
    assert!(matches!(rig.last.denial(), Some(Denial::CredentialExpired { .. })));
}

/// Nobody outside can be asked about a hash, nor is sure to know the newer key.
#[test]
fn neither_hashed_names_nor_newer_keys_are_offered_where_somebody_is_asked() {
    let (mut rig, mut dave) = (asking(), dave("192.0.2.1:1000"));
    let request = dave.unsigned(Method::ALLOCATE, &[udp()]);
    let answer = rig.ask(&dave, &request);
    assert_eq!(answer.get(AttributeType::PASSWORD_ALGORITHMS).unwrap(), [0, 1, 0, 0]);
}

/// THREATS A10: what can be no user's name is refused as ever, and nobody is bothered with it.
#[test]
fn nobody_is_asked_about_what_is_no_name() {
    for user in [vec![b'x'; 509], b"ev\0il".to_vec(), vec![0xFF, 0xFE]] {
        let (mut rig, mut dave) = (asking(), dave("192.0.2.1:1000"));
        challenged(&mut rig, &mut dave);
        let mut attributes = dave.credentials();
        attributes.retain(|it| !matches!(it, Attr::Raw(AttributeType::USERNAME, _)));
        attributes.extend([raw(AttributeType::USERNAME, &user), udp(), dave.seal()]);
        let header = dave.header(Class::Request, Method::ALLOCATE);
        let answer = rig.ask(&dave, &build(header, &attributes));
        assert_eq!((answer.code(), answer.has(AttributeType::NONCE)), (401, true));
        assert!(matches!(rig.last.denial(), Some(Denial::Credential(Refused::NotAUserName(_)))));
    }
}

/// Over a connection nothing is sent again, so that a client would wait for ever.
#[test]
fn a_request_that_cannot_wait_ends_its_connection() {
    let (mut rig, mut dave) = (asking(), dave("192.0.2.1:1000").over(Transport::Tcp));
    challenged(&mut rig, &mut dave);
    let request = dave.signed(Method::ALLOCATE, &[udp(), raw(AttributeType(0xC0DE), &[0; 2048])]);
    assert_eq!(rig.send(&dave, &request).0, [Out::CloseClient(dave.tuple())]);
}

/// Whoever can answer a challenge could otherwise have somebody outside asked about any number of made-up names.
#[test]
fn who_asks_about_many_names_is_silenced_and_nobody_else_notices() {
    let budget = Rate { per_second: 1, burst: 100 };
    let mut rig = Rig::with(|setup| {
        setup.settings.asks = true;
        setup.settings.challenge_budget = budget;
    });
    let mut thief = dave("192.0.2.66:1");
    challenged(&mut rig, &mut thief);
    let mut asked = 0;
    for number in 0..100 {
        thief.user = format!("made-up-{number}");
        let request = thief.signed(Method::ALLOCATE, &[udp()]);
        asked += usize::from(matches!(&rig.send(&thief, &request).0[..], [Out::FindKey { .. }]));
    }
    assert_eq!(asked, 9, "99 are left of the budget, and each costs as much as a wrong password");
    assert_eq!(rig.last.noted(), Some(Denial::Silenced));
    assert_eq!(allocate(&mut rig, &mut dave("192.0.2.1:1"), grant()).code(), 0);
}

#[test]
fn a_decision_gives_back_what_asking_has_cost() {
    let budget = Rate { per_second: 1, burst: 20 };
    let mut rig = Rig::with(|setup| {
        setup.settings.asks = true;
        setup.settings.challenge_budget = budget;
    });
    for port in 1..=15 {
        let code = allocate(&mut rig, &mut dave(&format!("192.0.2.1:{port}")), grant()).code();
        assert_eq!(code, 0, "client {port} behind one address");
    }
}

/// An answer can be lost on its way back; a retransmission has it asked again, not sooner than that can be.
#[test]
fn a_retransmission_asks_again_when_the_answer_is_overdue() {
    let (mut rig, mut dave) = (asking(), dave("192.0.2.1:1000"));
    challenged(&mut rig, &mut dave);
    let request = dave.signed(Method::ALLOCATE, &[udp()]);
    let query = ask(&mut rig, &dave, &request);
    rig.advance(Duration::from_millis(400));
    assert!(rig.send(&dave, &request).0.is_empty());
    rig.advance(Duration::from_millis(100));
    assert_eq!(ask(&mut rig, &dave, &request), query, "the same question");
    assert_eq!(decide(&mut rig, query, &Verdict::Granted(grant())).unwrap().code(), 0);
}

#[test]
fn a_hashed_name_is_refused_and_not_left_without_an_answer() {
    let (mut rig, mut alice) = (asking(), Client::alice("192.0.2.1:1"));
    challenged(&mut rig, &mut alice);
    alice.scheme = Scheme::UserHash;
    alice.challenge.as_mut().unwrap().algorithms = vec![0, 1, 0, 0];
    let user = raw(AttributeType::USERHASH, &turnbridge::auth::users::userhash("alice", REALM));
    let challenge = alice.challenge.clone().unwrap();
    let attributes = [
        udp(),
        user,
        raw(AttributeType::REALM, &challenge.realm),
        raw(AttributeType::NONCE, &challenge.nonce),
        Attr::Sha1(alice.key()),
    ];
    let request = alice.unsigned(Method::ALLOCATE, &attributes);
    assert_eq!(rig.ask(&alice, &request).code(), 401);
}

/// By the name in the credential, by the part of it that stays, and by what somebody outside calls the user.
#[test]
fn a15_a_user_is_revoked_under_each_of_its_names() {
    let revocations = Arc::new(Revocations::default());
    let credentials = Credentials {
        realm: REALM.into(),
        users: vec![User::with_password("alice", &Secret::new("wonderland")).unwrap()],
        ..Credentials::default()
    };
    let authenticator = Arc::new(Authenticator::new(credentials).under(revocations.clone()));
    let expiring = format!("{}:dave", START + 500);
    for name in [expiring.as_str(), "dave", "crew-1"] {
        let mut rig = asking();
        let authenticator = authenticator.clone();
        rig.operate(|relay, now, mut out| relay.set_authenticator(now, authenticator, &mut out));
        let mut client = Client::new("192.0.2.1:1", &expiring, "bowman");
        let granted = || Grant {
            keys: Some(key(&expiring, "bowman")),
            user_id: Some("crew-1".into()),
            ..Grant::default()
        };
        assert_eq!(allocate(&mut rig, &mut client, granted()).code(), 0);
        revocations.add(name, None, START).unwrap();
        let ended =
            rig.operate(|relay, now, mut out| relay.end_user(now, name, EndReason::Revoked, &mut out));
        assert_eq!(ended, 1, "{name}");
        assert_eq!(allocate(&mut rig, &mut client, granted()).code(), 401, "{name}");
        assert_eq!(rig.last.denial(), Some(Denial::Credential(Refused::Revoked)), "{name}");
        revocations.remove(name);
    }
    // The same where the password is the server's own to judge.
    let mut rig = asking();
    rig.operate(|relay, now, mut out| relay.set_authenticator(now, authenticator, &mut out));
    revocations.add("acct-7", None, START).unwrap();
    let policy = Grant { user_id: Some("acct-7".into()), ..Grant::default() };
    assert_eq!(allocate(&mut rig, &mut Client::alice("192.0.2.2:1"), policy).code(), 401);
}

/// What tells a static user's allocation from others is whose key it is, not what else was said of it.
#[test]
fn a_static_user_that_is_removed_is_out_whatever_terms_it_had() {
    let mut rig = asking();
    let terms = Terms { allocations: Some(5), ..Terms::default() };
    let policy = Grant { terms: Some(Arc::new(terms)), expires: Some(START + 500), ..Grant::default() };
    assert_eq!(allocate(&mut rig, &mut Client::alice("192.0.2.1:1"), policy).code(), 0);
    assert_eq!(allocate(&mut rig, &mut dave("192.0.2.2:1"), grant()).code(), 0);
    let credentials = Credentials { realm: REALM.into(), ..Credentials::default() };
    let nobody = Arc::new(Authenticator::new(credentials));
    rig.operate(|relay, now, mut out| relay.set_authenticator(now, nobody, &mut out));
    let left: Vec<_> = rig.relay.sessions(rig.now(), 0, 9).0.into_iter().map(|it| it.user).collect();
    assert_eq!(left, ["dave".into()], "the key of the other one was given from outside");
}

/// A reload can change what is offered; whoever answers the old offer is told the new one.
#[test]
fn a_changed_offer_of_algorithms_is_a_stale_nonce_and_no_malformed_request() {
    let mut rig = Rig::new();
    let mut alice = Client::alice("192.0.2.1:1").with_scheme(Scheme::Sha256);
    rig.allocate(&mut alice, &[]);
    // As long after the challenge as a client may have been content with it.
    rig.advance(Duration::from_secs(590));
    rig.oversleep(Duration::from_secs(9));
    rig.reload(|settings, _| settings.asks = true);
    let mut liar = alice.clone();
    liar.challenge.as_mut().unwrap().nonce = b"obMatJos2gAAAmadeupmadeup".to_vec();
    let request = liar.signed(Method::REFRESH, &[]);
    assert_eq!(rig.ask(&liar, &request).code(), 400, "an offer that nobody has made is no offer");
    let request = alice.signed(Method::REFRESH, &[]);
    let answer = rig.ask(&alice, &request);
    assert_eq!(answer.code(), 438);
    alice.accept_challenge(&answer);
    assert_eq!(alice.challenge.as_ref().unwrap().algorithms, [0, 1, 0, 0]);
    alice.scheme = Scheme::Md5;
    let request = alice.signed(Method::REFRESH, &[]);
    let query = ask(&mut rig, &alice, &request);
    assert_eq!(decide(&mut rig, query, &Verdict::Granted(Grant::default())).unwrap().code(), 0);
}
