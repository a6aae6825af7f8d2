//! The configuration in use.

use super::Office;
use super::answer::json;
use super::problem::Problem;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use std::sync::Arc;

/// All keys with their values, secrets masked.
pub(super) async fn show(State(office): State<Arc<Office>>) -> Result<Response, Problem> {
    Ok(json(StatusCode::OK, &office.plane.live().raw))
}
