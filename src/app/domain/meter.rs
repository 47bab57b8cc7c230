//! How fast a download goes, and how long it will take.

/// Bytes per second, smoothed over some seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meter {
    last: Option<(f64, u64)>,
    bytes_per_second: Option<f64>,
}

/// Reports closer together than this tell more of chance than of speed.
const LEAST_MS: f64 = 400.0;

impl Meter {
    /// `done` bytes are here at `now_ms`.
    pub fn note(&mut self, done: u64, now_ms: f64) {
        match self.last {
            Some((then, before)) if done >= before => {
                let elapsed = now_ms - then;
                if elapsed < LEAST_MS {
                    return;
                }
                let now = (done - before) as f64 / elapsed * 1e3;
                let old = self.bytes_per_second.unwrap_or(now);
                self.bytes_per_second = Some(0.75 * old + 0.25 * now);
            }
            _ => self.bytes_per_second = None,
        }
        self.last = Some((now_ms, done));
    }

    pub fn bytes_per_second(&self) -> Option<f64> {
        self.bytes_per_second
    }

    /// Seconds until `total` bytes are here, if it goes on like this.
    pub fn seconds_left(&self, total: u64) -> Option<f64> {
        let (_, done) = self.last?;
        let speed = self.bytes_per_second.filter(|speed| *speed > 0.0)?;
        (total > done).then(|| (total - done) as f64 / speed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_download() {
        let mut meter = Meter::default();
        meter.note(0, 0.0);
        assert_eq!(meter.seconds_left(100), None);
        for second in 1..=5 {
            meter.note(second * 1000, second as f64 * 1e3);
            meter.note(second * 1000 + 1, second as f64 * 1e3 + 1.0);
        }
        assert_eq!(meter.bytes_per_second(), Some(1000.0));
        assert_eq!(meter.seconds_left(15_000), Some(10.0));
    }

    #[test]
    fn a_restart_is_measured_anew() {
        let mut meter = Meter::default();
        meter.note(0, 0.0);
        meter.note(5000, 1e3);
        meter.note(10, 2e3);
        assert_eq!(meter.bytes_per_second(), None);
    }
}
