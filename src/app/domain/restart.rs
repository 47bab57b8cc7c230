//! Restart policy after a crash of the worker.
//!
//! One crash may be chance (a driver that was reset, a laptop that slept). Two
//! within a minute are a pattern: then another device, or none.

use crate::engine::messages::DeviceChoice;

/// Two crashes within this time count as a pattern.
const WINDOW_MS: f64 = 60_000.0;

/// Action after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartAction {
    /// A fresh worker on the same device.
    Restart,
    /// A fresh worker on the CPU: the GPU is not to be relied on.
    RestartOnCpu,
    /// No fresh worker until the visitor asks for one.
    GiveUp,
}

/// Recent crashes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CrashHistory {
    recent_ms: Vec<f64>,
}

impl CrashHistory {
    /// Records a crash at `now_ms` and returns what to do about it. `on_cpu` tells
    /// where the worker ran, or was to run.
    pub fn record(&mut self, now_ms: f64, choice: DeviceChoice, on_cpu: bool) -> RestartAction {
        self.recent_ms.retain(|then| now_ms - then < WINDOW_MS);
        self.recent_ms.push(now_ms);
        if self.recent_ms.len() < 2 {
            return RestartAction::Restart;
        }
        // The next device, or the next try, starts with a clean record.
        self.recent_ms.clear();
        if choice == DeviceChoice::Auto && !on_cpu {
            RestartAction::RestartOnCpu
        } else {
            RestartAction::GiveUp
        }
    }

    /// Forgets all crashes, as after a change of device.
    pub fn clear(&mut self) {
        self.recent_ms.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_goes_from_gpu_to_cpu_to_giving_up() {
        let mut crashes = CrashHistory::default();
        let auto = DeviceChoice::Auto;
        assert_eq!(crashes.record(0.0, auto, false), RestartAction::Restart);
        assert_eq!(
            crashes.record(1_000.0, auto, false),
            RestartAction::RestartOnCpu
        );
        assert_eq!(crashes.record(2_000.0, auto, true), RestartAction::Restart);
        assert_eq!(crashes.record(3_000.0, auto, true), RestartAction::GiveUp);
    }

    #[test]
    fn rare_crashes_never_add_up() {
        let mut crashes = CrashHistory::default();
        for minute in 0..10 {
            let now = f64::from(minute) * 61_000.0;
            assert_eq!(
                crashes.record(now, DeviceChoice::Auto, false),
                RestartAction::Restart
            );
        }
    }

    #[test]
    fn a_chosen_gpu_is_not_swapped_for_the_cpu() {
        let mut crashes = CrashHistory::default();
        assert_eq!(
            crashes.record(0.0, DeviceChoice::Gpu, false),
            RestartAction::Restart
        );
        assert_eq!(
            crashes.record(1.0, DeviceChoice::Gpu, false),
            RestartAction::GiveUp
        );
    }
}
