//! The description of the API (OpenAPI 3.1), the same as in `docs/`.

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// The document. A test keeps it and the router alike.
pub(super) const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

pub(super) async fn show() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
