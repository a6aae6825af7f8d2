//! From which level on the running server logs.

use super::answer::json;
use super::caller::Caller;
use super::input::Input;
use super::problem::Problem;
use crate::config::choice::LogLevel;
use crate::config::units::Invalid;
use crate::control::logging;
use axum::extract::Extension;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    level: String,
}

pub(super) async fn show() -> Result<Response, Problem> {
    logging::level().map(answer).ok_or_else(no_log)
}

/// Changes it until the next start, or until a reload that finds another `log.level` than the last one did.
pub(super) async fn change(
    Extension(caller): Extension<Caller>,
    Input(wish): Input<Wish>,
) -> Result<Response, Problem> {
    let level: LogLevel = wish.level.parse().map_err(|Invalid(message)| Problem::unprocessable(message))?;
    if !logging::set_level(level) {
        return Err(no_log());
    }
    tracing::warn!(by = caller.name(), level = %level, "log level changed");
    Ok(answer(level))
}

fn answer(level: LogLevel) -> Response {
    json(StatusCode::OK, &json!({ "level": level.to_string() }))
}

fn no_log() -> Problem {
    Problem::new(StatusCode::CONFLICT, "this process logs to somewhere else")
}
