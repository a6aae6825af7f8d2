//! Credentials that are to be good no more.

use super::Office;
use super::answer::json;
use super::caller::Caller;
use super::input::Named;
use super::problem::Problem;
use crate::auth::name;
use crate::control::revoked::RevokeError;
use crate::control::utc::Utc;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::Arc;

/// Revokes a credential by its whole user name, or all of a user by the id in it. What it holds ends at once.
pub(super) async fn revoke(
    State(office): State<Arc<Office>>,
    Extension(caller): Extension<Caller>,
    Named(username): Named,
) -> Result<Response, Problem> {
    name::check_username(username.as_bytes())
        .map_err(|bad| Problem::unprocessable(format!("this is no user name: {bad}")))?;
    tracing::info!(by = caller.name(), user = username, "revocation asked for");
    office.plane.revoke(&username).await.map_err(problem)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// All that is revoked.
pub(super) async fn list(State(office): State<Arc<Office>>) -> Response {
    let revocations = office.plane.revocations();
    let shown = revocations.iter().map(|(name, until)| {
        let until = until.and_then(Utc::new).map(|until| until.to_string());
        json!({ "username": name, "until": until })
    });
    json(StatusCode::OK, &json!({ "revocations": shown.collect::<Vec<_>>() }))
}

/// Takes a revocation back.
pub(super) async fn restore(
    State(office): State<Arc<Office>>,
    Extension(caller): Extension<Caller>,
    Named(username): Named,
) -> Result<Response, Problem> {
    if !office.plane.restore(&username).map_err(problem)? {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "nothing of this name is revoked; /v1/revocations lists what is",
        ));
    }
    tracing::info!(by = caller.name(), user = username, "revocation taken back");
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn problem(error: RevokeError) -> Problem {
    let status = match error {
        RevokeError::Full => StatusCode::CONFLICT,
        RevokeError::NotKept(_) => StatusCode::INTERNAL_SERVER_ERROR,
        RevokeError::Unanswered => StatusCode::SERVICE_UNAVAILABLE,
    };
    Problem::new(status, error.to_string())
}
