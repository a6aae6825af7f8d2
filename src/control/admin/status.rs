//! The server at a glance.

use super::Office;
use super::answer::json;
use super::problem::Problem;
use crate::control::certs::{CertificateStatus, Origin};
use crate::control::utc::{Utc, unix_now};
use crate::net::ports::PortUsage;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) async fn show(State(office): State<Arc<Office>>) -> Result<Response, Problem> {
    let plane = &office.plane;
    let (live, reload) = (plane.live(), plane.last_reload());
    let answering = plane.ask_all(|_, _, _| ()).await.iter().filter(|answer| answer.is_ok()).count();
    let (users, addresses) = plane.quota().holders();
    let uptime = office.started.elapsed().as_secs();
    let certificates = plane.certificates().map(|store| store.status()).unwrap_or_default();
    Ok(json(
        StatusCode::OK,
        &json!({
            "version": env!("CARGO_PKG_VERSION"),
            "process": std::process::id(),
            "started": Utc::new(unix_now().saturating_sub(uptime)).map(|time| time.to_string()),
            "uptime_s": uptime,
            "realm": live.config.server.realm,
            "listeners": live.advert.listeners.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "relays": plane.ports().usage(plane.now().mono).iter().map(relay).collect::<Vec<_>>(),
            "workers": { "running": plane.workers().len(), "answering": answering },
            "allocations": plane.quota().total(),
            "users": users,
            "client_addresses": addresses,
            "drain": office.stage(plane.stage()),
        "configuration": {
            "in_use_since": Utc::new(reload.in_use_since).map(|time| time.to_string()),
            "last_reload_succeeded": reload.succeeded,
        },
        "certificates": certificates.iter().map(certificate).collect::<Vec<_>>(),
        }),
    ))
}

fn relay(usage: &PortUsage) -> Value {
    let PortUsage { address, taken, capacity } = usage;
    json!({
        "address": address.bind, "advertised": address.external, "ports_taken": taken, "ports": capacity,
    })
}

fn certificate(status: &CertificateStatus) -> Value {
    let from = match &status.origin {
        Origin::File(path) => path.display().to_string(),
        Origin::Acme => "acme".to_owned(),
    };
    json!({
        "names": status.names,
        "expires": Utc::new(status.not_after).map(|time| time.to_string()),
        "from": from,
    })
}
