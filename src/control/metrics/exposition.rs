//! Metrics as text. Written here rather than by a library: the numbers are gathered at each scrape and not kept in
//! anybody's registry, and both formats together are these few lines.

use std::fmt::{self, Write};

use super::family::{Family, Kind, Label, Number, Sample};
use super::format::Format;

/// All of `families` in one text.
pub(super) fn text(families: &[Family], format: Format) -> String {
    let mut text = String::with_capacity(32 << 10);
    for family in families.iter().filter(|family| !family.samples.is_empty()) {
        // Writing to a String cannot fail.
        let _ = write_family(&mut text, family, format);
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn write_family(text: &mut String, family: &Family, format: Format) -> fmt::Result {
    let Family { name, help, kind, samples } = family;
    let ending = kind.ending();
    // OpenMetrics names the family, the older format what its samples are called.
    let named = match format {
        Format::OpenMetrics => "",
        Format::Prometheus => ending,
    };
    writeln!(text, "# HELP {name}{named} {help}")?;
    writeln!(text, "# TYPE {name}{named} {}", kind.word(format))?;
    if let (Format::OpenMetrics, Some(unit)) = (format, unit(name)) {
        writeln!(text, "# UNIT {name} {unit}")?;
    }
    for Sample { ending: own, labels, value } in samples {
        write!(text, "{name}{ending}{own}")?;
        write_labels(text, labels)?;
        writeln!(text, " {value}")?;
    }
    Ok(())
}

impl Kind {
    /// What follows the name in each sample.
    const fn ending(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Info => "_info",
            Self::Gauge | Self::Histogram | Self::ForeignCounter => "",
        }
    }

    const fn word(self, format: Format) -> &'static str {
        match (self, format) {
            (Self::Counter, _) | (Self::ForeignCounter, Format::Prometheus) => "counter",
            (Self::Gauge, _) | (Self::Info, Format::Prometheus) => "gauge",
            (Self::Histogram, _) => "histogram",
            (Self::Info, Format::OpenMetrics) => "info",
            // A counter would have to end with `_total`, and its name could not be kept.
            (Self::ForeignCounter, Format::OpenMetrics) => "unknown",
        }
    }
}

/// The unit, which is always the last word of the name.
fn unit(name: &str) -> Option<&'static str> {
    ["seconds", "bytes"]
        .into_iter()
        .find(|unit| name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')))
}

fn write_labels(text: &mut String, labels: &[Label]) -> fmt::Result {
    for (at, (name, value)) in labels.iter().enumerate() {
        text.push(if at == 0 { '{' } else { ',' });
        write!(text, "{name}=\"")?;
        for letter in value.chars() {
            match letter {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
    }
    if !labels.is_empty() {
        text.push('}');
    }
    Ok(())
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => value.fmt(f),
            Self::Real(value) => value.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn families() -> [Family; 6] {
        [
            Family::counter("cats_fed", "Cats fed.").by("food", [("fish", 2_u64), ("none", 0)]),
            Family::gauge("cats_weight_bytes", "Their weight.").only(1.5),
            Family::histogram("naps_seconds", "How long they slept.").buckets(&[1, 10], &[3, 0, 2], 90.25),
            Family::info("cats", "What they are.", [("name", "a \"b\"\\\nc".into())]),
            Family::foreign_counter("dogs_seen", "Dogs.").only(7_u64),
            Family::gauge("empty", "Nothing to say."),
        ]
    }

    #[test]
    fn open_metrics_name_the_family_and_its_unit_and_end_with_eof() {
        let expected = r#"# HELP cats_fed Cats fed.
# TYPE cats_fed counter
cats_fed_total{food="fish"} 2
cats_fed_total{food="none"} 0
# HELP cats_weight_bytes Their weight.
# TYPE cats_weight_bytes gauge
# UNIT cats_weight_bytes bytes
cats_weight_bytes 1.5
# HELP naps_seconds How long they slept.
# TYPE naps_seconds histogram
# UNIT naps_seconds seconds
naps_seconds_bucket{le="1.0"} 3
naps_seconds_bucket{le="10.0"} 3
naps_seconds_bucket{le="+Inf"} 5
naps_seconds_sum 90.25
naps_seconds_count 5
# HELP cats What they are.
# TYPE cats info
cats_info{name="a \"b\"\\\nc"} 1
# HELP dogs_seen Dogs.
# TYPE dogs_seen unknown
dogs_seen 7
# EOF
"#;
        assert_eq!(text(&families(), Format::OpenMetrics), expected);
    }

    #[test]
    fn the_older_format_names_what_its_samples_are_called() {
        let text = text(&families(), Format::Prometheus);
        for line in [
            "# HELP cats_fed_total Cats fed.",
            "# TYPE cats_fed_total counter",
            "# TYPE cats_info gauge",
            "# TYPE dogs_seen counter",
            "dogs_seen 7",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
    }
}
