//! Reading the configuration again.

use super::Office;
use super::answer::json;
use super::caller::Caller;
use super::problem::Problem;
use crate::control::difference::Change;
use crate::control::reload::{Problems, Reloaded};
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;

/// The server reads what it was started with; a request cannot name another file.
pub(super) async fn reload(
    State(office): State<Arc<Office>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    tracing::info!(by = caller.name(), "reload asked for");
    let reload = office.plane.reload().await.ok_or_else(Problem::on_its_way_out)?;
    let Reloaded { changes, at_restart, warnings, missing } = reload.map_err(|Problems(problems)| {
        Problem::new(
            StatusCode::CONFLICT,
            format!("the configuration is not good, and what ran goes on:\n{}", problems.join("\n")),
        )
    })?;
    Ok(json(
        StatusCode::OK,
        &json!({
            "changes": changes.iter().map(show).collect::<Vec<_>>(),
            "at_restart": at_restart.iter().map(show).collect::<Vec<_>>(),
            "in_force": missing.is_empty(),
            "warnings": missing.iter().chain(&warnings).collect::<Vec<_>>(),
        }),
    ))
}

fn show(Change { key, old, new }: &Change) -> Value {
    json!({ "key": key, "old": old, "new": new })
}
