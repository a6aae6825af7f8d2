//! One record, as others read it. `docs/accounting.md` promises this shape.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::identity::RecordId;
use crate::control::sessions::SessionId;
use crate::control::utc::Utc;
use crate::turn::{EndReason, Flow, Traffic};

/// What is known of an allocation at one moment.
#[derive(Debug, Serialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pub(super) state: State,
    pub(super) id: RecordId,
    /// What the allocation is called by `turnbridge sessions`, as long as it lasts.
    #[serde(serialize_with = "shown")]
    pub(super) session: SessionId,
    #[serde(flatten)]
    pub(super) at: Moment,
    #[serde(serialize_with = "shared")]
    pub(super) server: Arc<str>,
    #[serde(serialize_with = "shared")]
    pub(super) realm: Arc<str>,
    pub(super) user_id: Box<str>,
    pub(super) user: Box<str>,
    pub(super) client: SocketAddr,
    pub(super) transport: &'static str,
    /// Unknown only when a reload has taken the listener away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) listener: Option<SocketAddr>,
    pub(super) relay: Vec<SocketAddr>,
}

/// Where it is in its life.
#[derive(Debug, Serialize)]
#[serde(tag = "record", rename_all = "lowercase")]
pub(super) enum State {
    Start { lifetime_s: u64 },
    Interim { duration_ms: u64, up: Way, down: Way },
    Stop { reason: &'static str, duration_ms: u64, up: Way, down: Way },
}

impl State {
    pub(super) fn start(lifetime: Duration) -> Self {
        Self::Start { lifetime_s: lifetime.as_secs() }
    }

    pub(super) fn interim(age: Duration, traffic: &Traffic) -> Self {
        let (up, down) = (Way::of(&traffic.up), Way::of(&traffic.down));
        Self::Interim { duration_ms: millis(age), up, down }
    }

    pub(super) fn stop(reason: EndReason, age: Duration, traffic: &Traffic) -> Self {
        let (up, down) = (Way::of(&traffic.up), Way::of(&traffic.down));
        Self::Stop { reason: reason.name(), duration_ms: millis(age), up, down }
    }
}

/// What went one way, in total: `up` is from the client to its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Way {
    pub(super) bytes: u64,
    pub(super) packets: u64,
    pub(super) dropped: u64,
}

impl Way {
    fn of(flow: &Flow) -> Self {
        let Flow { packets, bytes, dropped } = *flow;
        Self { bytes, packets, dropped }
    }
}

/// When it happened: as `time` for people, as `unix_ms` for programs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(pub(super) SystemTime);

impl Moment {
    pub(super) fn unix(self) -> Duration {
        self.0.duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let unix_ms = millis(self.unix());
        let mut both = to.serialize_struct("Moment", 2)?;
        both.serialize_field("time", &Utc::of_millis(unix_ms).map(|utc| utc.to_string()))?;
        both.serialize_field("unix_ms", &unix_ms)?;
        both.end()
    }
}

fn shown<S: Serializer>(id: &SessionId, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(id)
}

fn shared<S: Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(text)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_shape_that_is_promised() {
        let traffic = Traffic {
            up: Flow { packets: 1, bytes: 2, dropped: 3 },
            down: Flow { packets: 4, bytes: 5, dropped: 6 },
        };
        let record = |state| Record {
            state,
            id: RecordId([0; 16]),
            session: "1-2-3".parse().unwrap(),
            at: Moment(UNIX_EPOCH + Duration::from_millis(1_760_000_000_042)),
            server: "turn-1".into(),
            realm: "example.org".into(),
            user_id: "alice".into(),
            user: "1760003600:alice".into(),
            client: "192.0.2.1:5000".parse().unwrap(),
            transport: "udp",
            listener: Some("198.51.100.7:3478".parse().unwrap()),
            relay: vec!["198.51.100.7:50000".parse().unwrap()],
        };
        let common = r#""id":"00000000-0000-0000-0000-000000000000","session":"1-2-3","time":"2025-10-09T08:53:20.042Z","unix_ms":1760000000042,"server":"turn-1","realm":"example.org","user_id":"alice","user":"1760003600:alice","client":"192.0.2.1:5000","transport":"udp","listener":"198.51.100.7:3478","relay":["198.51.100.7:50000"]}"#;
        let start = serde_json::to_string(&record(State::start(Duration::from_secs(600)))).unwrap();
        assert_eq!(start, format!(r#"{{"record":"start","lifetime_s":600,{common}"#));
        let state = State::interim(Duration::from_millis(1500), &traffic);
        let interim = serde_json::to_string(&record(state)).unwrap();
        let state = State::stop(EndReason::Expired, Duration::from_millis(1500), &traffic);
        let stop = serde_json::to_string(&record(state)).unwrap();
        let state = r#"{"record":"interim","duration_ms":1500,"up":{"bytes":2,"packets":1,"dropped":3},"down":{"bytes":5,"packets":4,"dropped":6},"#;
        assert_eq!(interim, format!("{state}{common}"));
        let state = r#"{"record":"stop","reason":"expired","duration_ms":1500,"up":{"bytes":2,"packets":1,"dropped":3},"down":{"bytes":5,"packets":4,"dropped":6},"#;
        assert_eq!(stop, format!("{state}{common}"));
    }
}
