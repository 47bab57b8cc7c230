//! A published model for a device: the most accurate one that it can download, hold and
//! compute.

use serde::Serialize;

use super::{Published, published};

/// What is known of a device, from a browser or a system.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeviceProfile {
    /// Memory, GB. A browser's `navigator.deviceMemory` is rounded and capped, and not all tell it.
    pub memory_gb: Option<f64>,
    /// Whether the model would run on a GPU.
    pub gpu: bool,
    /// `navigator.connection.saveData`: whether the visitor wants to save data.
    pub save_data: bool,
    /// `navigator.connection.effectiveType`, if the browser tells it.
    pub effective_type: Option<EffectiveType>,
}

/// Kind of connection, as the Network Information API names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EffectiveType {
    /// `slow-2g`
    Slow2g,
    /// `2g`
    TwoG,
    /// `3g`
    ThreeG,
    /// `4g`, or anything faster.
    FourG,
}

impl EffectiveType {
    /// Kind of that name; `None` for another.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "slow-2g" => Some(Self::Slow2g),
            "2g" => Some(Self::TwoG),
            "3g" => Some(Self::ThreeG),
            "4g" => Some(Self::FourG),
            _ => None,
        }
    }
}

/// Model that is recommended, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommendation {
    /// `None`: the bundled model, which needs no download.
    pub model: Option<&'static Published>,
    /// Why this one.
    pub reason: Reason,
}

/// Reason for a recommendation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Bundled: the browser is set to save data.
    SaveData,
    /// Bundled: the connection is slow.
    SlowConnection,
    /// Bundled: no published model fits the memory.
    LittleMemory,
    /// The most accurate one, or a smaller one of nearly its accuracy, of those that are fast
    /// enough within a limit of size.
    BestWithin {
        /// The limit that decided.
        limit: SizeLimit,
        /// Whether it runs on a GPU, and not on the CPU.
        gpu: bool,
    },
}

/// Limit of the size of a recommended model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SizeLimit {
    /// A quarter of the memory, which is so many GB.
    MemoryGb(f64),
    /// What a slow connection takes, bytes.
    ConnectionBytes(u64),
    /// Largest download that is recommended to anyone, bytes.
    DownloadBytes(u64),
}

/// Largest download of a connection that is not known to be slow, bytes.
const LARGEST_DOWNLOAD: u64 = 1_000_000_000;
/// The same of `3g`: two minutes at 7 Mbit/s.
const LARGEST_DOWNLOAD_3G: u64 = 100_000_000;
/// Memory that is assumed where the browser tells none, GB.
const USUAL_MEMORY_GB: f64 = 4.0;
/// Share of the memory that a model may take.
const MEMORY_SHARE: f64 = 0.25;
/// Most multiply-adds of a picture without a GPU, in thousand millions: some half a second on
/// two cores of a browser.
const MOST_GMACS_ON_THE_CPU: f32 = 8.0;
/// The same with a GPU, for one within a processor.
const MOST_GMACS_ON_THE_GPU: f32 = 100.0;
/// Accuracy on ImageNet that is given up for a smaller download.
const TOLERANCE: f32 = 0.01;

/// Model for a device: of those that its connection, memory and processor take, the most
/// accurate one, or a smaller one of nearly its accuracy. Models for one purpose and those
/// whose license allows no commercial use are not recommended.
pub fn recommend(device: &DeviceProfile) -> Recommendation {
    let bundled = |reason| Recommendation {
        model: None,
        reason,
    };
    if device.save_data {
        return bundled(Reason::SaveData);
    }
    let download = match device.effective_type {
        Some(EffectiveType::Slow2g | EffectiveType::TwoG) => {
            return bundled(Reason::SlowConnection);
        }
        Some(EffectiveType::ThreeG) => LARGEST_DOWNLOAD_3G,
        Some(EffectiveType::FourG) | None => LARGEST_DOWNLOAD,
    };
    let memory_gb = (device.memory_gb)
        .filter(|gb| gb.is_finite() && *gb > 0.0)
        .unwrap_or(USUAL_MEMORY_GB);
    let memory = (memory_gb * MEMORY_SHARE * 1e9) as u64;
    let gmacs = match device.gpu {
        true => MOST_GMACS_ON_THE_GPU,
        false => MOST_GMACS_ON_THE_CPU,
    };
    let fits = |model: &&Published| {
        model.bytes <= download.min(memory) && model.image_gmacs <= gmacs && is_for_all(model)
    };
    let fitting: Vec<&Published> = published().iter().filter(fits).collect();
    let best = (fitting.iter().map(|model| accuracy(model))).fold(0.0, f32::max);
    let model = (fitting.into_iter())
        .filter(|model| accuracy(model) >= best - TOLERANCE)
        .min_by_key(|model| model.bytes);
    let Some(model) = model else {
        return bundled(Reason::LittleMemory);
    };
    let limit = if memory < download {
        SizeLimit::MemoryGb(memory_gb)
    } else if device.effective_type == Some(EffectiveType::ThreeG) {
        SizeLimit::ConnectionBytes(download)
    } else {
        SizeLimit::DownloadBytes(download)
    };
    Recommendation {
        model: Some(model),
        reason: Reason::BestWithin {
            limit,
            gpu: device.gpu,
        },
    }
}

/// Zero-shot accuracy on ImageNet, 0 to 1.
fn accuracy(model: &Published) -> f32 {
    model.imagenet_top_1.unwrap_or(0.0)
}

/// Whether a model is for every purpose and everyone.
fn is_for_all(model: &Published) -> bool {
    let restricted = ["research only", "-NC-", "not stated"];
    model.purpose.is_none() && !restricted.iter().any(|word| model.license.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESKTOP: DeviceProfile = DeviceProfile {
        memory_gb: Some(8.0),
        gpu: true,
        save_data: false,
        effective_type: Some(EffectiveType::FourG),
    };

    fn name(device: DeviceProfile) -> Option<&'static str> {
        recommend(&device).model.map(|model| model.name.as_str())
    }

    #[test]
    fn a_device_gets_what_it_can_download_hold_and_compute() {
        assert_eq!(name(DESKTOP), Some("SigLIP ViT-B/16"));
        let cpu = DeviceProfile {
            gpu: false,
            ..DESKTOP
        };
        assert_eq!(name(cpu), Some("ViT-B/32 at 256 px (DataComp-1B)"));
        let phone = DeviceProfile {
            memory_gb: Some(2.0),
            ..DESKTOP
        };
        assert_eq!(name(phone), Some("PE-Core S/16 at 384 px"));
        let slow = DeviceProfile {
            effective_type: Some(EffectiveType::ThreeG),
            ..DESKTOP
        };
        assert_eq!(name(slow), Some("TinyCLIP ViT-8M/16, text 3M"));
        // Safari and Firefox tell neither memory nor connection.
        let silent = DeviceProfile {
            memory_gb: None,
            effective_type: None,
            ..DESKTOP
        };
        assert_eq!(name(silent), name(DESKTOP));
    }

    #[test]
    fn who_saves_data_downloads_nothing() {
        let slow = |name| DeviceProfile {
            effective_type: EffectiveType::parse(name),
            ..DESKTOP
        };
        let saving = DeviceProfile {
            save_data: true,
            ..DESKTOP
        };
        let small = DeviceProfile {
            memory_gb: Some(0.25),
            ..DESKTOP
        };
        for (device, reason) in [
            (saving, Reason::SaveData),
            (slow("2g"), Reason::SlowConnection),
            (slow("slow-2g"), Reason::SlowConnection),
            (small, Reason::LittleMemory),
        ] {
            assert_eq!(
                recommend(&device),
                Recommendation {
                    model: None,
                    reason
                }
            );
        }
        assert_eq!(EffectiveType::parse("5g"), None);
    }

    #[test]
    fn the_reason_names_what_decided() {
        let within = |device: DeviceProfile| match recommend(&device).reason {
            Reason::BestWithin { limit, gpu } => (limit, gpu),
            other => panic!("{other:?}"),
        };
        let download = SizeLimit::DownloadBytes(1_000_000_000);
        assert_eq!(within(DESKTOP), (download, true));
        let slow = DeviceProfile {
            effective_type: EffectiveType::parse("3g"),
            ..DESKTOP
        };
        let connection = SizeLimit::ConnectionBytes(100_000_000);
        assert_eq!(within(slow), (connection, true));
        let phone = DeviceProfile {
            memory_gb: Some(2.0),
            gpu: false,
            ..DESKTOP
        };
        assert_eq!(within(phone), (SizeLimit::MemoryGb(2.0), false));
    }

    #[test]
    fn no_device_gets_a_model_that_not_everyone_may_use() {
        for memory_gb in [0.5, 1.0, 2.0, 4.0, 8.0, 32.0, f64::NAN, -1.0, 1e300] {
            for gpu in [false, true] {
                let device = DeviceProfile {
                    memory_gb: Some(memory_gb),
                    gpu,
                    ..DESKTOP
                };
                if let Some(model) = recommend(&device).model {
                    assert!(is_for_all(model), "{}", model.name);
                    assert!(model.bytes <= LARGEST_DOWNLOAD);
                }
            }
        }
    }
}
