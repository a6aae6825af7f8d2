//! The metrics, for who may see more than them; `metrics.listen` tells them without a key.

use super::Office;
use super::problem::Problem;
use crate::control::metrics::Format;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

pub(super) async fn show(State(office): State<Arc<Office>>, headers: HeaderMap) -> Result<Response, Problem> {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::accepted(accept);
    let text = office.metrics.scrape(format).await.ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "the metrics are switched off: metrics.enabled = false")
    })?;
    Ok(([(header::CONTENT_TYPE, format.content_type())], text).into_response())
}
