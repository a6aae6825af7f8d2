//! What is answered at which path.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::{Format, Metrics};

/// The answer to a request.
pub(super) async fn respond(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let is_known = matches!(request.uri().path(), "/metrics" | "/healthz");
    if is_known && !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => {
            let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
            let format = Format::accepted(accept);
            match metrics.scrape(format).await {
                Some(text) => answer(StatusCode::OK, format.content_type(), text),
                None => plain(StatusCode::NOT_FOUND, "switched off: metrics.enabled = false\n".to_owned()),
            }
        }
        "/healthz" => match metrics.silent_workers().await[..] {
            [] => plain(StatusCode::OK, "ok\n".to_owned()),
            [first, ..] => {
                plain(StatusCode::SERVICE_UNAVAILABLE, format!("worker {first} does not answer\n"))
            }
        },
        _ => plain(StatusCode::NOT_FOUND, "there are /metrics and /healthz\n".to_owned()),
    }
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", text)
}

fn answer(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
