//! Which path is answered by what, and what it takes to be answered.

use super::access::{Access, Gate, check, check_host, counted_as};
use super::problem::Problem;
use super::{
    Office, credentials, drain, effective, explain, figures, health, log_level, openapi, reload, revocation,
    sessions, status,
};
use crate::config::admin::Scope::{Control, Mint, Read};
use axum::Router;
use axum::handler::Handler;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use std::sync::Arc;

/// All that can be asked for.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<(Method, &'static str, Access)>);

impl Table {
    /// What is needed for this method of a path; `None` when the path does not have the method.
    pub(super) fn access(&self, path: &str, method: &Method) -> Option<Access> {
        let method = counted_as(method);
        let entry = self.0.iter().find(|(known, at, _)| known == method && *at == path);
        entry.map(|(_, _, access)| *access)
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> &[(Method, &'static str, Access)] {
        &self.0
    }
}

/// The way to everything.
pub(super) fn router(office: Arc<Office>) -> Router {
    let Routes { router, table } = routes();
    let gate = Gate { office: office.clone(), table: Arc::new(table) };
    router
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn_with_state(gate.clone(), check))
        .layer(from_fn_with_state(gate, check_host))
        .layer(map_response(keep_private))
        .with_state(office)
}

pub(super) fn routes() -> Routes {
    Routes::default()
        .get("/healthz", Access::Open, health::alive)
        .get("/readyz", Access::Open, health::ready)
        .get("/metrics", Access::Bearer(Read), figures::show)
        .get("/openapi.json", Access::Open, openapi::show)
        .get("/v1/credentials", Access::BearerOrQuery(Mint), credentials::draft)
        .post("/v1/credentials", Access::BearerOrQuery(Mint), credentials::draft)
        .get("/v1/ice-servers", Access::BearerOrQuery(Mint), credentials::browser)
        .post("/v1/ice-servers", Access::BearerOrQuery(Mint), credentials::browser)
        .post("/2010-04-01/Accounts/{sid}/Tokens.json", Access::BearerOrBasic(Mint), credentials::twilio)
        .delete("/v1/credentials/{username}", Access::Bearer(Control), revocation::revoke)
        .get("/v1/revocations", Access::Bearer(Read), revocation::list)
        .delete("/v1/revocations/{username}", Access::Bearer(Control), revocation::restore)
        .get("/v1/drain", Access::Bearer(Read), drain::show)
        .post("/v1/drain", Access::Bearer(Control), drain::begin)
        .delete("/v1/drain", Access::Bearer(Control), drain::cancel)
        .post("/v1/reload", Access::Bearer(Control), reload::reload)
        .get("/v1/status", Access::Bearer(Read), status::show)
        .get("/v1/config", Access::Bearer(Read), effective::show)
        .get("/v1/sessions", Access::Bearer(Read), sessions::list)
        .get("/v1/sessions/{id}", Access::Bearer(Read), sessions::show)
        .delete("/v1/sessions/{id}", Access::Bearer(Control), sessions::end)
        .get("/v1/explain", Access::Bearer(Read), explain::explain)
        .get("/v1/log-level", Access::Bearer(Read), log_level::show)
        .put("/v1/log-level", Access::Bearer(Control), log_level::change)
}

/// Routes under construction.
#[derive(Default)]
pub(super) struct Routes {
    router: Router<Arc<Office>>,
    pub(super) table: Table,
}

impl Routes {
    fn get<T: 'static>(
        self,
        path: &'static str,
        access: Access,
        handler: impl Handler<T, Arc<Office>>,
    ) -> Self {
        self.add(Method::GET, MethodFilter::GET, path, access, handler)
    }

    fn post<T: 'static>(
        self,
        path: &'static str,
        access: Access,
        handler: impl Handler<T, Arc<Office>>,
    ) -> Self {
        self.add(Method::POST, MethodFilter::POST, path, access, handler)
    }

    fn put<T: 'static>(
        self,
        path: &'static str,
        access: Access,
        handler: impl Handler<T, Arc<Office>>,
    ) -> Self {
        self.add(Method::PUT, MethodFilter::PUT, path, access, handler)
    }

    fn delete<T: 'static>(
        self,
        path: &'static str,
        access: Access,
        handler: impl Handler<T, Arc<Office>>,
    ) -> Self {
        self.add(Method::DELETE, MethodFilter::DELETE, path, access, handler)
    }

    fn add<T: 'static>(
        mut self,
        method: Method,
        filter: MethodFilter,
        path: &'static str,
        access: Access,
        handler: impl Handler<T, Arc<Office>>,
    ) -> Self {
        self.table.0.push((method, path, access));
        self.router = self.router.route(path, on(filter, handler));
        self
    }
}

async fn no_such_path() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing here; /openapi.json says what there is")
}

async fn no_such_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path has other methods, which the header Allow lists; /openapi.json says what they do",
    )
}

/// Answers are for whoever asked, now: nobody on the way keeps one, and no browser takes one for something else.
async fn keep_private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
