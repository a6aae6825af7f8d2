//! Whether the server lives, and whether it can take on clients, for load balancers and orchestrators.

use super::Office;
use super::answer::json;
use crate::control::drain::Stage;
use crate::control::plane::Plane;
use crate::control::probe::{Over, probe};
use crate::control::utc::unix_now;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// What was found when somebody last looked. Strangers may ask, so it is not looked more often than it may change.
#[derive(Debug, Default)]
pub(super) struct Readiness(Mutex<Option<(Instant, Checks)>>);

/// Each check by name, with what is wrong if something is.
type Checks = Vec<(&'static str, Result<(), String>)>;

const FRESH: Duration = Duration::from_millis(500);

/// All workers turn their loops.
pub(super) async fn alive(State(office): State<Arc<Office>>) -> Response {
    answer(&[("workers", workers(&office.plane).await)])
}

/// It can take on clients.
pub(super) async fn ready(State(office): State<Arc<Office>>) -> Response {
    let mut last = office.readiness.0.lock().await;
    let checks = match last.take() {
        Some((at, checks)) if at.elapsed() < FRESH => (at, checks),
        Some(_) | None => {
            let checks = look(&office.plane).await;
            (Instant::now(), checks)
        }
    };
    let response = answer(&checks.1);
    *last = Some(checks);
    response
}

async fn look(plane: &Plane) -> Checks {
    vec![
        ("draining", draining(plane)),
        ("listeners", listeners(plane)),
        ("workers", workers(plane).await),
        ("udp", udp(plane).await),
        ("ports", ports(plane)),
        ("certificates", certificates(plane)),
    ]
}

fn answer(checks: &[(&'static str, Result<(), String>)]) -> Response {
    let is_good = checks.iter().all(|(_, result)| result.is_ok());
    let (status, word) = match is_good {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "failing"),
    };
    let shown = checks.iter().map(|(name, result)| {
        let text = result.as_ref().map_or_else(|wrong| wrong.as_str(), |()| "ok");
        ((*name).to_owned(), Value::from(text))
    });
    json(status, &json!({ "status": word, "checks": shown.collect::<Map<_, _>>() }))
}

fn draining(plane: &Plane) -> Result<(), String> {
    match plane.stage() {
        Stage::Serving => Ok(()),
        Stage::Draining(_) => Err("the server drains and takes no new allocations".to_owned()),
    }
}

fn listeners(plane: &Plane) -> Result<(), String> {
    match plane.live().advert.listeners.is_empty() {
        true => Err("no listener is open".to_owned()),
        false => Ok(()),
    }
}

async fn workers(plane: &Plane) -> Result<(), String> {
    let answers = plane.ask_all(|_, _, _| ()).await;
    match answers.iter().filter(|answer| answer.is_err()).count() {
        0 => Ok(()),
        silent => Err(format!("{silent} of {} workers do not answer", answers.len())),
    }
}

/// New allocations fail soon from here on; clients that come now are better off elsewhere.
const FULL_PERCENT: u64 = 95;

fn ports(plane: &Plane) -> Result<(), String> {
    let usage = plane.ports().usage(plane.now().mono);
    for (family, is_of_it) in [("IPv4", IpAddr::is_ipv4 as fn(&IpAddr) -> bool), ("IPv6", IpAddr::is_ipv6)] {
        let of_it = || usage.iter().filter(|usage| is_of_it(&usage.address.bind));
        let taken: u64 = of_it().map(|usage| u64::from(usage.taken)).sum();
        let capacity: u64 = of_it().map(|usage| u64::from(usage.capacity)).sum();
        if capacity > 0 && taken * 100 >= capacity * FULL_PERCENT {
            return Err(format!("{taken} of {capacity} {family} relay ports are taken"));
        }
    }
    Ok(())
}

fn certificates(plane: &Plane) -> Result<(), String> {
    let Some(store) = plane.certificates() else { return Ok(()) };
    let (now, served) = (unix_now(), store.status());
    let is_valid = |not_before: u64, not_after: u64| not_before <= now && now <= not_after;
    if served.iter().any(|status| is_valid(status.not_before, status.not_after)) {
        return Ok(());
    }
    match served.first() {
        Some(status) => Err(format!("the certificate for {} is not valid now", status.names.join(", "))),
        // The CA may have to come through whoever asks this.
        None if plane.live().config.tls.acme.is_some() => Ok(()),
        None => Err("there is no certificate yet".to_owned()),
    }
}

/// Asks the first UDP listener for a Binding, as a client would.
async fn udp(plane: &Plane) -> Result<(), String> {
    let live = plane.live();
    let mut datagrams = live.advert.listeners.iter().filter(|listening| !listening.transport.is_stream());
    let Some(listening) = datagrams.next() else { return Ok(()) };
    let address = listening.address;
    let asked = tokio::task::spawn_blocking(move || probe(address, Over::Udp, PATIENCE)).await;
    match asked {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("udp:{address}: {error}")),
        Err(error) => Err(format!("udp:{address} cannot be asked: {error}")),
    }
}

const PATIENCE: Duration = Duration::from_millis(1500);
