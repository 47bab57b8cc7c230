//! A published model for a device: the most accurate one that it can download, hold and
//! compute.

use super::{Published, published};

/// What a browser tells of its device.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeviceProfile {
    /// `navigator.deviceMemory`, GB: rounded and capped by the browser, which need not tell.
    pub memory_gb: Option<f64>,
    /// Whether there is a WebGPU adapter.
    pub webgpu: bool,
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
    /// One or two sentences.
    pub reason: String,
}

/// Largest download of a connection that is not known to be slow, bytes.
const LARGEST_DOWNLOAD: u64 = 1_000_000_000;
/// The same of `3g`: two minutes at 7 Mbit/s.
const LARGEST_DOWNLOAD_3G: u64 = 100_000_000;
/// Memory that is assumed where the browser tells none, GB.
const USUAL_MEMORY_GB: f64 = 4.0;
/// Share of the memory that a model may take.
const MEMORY_SHARE: f64 = 0.25;
/// Most multiply-adds of a picture without WebGPU, in thousand millions: some half a second on
/// two cores.
const MOST_GMACS_ON_THE_CPU: f32 = 8.0;
/// The same with WebGPU, for a graphics processor within a processor.
const MOST_GMACS_ON_THE_GPU: f32 = 100.0;
/// Accuracy on ImageNet that is given up for a smaller download.
const TOLERANCE: f32 = 0.01;

/// Model for a device: of those that its connection, memory and processor take, the most
/// accurate one, or a smaller one of nearly its accuracy. Models for one purpose and those
/// whose license allows no commercial use are not recommended.
pub fn recommend(device: &DeviceProfile) -> Recommendation {
    let bundled = |reason: &str| Recommendation {
        model: None,
        reason: reason.into(),
    };
    if device.save_data {
        return bundled(
            "The browser is set to save data, and the bundled model needs no download.",
        );
    }
    let download = match device.effective_type {
        Some(EffectiveType::Slow2g | EffectiveType::TwoG) => {
            return bundled("The connection is slow, and the bundled model needs no download.");
        }
        Some(EffectiveType::ThreeG) => LARGEST_DOWNLOAD_3G,
        Some(EffectiveType::FourG) | None => LARGEST_DOWNLOAD,
    };
    let memory_gb = (device.memory_gb)
        .filter(|gb| gb.is_finite() && *gb > 0.0)
        .unwrap_or(USUAL_MEMORY_GB);
    let memory = (memory_gb * MEMORY_SHARE * 1e9) as u64;
    let gmacs = match device.webgpu {
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
        return bundled("No published model fits this device's memory; the bundled one does.");
    };
    let limit = if memory < download {
        format!("a quarter of its memory ({memory_gb} GB)")
    } else if device.effective_type == Some(EffectiveType::ThreeG) {
        format!("{} MB, which its connection takes", download / 1_000_000)
    } else {
        format!("{} MB to download", download / 1_000_000)
    };
    let processor = match device.webgpu {
        true => "With WebGPU it is fast.",
        false => "It is fast enough without WebGPU, which this browser does not have.",
    };
    Recommendation {
        model: Some(model),
        reason: format!(
            "{}, for {} MB: the best for this device within {limit}. {processor}",
            model.merit(),
            model.bytes / 1_000_000,
        ),
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
        webgpu: true,
        save_data: false,
        effective_type: Some(EffectiveType::FourG),
    };

    fn name(device: DeviceProfile) -> Option<&'static str> {
        let found = recommend(&device);
        assert!(found.reason.ends_with('.'), "{}", found.reason);
        found.model.map(|model| model.name.as_str())
    }

    #[test]
    fn a_device_gets_what_it_can_download_hold_and_compute() {
        assert_eq!(name(DESKTOP), Some("SigLIP ViT-B/16"));
        let cpu = DeviceProfile {
            webgpu: false,
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
        let cases = [
            DeviceProfile {
                save_data: true,
                ..DESKTOP
            },
            DeviceProfile {
                effective_type: EffectiveType::parse("2g"),
                ..DESKTOP
            },
            DeviceProfile {
                effective_type: EffectiveType::parse("slow-2g"),
                ..DESKTOP
            },
            DeviceProfile {
                memory_gb: Some(0.25),
                ..DESKTOP
            },
        ];
        for device in cases {
            assert_eq!(name(device), None);
        }
        assert_eq!(EffectiveType::parse("5g"), None);
    }

    #[test]
    fn the_reason_names_what_decided() {
        let reason = |device: DeviceProfile| recommend(&device).reason;
        let found = reason(DESKTOP);
        assert!(
            found.contains("ImageNet 76.0 %") && found.contains("812 MB"),
            "{found}"
        );
        assert!(found.contains("1000 MB to download"), "{found}");
        let phone = DeviceProfile {
            memory_gb: Some(2.0),
            webgpu: false,
            ..DESKTOP
        };
        let found = reason(phone);
        assert!(found.contains("a quarter of its memory (2 GB)"), "{found}");
        assert!(found.contains("without WebGPU"), "{found}");
    }

    #[test]
    fn no_device_gets_a_model_that_not_everyone_may_use() {
        for memory_gb in [0.5, 1.0, 2.0, 4.0, 8.0, 32.0, f64::NAN, -1.0, 1e300] {
            for webgpu in [false, true] {
                let device = DeviceProfile {
                    memory_gb: Some(memory_gb),
                    webgpu,
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
