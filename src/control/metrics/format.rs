//! The two text formats that Prometheus and others read, and which of them somebody wants.

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format of Prometheus, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// What is liked best according to an `Accept` header (RFC 9110 §12.5.1). Who does not ask for OpenMetrics gets
    /// what everything reads, people and their browsers too.
    pub fn accepted(header: Option<&str>) -> Self {
        let mut best = (Self::Prometheus, 0.0);
        for item in header.unwrap_or_default().split(',') {
            if let Some((format, liking)) = liking(item)
                && (liking > best.1 || (liking == best.1 && format == Self::OpenMetrics))
                && liking > 0.0
            {
                best = (format, liking);
            }
        }
        best.0
    }

    /// The `Content-Type` header.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What one item of the header asks for, and how much.
fn liking(item: &str) -> Option<(Format, f32)> {
    let mut parts = item.split(';').map(str::trim);
    let kind = parts.next()?.to_ascii_lowercase();
    let (mut version, mut quality) = (None, 1.0);
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        match name.trim().to_ascii_lowercase().as_str() {
            "version" => version = Some(value.trim().trim_matches('"')),
            "q" => quality = value.trim().parse().ok()?,
            _ => {}
        }
    }
    let format = match (kind.as_str(), version) {
        ("application/openmetrics-text", None | Some("1.0.0")) => Format::OpenMetrics,
        ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", _) => Format::Prometheus,
        _ => return None,
    };
    Some((format, quality))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_open_metrics_gets_it_and_nobody_else() {
        let cases = [
            ("nothing", None, Format::Prometheus),
            ("anything", Some("*/*"), Format::Prometheus),
            ("a browser", Some("text/html,application/xhtml+xml,*/*;q=0.8"), Format::Prometheus),
            (
                "Prometheus 2.42",
                Some(
                    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                     text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                ),
                Format::OpenMetrics,
            ),
            (
                "Prometheus 3",
                Some(
                    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                     text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1",
                ),
                Format::OpenMetrics,
            ),
            ("no version", Some("Application/OpenMetrics-Text"), Format::OpenMetrics),
            ("in quotes", Some("application/openmetrics-text; version=\"1.0.0\""), Format::OpenMetrics),
            ("an old version", Some("application/openmetrics-text;version=0.0.1"), Format::Prometheus),
            ("text first", Some("application/openmetrics-text;q=0.2,text/plain"), Format::Prometheus),
            ("refused", Some("application/openmetrics-text;q=0"), Format::Prometheus),
            ("both alike", Some("text/plain,application/openmetrics-text"), Format::OpenMetrics),
            ("nonsense", Some(";;q=x,=,application/openmetrics-text;q=much"), Format::Prometheus),
        ];
        for (name, header, expected) in cases {
            assert_eq!(Format::accepted(header), expected, "{name}");
        }
    }
}
