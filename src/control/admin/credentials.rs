//! Credentials in the shapes that applications know: the TURN REST draft, a browser's `RTCConfiguration`, Twilio.

use super::Office;
use super::answer::json;
use super::caller::Caller;
use super::input::{Input, Named, whole};
use super::minting::Minted;
use super::problem::Problem;
use crate::control::ice_servers::{self, IceServer};
use crate::control::utc::{Utc, unix_now};
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// What an application asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// The draft has it, and knows one service.
    #[serde(default)]
    service: Option<String>,
    /// Whom it is for. Empty: nobody in particular.
    #[serde(default)]
    username: Option<String>,
    /// For how long, in seconds.
    #[serde(default, deserialize_with = "whole")]
    ttl: Option<u64>,
}

/// The shape of draft-uberti-behave-turn-rest-00.
pub(super) async fn draft(
    State(office): State<Arc<Office>>,
    Extension(caller): Extension<Caller>,
    Input(wish): Input<Wish>,
) -> Result<Response, Problem> {
    let minted = office.grant(&caller, &wish)?;
    let Minted { username, password, ttl, urls } = &minted;
    let uris: Vec<_> = urls.iter().filter(|url| url.starts_with("turn")).collect();
    Ok(json(
        StatusCode::OK,
        &json!({
            "username": username, "password": password.expose(), "ttl": ttl, "uris": uris,
        }),
    ))
}

/// The shape of a browser's `RTCConfiguration`.
pub(super) async fn browser(
    State(office): State<Arc<Office>>,
    Extension(caller): Extension<Caller>,
    Input(wish): Input<Wish>,
) -> Result<Response, Problem> {
    let minted = office.grant(&caller, &wish)?;
    let (stun, turn) = minted.for_browsers();
    let mut servers = Vec::with_capacity(2);
    if !stun.is_empty() {
        servers.push(IceServer::stun(&stun));
    }
    servers.push(IceServer::turn(&turn, &minted.username, minted.password.expose()));
    Ok(json(StatusCode::OK, &ice_servers::configuration(&servers)))
}

/// What Twilio takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TwilioWish {
    #[serde(default, rename = "Ttl", deserialize_with = "whole")]
    ttl: Option<u64>,
}

/// The shape of Twilio's Network Traversal Service. Its requests do not say whom a token is for, so each is for somebody
/// of its own: quotas count it by itself, and it can be revoked by itself.
pub(super) async fn twilio(
    State(office): State<Arc<Office>>,
    Extension(caller): Extension<Caller>,
    Named(account): Named,
    Input(wish): Input<TwilioWish>,
) -> Result<Response, Problem> {
    let user = crate::control::private_file::random_hex::<16>().map_err(|error| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("the system has no random numbers: {error}"))
    })?;
    let minted = office.mint(&caller, &user, wish.ttl)?;
    let password = minted.password.expose();
    let (stun, turn) = minted.for_browsers();
    let stun = stun.iter().map(|url| json!({ "url": url, "urls": url }));
    let turn = turn
        .iter()
        .map(|url| json!({ "url": url, "urls": url, "username": minted.username, "credential": password }));
    let now = Utc::new(unix_now()).map(Utc::rfc_2822);
    Ok(json(
        StatusCode::CREATED,
        &json!({
            "account_sid": account,
            "username": minted.username,
            "password": password,
            "ttl": minted.ttl.to_string(),
            "date_created": now,
            "date_updated": now,
            "ice_servers": stun.chain(turn).collect::<Vec<Value>>(),
        }),
    ))
}

impl Office {
    fn grant(&self, caller: &Caller, wish: &Wish) -> Result<Minted, Problem> {
        if wish.service.as_deref().is_some_and(|service| service != "turn") {
            return Err(Problem::unprocessable("`service` is \"turn\", the only one there is"));
        }
        self.mint(caller, wish.username.as_deref().unwrap_or_default(), wish.ttl)
    }
}
