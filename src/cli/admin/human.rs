//! Amounts as people read them.

/// A span of time in two units: "42s", "7m05s", "3h12m", "2d04h".
pub(in crate::cli) fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// An amount of data: "999 B", "1.5 kB", "73.0 MB".
pub(in crate::cli) fn bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")];
    match UNITS.iter().find(|(factor, _)| bytes >= *factor) {
        Some((factor, unit)) => {
            let tenths = bytes / (factor / 10);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        let ages = [0, 59, 60, 3599, 3600, 86_399, 86_400, 100_000].map(age);
        assert_eq!(ages, ["0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d00h", "1d03h"]);
        let amounts = [0, 999, 1000, 1599, 73_000_000, 5_100_000_000, u64::MAX].map(bytes);
        assert_eq!(amounts, ["0 B", "999 B", "1.0 kB", "1.5 kB", "73.0 MB", "5.1 GB", "18446744.0 TB"]);
    }
}
