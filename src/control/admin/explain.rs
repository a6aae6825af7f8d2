//! Why a certain user cannot connect: the last decisions about a name or an address, in words.

use super::Office;
use super::answer::json;
use super::input::{Input, whole};
use super::problem::Problem;
use crate::control::explain::{Decision, Question};
use crate::control::utc::Utc;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;

/// Whom the decisions are about; all of what is given must fit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    user: Option<String>,
    ip: Option<IpAddr>,
    #[serde(default, deserialize_with = "whole")]
    limit: Option<u64>,
}

/// Decisions in one answer.
const USUAL: u64 = 20;
const MOST: u64 = 1000;

pub(super) async fn explain(
    State(office): State<Arc<Office>>,
    Input(Wish { user, ip, limit }): Input<Wish>,
) -> Result<Response, Problem> {
    let limit = limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::unprocessable(format!("`limit` is from 1 to {MOST}")));
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let decisions = office.plane.decisions().about(&Question { user, ip }, limit);
    let shown: Vec<_> = decisions.iter().map(show).collect();
    Ok(json(StatusCode::OK, &json!({ "decisions": shown })))
}

fn show(decision: &Decision) -> Value {
    let time = |at: u64| Utc::new(at).map(|time| time.to_string());
    let user = decision.user.as_ref();
    json!({
        "first": time(decision.first),
        "last": time(decision.last),
        "times": decision.times,
        "client": decision.client,
        "transport": decision.transport,
        "user": user.map(|(name, _)| name),
        "user_id": user.map(|(_, id)| id),
        "kind": decision.kind(),
        "code": decision.code(),
        "text": decision.to_string(),
        "hint": decision.hint(),
    })
}
