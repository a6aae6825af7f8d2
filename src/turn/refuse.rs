//! Refusing an authenticated request: the answer, the counters, and what operators are told.

use std::net::SocketAddr;

use super::answer::Sink;
use super::auth::{Authenticated, Who};
use super::event::Event;
use super::output::Output;
use super::refusal::{Denial, Refusal};
use super::relay::Relay;
use super::request::Request;

impl Relay {
    /// Refuses a request for what is wrong with it, or with the moment.
    pub(super) fn refuse(
        &mut self,
        request: &Request<'_>,
        authenticated: &Authenticated,
        refusal: Refusal,
        out: Sink<'_, '_>,
    ) {
        self.refuse_for(request, authenticated, refusal, Denial::Request(refusal), out);
    }

    /// Answers 403 and says which rule forbids the peer.
    pub(super) fn forbid(
        &mut self,
        request: &Request<'_>,
        authenticated: &Authenticated,
        peer: SocketAddr,
        rule: &'static str,
        out: Sink<'_, '_>,
    ) {
        let denial = Denial::Peer(rule);
        self.note_refusal(request, authenticated, Refusal::Forbidden, denial, Some(peer), out);
        request.addressee.refuse(Refusal::Forbidden, authenticated.proof(), out, |writer| writer);
    }

    /// Refuses an authenticated request for a reason that operators want to know.
    pub(super) fn refuse_for(
        &mut self,
        request: &Request<'_>,
        authenticated: &Authenticated,
        refusal: Refusal,
        denial: Denial,
        out: Sink<'_, '_>,
    ) {
        self.note_refusal(request, authenticated, refusal, denial, None, out);
        request.addressee.refuse(refusal, authenticated.proof(), out, |writer| writer);
    }

    /// Counts and tells a refusal that is about to be sent.
    pub(super) fn note_refusal(
        &mut self,
        request: &Request<'_>,
        authenticated: &Authenticated,
        refusal: Refusal,
        denial: Denial,
        peer: Option<SocketAddr>,
        out: Sink<'_, '_>,
    ) {
        let client = request.addressee.client;
        let method = request.method();
        self.counters.refuse(method, refusal);
        self.counters.deny(denial);
        let user = match &authenticated.who {
            Who::Owner => {
                let subject = self.subject(request);
                subject.and_then(|id| self.table.get(id)).map(|allocation| allocation.user.name())
            }
            Who::User { user, .. } => Some(user.name()),
        };
        out(Output::Event(Event::Refused { client, user, method, denial, words: None, peer }));
    }
}
