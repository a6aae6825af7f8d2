//! What a request brings: the query, and a body of JSON or of a form, as one flat set of fields.

use super::problem::Problem;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::{HeaderMap, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::time::Duration;

/// The fields of a request.
pub(super) struct Input<T>(pub(super) T);

/// The one variable part of a path.
pub(super) struct Named(pub(super) String);

/// More than any request needs.
const BODY_SIZE: usize = 64 << 10;
const BODY_PATIENCE: Duration = Duration::from_secs(10);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let mut fields = Map::new();
        let query = parts.uri.query().unwrap_or_default();
        // The key has been judged at the gate.
        add_form(query.as_bytes(), |name| name != "key", &mut fields)?;
        let body = read(body).await?;
        if !body.is_empty() {
            add_body(&parts.headers, &body, &mut fields)?;
        }
        let read = serde_json::from_value(Value::Object(fields));
        read.map(Self).map_err(|error| Problem::unprocessable(error.to_string()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(name)| Self(name)).map_err(|error| Problem::malformed(error.body_text()))
    }
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    let collected = Limited::new(body, BODY_SIZE).collect();
    match tokio::time::timeout(BODY_PATIENCE, collected).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a body has at most {BODY_SIZE} bytes")))
        }
        Ok(Err(_)) => Err(Problem::malformed("the body ends too early")),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    }
}

fn add_body(headers: &HeaderMap, body: &[u8], fields: &mut Map<String, Value>) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).map_or("", |kind| kind.to_str().unwrap_or_default());
    match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/x-www-form-urlencoded" => add_form(body, |_| true, fields),
        "application/json" => {
            let object: Map<String, Value> = serde_json::from_slice(body)
                .map_err(|error| Problem::malformed(format!("the body is no JSON object: {error}")))?;
            object.into_iter().try_for_each(|(name, value)| add(name, value, fields))
        }
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a body is application/json or application/x-www-form-urlencoded",
        )),
    }
}

fn add_form(
    text: &[u8],
    wanted: impl Fn(&str) -> bool,
    fields: &mut Map<String, Value>,
) -> Result<(), Problem> {
    for (name, value) in form_urlencoded::parse(text).filter(|(name, _)| wanted(name)) {
        // What was no UTF-8 has been replaced by this character.
        if name.contains('\u{FFFD}') || value.contains('\u{FFFD}') {
            return Err(Problem::malformed("a name or a value is not UTF-8"));
        }
        add(name.into_owned(), Value::String(value.into_owned()), fields)?;
    }
    Ok(())
}

fn add(name: String, value: Value, fields: &mut Map<String, Value>) -> Result<(), Problem> {
    match fields.contains_key(&name) {
        true => Err(Problem::unprocessable(format!("`{name}` is there twice"))),
        false => {
            fields.insert(name, value);
            Ok(())
        }
    }
}

/// For `#[serde(deserialize_with)]`: true or false, as JSON has it or as text.
pub(super) fn switch<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    match Value::deserialize(from)? {
        Value::Bool(on) => Ok(on),
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" => Ok(false),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            Err(serde::de::Error::custom("expected true or false"))
        }
    }
}

/// For `#[serde(deserialize_with)]`: a whole number, as JSON has it or as text, which is all that a query has.
pub(super) fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u64),
        Text(String),
    }
    let wrong = || serde::de::Error::custom("expected a whole number from 0");
    match Option::<Written>::deserialize(from).map_err(|_| wrong())? {
        None => Ok(None),
        Some(Written::Number(number)) => Ok(Some(number)),
        Some(Written::Text(text)) => text.parse().map(Some).map_err(|_| wrong()),
    }
}
