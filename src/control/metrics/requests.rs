//! What clients ask for, and why they do not get it.

use std::collections::BTreeMap;

use super::family::Family;
use super::snapshot::Snapshot;
use crate::auth::{Refused, name::BadName};
use crate::turn::{Counters, Denial, QuotaError, Refusal, Tally, Tried, method_name};
use crate::wire::Method;

pub(super) fn families(snapshot: &Snapshot) -> Vec<Family> {
    let (logins, others) = denials(snapshot);
    vec![
        requests(snapshot),
        Family::counter(
            "turnbridge_auth_failures",
            "Requests whose login failed, by the reason. The challenge that each login begins with is none.",
        )
        .by("reason", logins),
        Family::counter(
            "turnbridge_refusals",
            "Requests refused for another reason than their login, by it.",
        )
        .by("reason", others),
        Family::counter(
            "turnbridge_peers_denied",
            "Peers that clients asked for and may not reach, by the rule.",
        )
        .by("rule", tally(snapshot, &RULES, |it| &it.peers_denied)),
        Family::counter(
            "turnbridge_unauth_replies_sent",
            "Answers to clients that have not logged in: to Binding requests, and challenges.",
        )
        .by("kind", sent(snapshot)),
        Family::counter(
            "turnbridge_unauth_replies_suppressed",
            "Such answers not given, because their source had drawn its share: it may be forged.",
        )
        .by("kind", suppressed(snapshot)),
        Family::counter(
            "turnbridge_requests_unasked",
            "Requests dropped because too many waited for the auth webhook.",
        )
        .only(snapshot.relay(|it| it.unasked)),
    ]
}

/// How often a method was answered like this.
pub(super) fn answers(snapshot: &Snapshot, method: &str, meaning: Option<Refusal>) -> u64 {
    snapshot.relay(|it| {
        it.answers
            .iter()
            .filter(|(name, it, _)| *name == method && *it == meaning)
            .map(|(.., count)| count)
            .sum()
    })
}

/// What an answer means, in a label.
pub(super) fn word(meaning: Option<Refusal>) -> String {
    meaning.map_or_else(|| "success".to_owned(), |refusal| refusal.phrase().to_lowercase().replace(' ', "-"))
}

const METHODS: [Method; 7] = [
    Method::BINDING,
    Method::ALLOCATE,
    Method::REFRESH,
    Method::CREATE_PERMISSION,
    Method::CHANNEL_BIND,
    Method::CONNECT,
    Method::CONNECTION_BIND,
];

fn requests(snapshot: &Snapshot) -> Family {
    let family = Family::counter(
        "turnbridge_requests",
        "Requests answered, by their method and the code of the answer.",
    );
    let meanings = || std::iter::once(None).chain(Refusal::ALL.map(Some));
    let kinds = METHODS.into_iter().flat_map(|method| meanings().map(move |meaning| (method, meaning)));
    kinds.fold(family, |family, (method, meaning)| {
        let method = method_name(method);
        let code = meaning.map_or_else(|| "success".to_owned(), |refusal| refusal.code().to_string());
        family.with([("method", method.to_owned()), ("code", code)], answers(snapshot, method, meaning))
    })
}

/// Reasons why a login fails. What is not yet counted is told as 0, so that the first one is seen to be new.
const LOGINS: [Denial; 9] = [
    Denial::Credential(Refused::UnknownUser),
    Denial::Credential(Refused::Expired { ago_s: 0 }),
    Denial::Credential(Refused::TooFarAhead { ahead_s: 0, max_s: 0 }),
    Denial::Credential(Refused::Revoked),
    Denial::Credential(Refused::NotAUserName(BadName::Empty)),
    Denial::WrongPassword(Tried { user: false, secrets: 0 }),
    Denial::WrongRealm,
    Denial::OtherUser,
    Denial::Verdict,
];
/// The same for all other requests.
const OTHERS: [Denial; 13] = [
    Denial::Peer(""),
    Denial::Quota(QuotaError::User),
    Denial::Quota(QuotaError::Address),
    Denial::Quota(QuotaError::Total),
    Denial::NoPort,
    Denial::NoSocket,
    Denial::NoFamily,
    Denial::Permissions,
    Denial::Channels,
    Denial::OldChannel,
    Denial::Connections,
    Denial::Draining,
    Denial::TokenUnknown,
];
/// The rules that operators write and those that strangers run into most.
const RULES: [&str; 6] = ["peers.deny", "peers.ports", "own-host", "own-service", "private", "loopback"];

/// Numbers by a name of ours.
type Counts = Vec<(&'static str, u64)>;

/// Failed logins, and all else that was refused.
fn denials(snapshot: &Snapshot) -> (Counts, Counts) {
    let seeds: Vec<&str> = LOGINS.iter().chain(&OTHERS).map(|denial| denial.name()).collect();
    let all = tally(snapshot, &seeds, |it| &it.denials);
    // What is silenced is no refusal: nothing is answered.
    let told = all.into_iter().filter(|(name, _)| *name != Denial::Silenced.name());
    told.partition(|(name, _)| is_of_login(name))
}

fn is_of_login(name: &str) -> bool {
    LOGINS.iter().any(|denial| denial.name() == name)
}

fn tally<const N: usize>(
    snapshot: &Snapshot,
    seeds: &[&'static str],
    of: impl Fn(&Counters) -> &Tally<N>,
) -> Counts {
    let mut sums: BTreeMap<&'static str, u64> = seeds.iter().map(|name| (*name, 0)).collect();
    for (name, count) in snapshot.workers.iter().flat_map(|worker| of(&worker.relay).iter()) {
        *sums.entry(name).or_default() += count;
    }
    sums.into_iter().collect()
}

pub(super) fn sent(snapshot: &Snapshot) -> [(&'static str, u64); 2] {
    let challenges = [Refusal::Unauthenticated, Refusal::StaleNonce];
    let is_challenge = |meaning: Option<Refusal>| meaning.is_some_and(|it| challenges.contains(&it));
    let sum = |wanted: &dyn Fn(&str, Option<Refusal>) -> bool| {
        snapshot.relay(|it| {
            it.answers.iter().filter(|(name, it, _)| wanted(name, *it)).map(|(.., count)| count).sum()
        })
    };
    [
        ("binding", sum(&|method, _| method == "binding")),
        ("challenge", sum(&|_, meaning| is_challenge(meaning))),
    ]
}

pub(super) fn suppressed(snapshot: &Snapshot) -> [(&'static str, u64); 2] {
    let silenced = Denial::Silenced.name();
    let challenges = snapshot
        .relay(|it| it.denials.iter().filter(|(name, _)| *name == silenced).map(|(_, count)| count).sum());
    let all = snapshot.relay(|it| it.suppressed);
    [("binding", all.saturating_sub(challenges)), ("challenge", challenges)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_logins_are_told_apart_from_other_refusals() {
        assert!(LOGINS.iter().all(|denial| denial.is_of_login()));
        assert!(OTHERS.iter().all(|denial| !denial.is_of_login() && !is_of_login(denial.name())));
        assert!(is_of_login(Denial::CredentialExpired { ago_s: 1 }.name()));
    }

    #[test]
    fn the_meaning_of_an_answer_is_a_label() {
        assert_eq!(word(None), "success");
        assert_eq!(word(Some(Refusal::QuotaReached)), "allocation-quota-reached");
    }
}
