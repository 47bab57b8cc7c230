//! What to do when the worker dies.
//!
//! One death may be chance (a driver that was reset, a laptop that slept). Two
//! within a minute are a pattern: then another device, or none.

use crate::engine::messages::DeviceChoice;

/// Two deaths this close together count as a pattern.
const WINDOW_MS: f64 = 60_000.0;

/// What follows a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A fresh worker on the same device.
    Again,
    /// A fresh worker on the CPU: the GPU is not to be relied on.
    OnCpu,
    /// No fresh worker until the visitor asks for one.
    GiveUp,
}

/// The deaths of late.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deaths {
    recent_ms: Vec<f64>,
}

impl Deaths {
    /// Notes a death at `now_ms` and says what to do about it. `on_cpu` tells
    /// where the worker ran, or was told to run.
    pub fn another(&mut self, now_ms: f64, choice: DeviceChoice, on_cpu: bool) -> Verdict {
        self.recent_ms.retain(|then| now_ms - then < WINDOW_MS);
        self.recent_ms.push(now_ms);
        if self.recent_ms.len() < 2 {
            return Verdict::Again;
        }
        // The next device, or the next try, starts with a clean record.
        self.recent_ms.clear();
        if choice == DeviceChoice::Auto && !on_cpu {
            Verdict::OnCpu
        } else {
            Verdict::GiveUp
        }
    }

    /// Forgets all deaths, as after a change of device.
    pub fn forget(&mut self) {
        self.recent_ms.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_goes_from_gpu_to_cpu_to_giving_up() {
        let mut deaths = Deaths::default();
        let auto = DeviceChoice::Auto;
        assert_eq!(deaths.another(0.0, auto, false), Verdict::Again);
        assert_eq!(deaths.another(1_000.0, auto, false), Verdict::OnCpu);
        assert_eq!(deaths.another(2_000.0, auto, true), Verdict::Again);
        assert_eq!(deaths.another(3_000.0, auto, true), Verdict::GiveUp);
    }

    #[test]
    fn rare_deaths_never_add_up() {
        let mut deaths = Deaths::default();
        for minute in 0..10 {
            let now = f64::from(minute) * 61_000.0;
            assert_eq!(
                deaths.another(now, DeviceChoice::Auto, false),
                Verdict::Again
            );
        }
    }

    #[test]
    fn a_chosen_gpu_is_not_swapped_for_the_cpu() {
        let mut deaths = Deaths::default();
        assert_eq!(
            deaths.another(0.0, DeviceChoice::Gpu, false),
            Verdict::Again
        );
        assert_eq!(
            deaths.another(1.0, DeviceChoice::Gpu, false),
            Verdict::GiveUp
        );
    }
}
