//! Taking leave, and coming back.

use super::Office;
use super::answer::json;
use super::caller::Caller;
use super::input::{Input, switch, whole};
use super::problem::Problem;
use crate::control::drain::{Leave, Order, Stage};
use crate::control::utc::Utc;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How the server is to drain.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// Whether it stops once its last allocation is gone.
    #[serde(default, deserialize_with = "switch")]
    stop: bool,
    /// After how many seconds it stops in any case.
    #[serde(default, deserialize_with = "whole")]
    timeout_s: Option<u64>,
}

pub(super) async fn show(State(office): State<Arc<Office>>) -> Response {
    json(StatusCode::OK, &office.stage(office.plane.stage()))
}

pub(super) async fn begin(
    State(office): State<Arc<Office>>,
    Extension(caller): Extension<Caller>,
    Input(Wish { stop, timeout_s }): Input<Wish>,
) -> Result<Response, Problem> {
    if timeout_s.is_some() && !stop {
        return Err(Problem::unprocessable(
            "`timeout_s` is for a server that is to stop: send `stop` as well",
        ));
    }
    if is_final(office.plane.stage()) {
        return Err(has_been_told_to_stop());
    }
    let timeout = match timeout_s {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => office.plane.live().config.drain.timeout.filter(|_| stop),
    };
    tracing::info!(by = caller.name(), stop, "drain asked for");
    let order = Order { timeout, stops: stop, is_final: false };
    let stage = office.plane.drain(order).await.ok_or_else(Problem::on_its_way_out)?;
    Ok(json(StatusCode::OK, &office.stage(stage)))
}

pub(super) async fn cancel(
    State(office): State<Arc<Office>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    tracing::info!(by = caller.name(), "end of drain asked for");
    let stage = office.plane.undrain().await.ok_or_else(Problem::on_its_way_out)?;
    match is_final(stage) {
        true => Err(has_been_told_to_stop()),
        false => Ok(json(StatusCode::OK, &office.stage(stage))),
    }
}

impl Office {
    /// What the server is doing as a whole.
    pub(super) fn stage(&self, stage: Stage) -> Value {
        let time = |at| Utc::new(at).map(|time| time.to_string());
        let leave = match stage {
            Stage::Serving => None,
            Stage::Draining(leave) => Some(leave),
        };
        json!({
            "draining": leave.is_some(),
            "since": leave.and_then(|leave| time(leave.since)),
            "until": leave.and_then(|leave| time(leave.until?)),
            "stops": leave.is_some_and(|leave| leave.stops),
            "allocations": self.plane.quota().total(),
        })
    }
}

fn is_final(stage: Stage) -> bool {
    matches!(stage, Stage::Draining(Leave { is_final: true, .. }))
}

fn has_been_told_to_stop() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "the server has been told to stop by a signal, which nobody can take back",
    )
}
