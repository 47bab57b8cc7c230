//! Numbers as people read them.

use crate::app::i18n::t;

/// A probability in per cent. Never rounds to a certainty that is not there.
pub fn percent(probability: f32) -> String {
    if probability >= 1.0 {
        t!("percent", value = "100")
    } else if probability >= 0.9995 {
        t!("percent", value = "> 99.9")
    } else if probability < 0.0005 {
        t!("percent", value = "< 0.1")
    } else {
        t!("percent", value = format!("{:.1}", probability * 100.0))
    }
}

/// Bytes in decimal units, as browsers and shops count them.
pub fn bytes(count: u64) -> String {
    let count = count as f64;
    if count < 1_000.0 {
        t!("bytes", count = format!("{:.0}", count))
    } else if count < 999_500.0 {
        format!("{:.0} kB", count / 1e3)
    } else if count < 999_500_000.0 {
        format!("{:.1} MB", count / 1e6)
    } else {
        format!("{:.2} GB", count / 1e9)
    }
}

/// A count of parameters.
pub fn parameters(count: u64) -> String {
    let count = count as f64;
    if count < 1e6 {
        t!("parameters-thousand", count = format!("{:.0}", count / 1e3))
    } else if count < 1e9 {
        t!("parameters-million", count = format!("{:.1}", count / 1e6))
    } else {
        t!("parameters-billion", count = format!("{:.2}", count / 1e9))
    }
}

/// A duration given in milliseconds.
pub fn milliseconds(ms: f64) -> String {
    if ms < 10.0 {
        format!("{ms:.1} ms")
    } else if ms < 1_000.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.1} s", ms / 1_000.0)
    }
}

/// How long something will still take, as roughly as it is known.
pub fn time_left(seconds: f64) -> String {
    if seconds < 90.0 {
        t!("seconds-left", seconds = format!("{:.0}", seconds.max(1.0)))
    } else if seconds < 5_400.0 {
        t!("minutes-left", minutes = format!("{:.0}", seconds / 60.0))
    } else {
        t!("hours-left", hours = format!("{:.0}", seconds / 3_600.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_keeps_its_distance_from_certainty() {
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.99996), "> 99.9 %");
        assert_eq!(percent(0.9321), "93.2 %");
        assert_eq!(percent(0.00049), "< 0.1 %");
    }

    #[test]
    fn sizes_and_times() {
        assert_eq!(bytes(12), "12 bytes");
        assert_eq!(bytes(12_345), "12 kB");
        assert_eq!(bytes(44_120_000), "44.1 MB");
        assert_eq!(bytes(1_710_000_000), "1.71 GB");
        assert_eq!(parameters(22_050_048), "22.1 million parameters");
        assert_eq!(parameters(151_277_313), "151.3 million parameters");
        assert_eq!(milliseconds(3.12), "3.1 ms");
        assert_eq!(milliseconds(154.6), "155 ms");
        assert_eq!(milliseconds(2_340.0), "2.3 s");
    }
}
