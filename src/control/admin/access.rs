//! Who may do what: the gate that every request passes before it reaches its handler.

use super::caller::{Acquaintance, Caller, Line};
use super::origin::{self, Preflight};
use super::problem::Problem;
use super::router::Table;
use super::wrong_keys::Verdict;
use super::{Office, host};
use crate::config::admin::Scope;
use crate::config::checked::AdminKey;
use axum::extract::{Extension, MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::{net::IpAddr, sync::Arc, time::Instant};
use zeroize::Zeroizing;

/// What a request needs to be answered over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing: it tells nothing that a stranger may not know.
    Open,
    /// A key with this scope, in `Authorization: Bearer`.
    Bearer(Scope),
    /// The same, or in `?key=`, as the TURN REST draft has it.
    BearerOrQuery(Scope),
    /// The same, or as the password of `Authorization: Basic`, as Twilio has it.
    BearerOrBasic(Scope),
}

impl Access {
    /// The scope of the key that is needed.
    pub(super) fn scope(self) -> Option<Scope> {
        match self {
            Self::Open => None,
            Self::Bearer(scope) | Self::BearerOrQuery(scope) | Self::BearerOrBasic(scope) => Some(scope),
        }
    }
}

/// All that the gate looks at.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) office: Arc<Office>,
    pub(super) table: Arc<Table>,
}

/// Refuses what comes by a foreign name over loopback, whatever it asks for.
pub(super) async fn check_host(
    State(gate): State<Gate>,
    Extension(line): Extension<Line>,
    request: Request,
    next: Next,
) -> Response {
    let over_loopback = matches!(line, Line::Tcp { to, .. } if to.is_loopback());
    let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    let live = gate.office.plane.live();
    if over_loopback && host.is_some_and(|host| !host::is_own(host, &live.config.admin.names)) {
        return Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this server is not known by that host name; ask it as localhost or by its address, or list the name in admin.names",
        )
        .into_response();
    }
    next.run(request).await
}

/// Lets those through who may.
pub(super) async fn check(
    State(gate): State<Gate>,
    Extension(line): Extension<Line>,
    Extension(acquaintance): Extension<Acquaintance>,
    path: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    // Where nothing is, nothing has to be kept.
    let Some(path) = path else { return next.run(request).await };
    let live = gate.office.plane.live();
    let keys = &live.config.admin.keys;
    if let Some(preflight) = Preflight::of(&request) {
        let access = gate.table.access(path.as_str(), &preflight.method);
        return preflight.answer(access.and_then(Access::scope), keys);
    }
    // A method that the path does not have is refused behind the gate.
    let Some(access) = gate.table.access(path.as_str(), request.method()) else {
        return next.run(request).await;
    };
    let Some(scope) = access.scope() else { return next.run(request).await };
    let admitted = gate.office.admit(line, access, scope, keys, &request);
    match admitted {
        Ok((caller, origin)) => {
            acquaintance.make();
            request.extensions_mut().insert(caller);
            origin::allow(next.run(request).await, origin.as_ref())
        }
        // A page that may use some key is told why it may not use this one.
        Err(problem) => {
            let origin = origin::known(request.headers(), keys);
            origin::allow(problem.into_response(), origin.as_ref())
        }
    }
}

/// Somebody who may, and the page they come from if it is to be told so.
type Admitted = (Caller, Option<header::HeaderValue>);

impl Office {
    fn admit(
        &self,
        line: Line,
        access: Access,
        scope: Scope,
        keys: &[AdminKey],
        request: &Request,
    ) -> Result<Admitted, Problem> {
        let presented = presented(access, request.headers(), request.uri());
        let key = match (presented, line) {
            (Some(presented), _) => Some(self.find_key(&presented, line, access, keys)?),
            (None, Line::Unix) => None,
            (None, Line::Tcp { .. }) => {
                return Err(unauthorized(access, "a key is needed: see [[admin.key]]"));
            }
        };
        if let Some(key) = key.filter(|key| !key.may(scope)) {
            let has: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                format!(
                    "this takes a key with the scope \"{}\", and this one has {}",
                    scope.name(),
                    has.join(", ")
                ),
            ));
        }
        let origin = origin::check(request.headers(), key.map(|key| &key.origins))?;
        let caller = match key {
            Some(key) => Caller { key: Some(key.name.clone()), max_ttl: key.max_ttl },
            None => Caller { key: None, max_ttl: None },
        };
        Ok((caller, origin))
    }

    fn find_key<'k>(
        &self,
        presented: &str,
        line: Line,
        access: Access,
        keys: &'k [AdminKey],
    ) -> Result<&'k AdminKey, Problem> {
        // All are compared, so that the time does not tell which one it is.
        let found = keys.iter().fold(None, |found, key| if key.is(presented) { Some(key) } else { found });
        if let Some(key) = found {
            return Ok(key);
        }
        let from = match line {
            Line::Unix => IpAddr::from([0, 0, 0, 0]),
            Line::Tcp { from, .. } => from,
        };
        match self.wrong_keys.count(from, Instant::now()) {
            Verdict::First => tracing::warn!(source = %line.source(), "wrong admin key"),
            Verdict::Again => {}
            Verdict::TooMany => {
                return Err(Problem::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too many wrong keys came from this address; wait a minute, and look which client has an old key",
                )
                .with(header::RETRY_AFTER, "60"));
            }
        }
        Err(unauthorized(access, "this key is not known; compare it with [[admin.key]]"))
    }
}

fn unauthorized(access: Access, detail: &str) -> Problem {
    let scheme = match access {
        Access::BearerOrBasic(_) => "Basic realm=\"turnbridge\"",
        Access::Open | Access::Bearer(_) | Access::BearerOrQuery(_) => "Bearer",
    };
    Problem::new(StatusCode::UNAUTHORIZED, detail).with(header::WWW_AUTHENTICATE, scheme)
}

/// The key that came with a request, in a place where this path takes it.
fn presented(access: Access, headers: &HeaderMap, uri: &Uri) -> Option<Zeroizing<String>> {
    let authorization = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
    if let Some((scheme, value)) = authorization.and_then(|value| value.split_once(' ')) {
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Zeroizing::new(value.trim().to_owned()));
        }
        if scheme.eq_ignore_ascii_case("basic") && matches!(access, Access::BearerOrBasic(_)) {
            // What cannot be read is a wrong key.
            return Some(basic_password(value).unwrap_or_default());
        }
    }
    if authorization.is_none() && matches!(access, Access::BearerOrQuery(_)) {
        let mut pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        return pairs.find(|(name, _)| name == "key").map(|(_, key)| Zeroizing::new(key.into_owned()));
    }
    None
}

fn basic_password(value: &str) -> Option<Zeroizing<String>> {
    let bytes = crate::auth::encoding::base64_decode(value.trim())?;
    let (_, password) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    Some(Zeroizing::new(password.to_owned()))
}

/// The method whose entry in the table counts for this one: a HEAD is a GET without its body.
pub(super) fn counted_as(method: &Method) -> &Method {
    if method == Method::HEAD { &Method::GET } else { method }
}
