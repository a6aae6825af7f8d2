//! Allocations: list them, look at one, end one.

use super::Office;
use super::answer::json;
use super::caller::Caller;
use super::input::{Input, Named, whole};
use super::problem::Problem;
use super::session_view::{Side, brief, full, silent};
use crate::control::sessions::SessionId;
use crate::turn::{Session, Transport};
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Which sessions are wanted; all of what is given must fit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// A whole user name, or the part of it that stays.
    user: Option<String>,
    /// The client's address.
    ip: Option<IpAddr>,
    /// A relay address, with or without its port.
    relay: Option<String>,
    /// How the client comes.
    transport: Option<ClientTransport>,
    /// Who has been silent.
    silent: Option<Side>,
    /// How many at once.
    #[serde(default, deserialize_with = "whole")]
    limit: Option<u64>,
    /// Go on behind this session.
    cursor: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ClientTransport {
    Udp,
    Tcp,
    Tls,
}

/// Sessions in one answer.
const USUAL: u64 = 100;
const MOST: u64 = 1000;

pub(super) async fn list(
    State(office): State<Arc<Office>>,
    Input(wish): Input<Wish>,
) -> Result<Response, Problem> {
    let filter = Filter::of(&wish)?;
    let limit = wish.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::unprocessable(format!("`limit` is from 1 to {MOST}; follow `next` for more")));
    }
    let after = wish
        .cursor
        .as_deref()
        .map(str::parse::<SessionId>)
        .transpose()
        .map_err(|_| Problem::unprocessable("`cursor` is the `next` of an earlier answer"))?;
    let sessions = office.plane.sessions().await.map_err(Problem::unanswered)?;
    let fitting: Vec<_> = sessions.iter().filter(|(_, session)| filter.fits(session)).collect();
    let behind = fitting.iter().filter(|(id, _)| after.is_none_or(|after| *id > after));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let page: Vec<_> = behind.clone().take(limit).collect();
    let next = page.last().filter(|_| behind.count() > page.len()).map(|(id, _)| id.to_string());
    let live = office.plane.live();
    let shown: Vec<_> = page.iter().map(|(id, session)| brief(*id, session, &live.advert)).collect();
    Ok(json(StatusCode::OK, &json!({ "sessions": shown, "total": fitting.len(), "next": next })))
}

pub(super) async fn show(State(office): State<Arc<Office>>, Named(id): Named) -> Result<Response, Problem> {
    let id = id.parse().map_err(|_| no_such_session())?;
    let found = office.plane.session(id).await.map_err(Problem::unanswered)?;
    let detail = found.ok_or_else(no_such_session)?;
    Ok(json(StatusCode::OK, &full(id, &detail, &office.plane.live().advert)))
}

pub(super) async fn end(
    State(office): State<Arc<Office>>,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
) -> Result<Response, Problem> {
    let id: SessionId = id.parse().map_err(|_| no_such_session())?;
    if !office.plane.kick(id).await.map_err(Problem::unanswered)? {
        return Err(no_such_session());
    }
    tracing::info!(by = caller.name(), session = %id, "allocation ended by an operator");
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn no_such_session() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "there is no such session, or no more; /v1/sessions lists those there are",
    )
}

struct Filter<'w> {
    wish: &'w Wish,
    relay: Option<RelayWish>,
}

#[derive(Clone, Copy)]
enum RelayWish {
    Address(IpAddr),
    Port(SocketAddr),
}

impl<'w> Filter<'w> {
    fn of(wish: &'w Wish) -> Result<Self, Problem> {
        let read = |text: &String| {
            let port = || text.parse().map(RelayWish::Port);
            text.parse()
                .map(RelayWish::Address)
                .or_else(|_| port())
                .map_err(|_| Problem::unprocessable("`relay` is an address, or an address and a port"))
        };
        Ok(Self { wish, relay: wish.relay.as_ref().map(read).transpose()? })
    }

    fn fits(&self, session: &Session) -> bool {
        let Wish { user, ip, transport, silent: silence, .. } = self.wish;
        let is_user = |user: &String| **user == *session.user || **user == *session.user_id;
        let is_relay = |wanted: RelayWish| {
            session.relays.iter().flatten().any(|relay| match wanted {
                RelayWish::Address(ip) => relay.ip() == ip,
                RelayWish::Port(address) => *relay == address,
            })
        };
        let comes_by = |transport: ClientTransport| {
            session.client.listener().transport()
                == match transport {
                    ClientTransport::Udp => Transport::Udp,
                    ClientTransport::Tcp => Transport::Tcp,
                    ClientTransport::Tls => Transport::Tls,
                }
        };
        user.as_ref().is_none_or(is_user)
            && ip.is_none_or(|ip| session.client.client().ip() == ip)
            && self.relay.is_none_or(is_relay)
            && transport.is_none_or(comes_by)
            && silence.is_none_or(|side| silent(session).contains(&side))
    }
}
