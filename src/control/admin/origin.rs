//! Which web pages may use a key from a browser (CORS, <https://fetch.spec.whatwg.org/>).
//!
//! None may unless a key lists its origin. What a page of another origin sends is refused even where the browser would
//! only keep the answer from it.

use super::problem::Problem;
use crate::config::admin::Scope;
use crate::config::checked::{AdminKey, Origins};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// A browser that asks whether a page may send something.
pub(super) struct Preflight {
    origin: HeaderValue,
    pub(super) method: Method,
}

impl Preflight {
    /// `None` if the request is something else.
    pub(super) fn of(request: &Request) -> Option<Self> {
        if request.method() != Method::OPTIONS {
            return None;
        }
        let wanted = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        let method = Method::from_bytes(wanted.as_bytes()).ok()?;
        Some(Self { origin: request.headers().get(header::ORIGIN)?.clone(), method })
    }

    /// It comes without a key, so the page may ask if it could have one that is good for what it wants.
    pub(super) fn answer(self, scope: Option<Scope>, keys: &[AdminKey]) -> Response {
        let could =
            |key: &AdminKey| scope.is_some_and(|scope| key.may(scope)) && is_in(&self.origin, &key.origins);
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        if !keys.iter().any(could) {
            return response;
        }
        if let Ok(method) = HeaderValue::from_str(self.method.as_str()) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method);
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.origin);
        let names = HeaderValue::from_static("authorization, content-type");
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        response
    }
}

/// The origin to be told that it may, if there is one and it may.
pub(super) fn check(headers: &HeaderMap, origins: Option<&Origins>) -> Result<Option<HeaderValue>, Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(None) };
    if origins.is_some_and(|origins| is_in(origin, origins)) {
        return Ok(Some(origin.clone()));
    }
    if is_same(origin, headers.get(header::HOST)) {
        return Ok(None);
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "pages of this origin may not use this key; list the origin in the key's allowed_origins if they are to",
    ))
}

/// The origin of the request, if any key is for it.
pub(super) fn known(headers: &HeaderMap, keys: &[AdminKey]) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    keys.iter().any(|key| is_in(origin, &key.origins)).then(|| origin.clone())
}

/// Lets the browser give the response to the page.
pub(super) fn allow(mut response: Response, origin: Option<&HeaderValue>) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    response
}

fn is_in(origin: &HeaderValue, origins: &Origins) -> bool {
    origin.to_str().is_ok_and(|origin| origins.contain(origin))
}

/// Whether the page is one of our own.
fn is_same(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let behind = |origin: &'_ str| origin.split_once("://").map(|(_, host)| host.to_owned());
    let origin = origin.to_str().ok().and_then(behind);
    origin.is_some() && origin.as_deref() == host.and_then(|host| host.to_str().ok())
}
