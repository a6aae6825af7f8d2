//! The log: text for people, JSON lines for programs, on standard error.
//!
//! A line is `ts`, `level`, `event`, then the fields of the event under their own names.

use crate::config::choice::{LogFormat, LogLevel};
use std::{
    fmt::{self, Write},
    io::IsTerminal,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    filter::LevelFilter,
    fmt::{
        FmtContext, FormatEvent, FormatFields, MakeWriter,
        format::Writer,
        layer as fmt_layer,
        time::{FormatTime, SystemTime},
    },
    layer::SubscriberExt,
    registry,
    registry::LookupSpan,
    reload,
};

/// How a line looks, with `auto` decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Style {
    /// Text where people read, JSON where programs do.
    pub fn choose(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
            LogFormat::Auto if std::io::stderr().is_terminal() => Self::Text,
            LogFormat::Auto => Self::Json,
        }
    }
}

/// Starts logging for the whole process. A second call changes nothing: the first one was there for a reason.
pub fn start(level: LogLevel, style: Style) {
    let (subscriber, switch) = subscriber(level, style, std::io::stderr);
    match tracing::subscriber::set_global_default(subscriber) {
        Ok(()) => {
            // It is empty, since this is the first subscriber.
            let _ = SWITCH.set(switch);
        }
        Err(_) => tracing::debug!("logging was started already"),
    }
}

/// From which level on the process logs; `None` if it is not we who log.
pub fn level() -> Option<LogLevel> {
    SWITCH.get().map(|switch| *locked(&switch.level))
}

/// Logs from another level on. `false` if it is not we who log.
pub fn set_level(level: LogLevel) -> bool {
    let Some(switch) = SWITCH.get() else { return false };
    let mut current = locked(&switch.level);
    let turned = (switch.turn)(filter(level));
    if turned {
        *current = level;
    }
    turned
}

/// The log is the process's, and so is its level.
static SWITCH: OnceLock<Switch> = OnceLock::new();

struct Switch {
    level: Mutex<LogLevel>,
    turn: Box<dyn Fn(LevelFilter) -> bool + Send + Sync>,
}

fn locked(level: &Mutex<LogLevel>) -> MutexGuard<'_, LogLevel> {
    level.lock().unwrap_or_else(PoisonError::into_inner)
}

fn subscriber<W>(level: LogLevel, style: Style, writer: W) -> (impl Subscriber + Send + Sync, Switch)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // Without this a full disk behind standard error would make the library write to standard error about it.
    let lines = fmt_layer().log_internal_errors(false).event_format(Line(style)).with_writer(writer);
    let (levels, handle) = reload::Layer::new(filter(level));
    let turn = Box::new(move |level| handle.reload(level).is_ok());
    (registry().with(levels).with(lines), Switch { level: Mutex::new(level), turn })
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Writes an event as one line.
struct Line(Style);

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut ts = String::new();
        SystemTime.format_time(&mut Writer::new(&mut ts))?;
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        let mut fields = Fields { style: self.0, message: String::new(), rest: String::new() };
        event.record(&mut fields);
        let Fields { message, rest, .. } = fields;
        match self.0 {
            Style::Text => writeln!(to, "{ts} {level:<5} {message}{rest}"),
            Style::Json => {
                writeln!(to, r#"{{"ts":"{ts}","level":"{level}","event":{}{rest}}}"#, Json(&message))
            }
        }
    }
}

/// Collects the fields of an event, the message apart from the others.
struct Fields {
    style: Style,
    message: String,
    rest: String,
}

impl Fields {
    /// Numbers and booleans, which need no quotes in either style.
    fn plain(&mut self, field: &Field, value: impl fmt::Display) {
        // Writing to a String cannot fail.
        let _ = match self.style {
            Style::Text => write!(self.rest, " {}={value}", field.name()),
            Style::Json => write!(self.rest, ",{}:{value}", Json(field.name())),
        };
    }

    fn text(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
            return;
        }
        // What looks like more than one word, or could be mistaken for the end of the line, is quoted and escaped.
        let is_word = !value.is_empty()
            && value.chars().all(|char| char.is_alphanumeric() || "-_.:/[]%+@".contains(char));
        match self.style {
            Style::Text if is_word => self.plain(field, value),
            Style::Text => self.plain(field, format_args!("{value:?}")),
            Style::Json => self.plain(field, Json(value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match value.is_finite() {
            true => self.plain(field, value),
            // JSON has no infinity.
            false => self.text(field, &value.to_string()),
        }
    }
}

/// A string as JSON, quotes included.
struct Json<'a>(&'a str);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self.0).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: LogLevel, style: Style, events: impl FnOnce()) -> Vec<String> {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let (subscriber, _) = subscriber(level, style, move || writer.clone());
        tracing::subscriber::with_default(subscriber, events);
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn allocation_events() {
        let client: std::net::SocketAddr = "[2001:db8::1]:4000".parse().unwrap();
        tracing::info!(client = %client, user = "a \"b\"\n", lifetime_s = 600, share = 0.5, ok = true, "allocation created");
        tracing::debug!("not shown");
        tracing::warn!(reason = ?Some("x"), nothing = "", nan = f64::NAN, "port pool is nearly full");
    }

    #[test]
    fn text_lines_have_time_level_message_and_quoted_fields() {
        let lines = logged(LogLevel::Info, Style::Text, allocation_events);
        let without_time: Vec<_> = lines.iter().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(
            without_time,
            [
                r#"info  allocation created client=[2001:db8::1]:4000 user="a \"b\"\n" lifetime_s=600 share=0.5 ok=true"#,
                r#"warn  port pool is nearly full reason="Some(\"x\")" nothing="" nan=NaN"#,
            ]
        );
        assert!(
            lines[0].starts_with("20") && lines[0].split_once(' ').unwrap().0.ends_with('Z'),
            "{}",
            lines[0]
        );
    }

    #[test]
    fn json_lines_parse_and_keep_types() {
        let lines = logged(LogLevel::Info, Style::Json, allocation_events);
        assert_eq!(lines.len(), 2);
        let parsed: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(parsed["level"], "info");
        assert_eq!(parsed["event"], "allocation created");
        assert_eq!(parsed["client"], "[2001:db8::1]:4000");
        assert_eq!(parsed["user"], "a \"b\"\n");
        assert_eq!(
            (&parsed["lifetime_s"], &parsed["share"], &parsed["ok"]),
            (&600.into(), &0.5.into(), &true.into())
        );
        assert!(parsed["ts"].as_str().unwrap().ends_with('Z'));
        assert!(
            lines[0].starts_with(r#"{"ts":"20"#) && lines[0].contains(r#"","level":"info","event":"#),
            "{}",
            lines[0]
        );
        let parsed: serde_json::Value = serde_json::from_str(&lines[1]).unwrap();
        assert_eq!(parsed["nan"], "NaN");
    }

    #[test]
    fn the_level_can_be_turned_while_the_process_runs() {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let (subscriber, switch) = subscriber(LogLevel::Info, Style::Text, move || writer.clone());
        let event = || tracing::debug!("a request");
        tracing::subscriber::with_default(subscriber, || {
            event();
            assert!((switch.turn)(filter(LogLevel::Debug)));
            event();
            assert!((switch.turn)(filter(LogLevel::Warn)));
            event();
        });
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches("a request").count(), 1, "{text}");
    }

    #[test]
    fn a_level_lets_through_itself_and_what_is_worse() {
        let events = || {
            tracing::error!("e");
            tracing::warn!("w");
            tracing::info!("i");
            tracing::debug!("d");
            tracing::trace!("t");
        };
        let levels = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
        let counts = levels.map(|level| logged(level, Style::Text, events).len());
        assert_eq!(counts, [1, 2, 3, 4, 5]);
    }
}
