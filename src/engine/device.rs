//! GPU or CPU: chosen once, told in words.

use burn::tensor::Device;

use super::messages::{DeviceChoice, DeviceInfo};

/// A device and what people are told of it.
pub struct OpenedDevice {
    pub device: Device,
    pub info: DeviceInfo,
}

/// Why the device that was asked for is not to be had.
#[derive(Debug, thiserror::Error)]
#[error("no GPU could be opened: {0}")]
pub struct DeviceError(String);

/// Opens what was asked for. [`DeviceChoice::Auto`] takes the GPU where there
/// is one and says why not where there is none; [`DeviceChoice::Gpu`] fails.
/// `lost` is called if the GPU goes away later (driver reset, unplugged).
pub async fn open_device(
    choice: DeviceChoice,
    lost: impl Fn(String) + Send + 'static,
) -> Result<OpenedDevice, DeviceError> {
    match choice {
        DeviceChoice::Cpu => Ok(cpu("chosen by you".into())),
        DeviceChoice::Gpu => gpu(true, lost).await.map_err(DeviceError),
        DeviceChoice::Auto => match gpu(false, lost).await {
            Ok(opened) => Ok(opened),
            Err(why) => Ok(cpu(why)),
        },
    }
}

fn cpu(reason: String) -> OpenedDevice {
    let name = match cfg!(target_arch = "wasm32") {
        true => "CPU (one thread, SIMD)".into(),
        false => {
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            format!("CPU ({threads} threads)")
        }
    };
    OpenedDevice {
        device: Device::flex(),
        info: DeviceInfo {
            gpu: false,
            name,
            reason,
        },
    }
}

#[cfg(not(feature = "gpu"))]
async fn gpu(
    _chosen: bool,
    _lost: impl Fn(String) + Send + 'static,
) -> Result<OpenedDevice, String> {
    Err("this build has no GPU support".into())
}

#[cfg(feature = "gpu")]
async fn gpu(
    chosen: bool,
    lost: impl Fn(String) + Send + 'static,
) -> Result<OpenedDevice, String> {
    use burn::tensor::wgpu::wgpu::DeviceType;

    #[cfg(target_arch = "wasm32")]
    if !browser_has_webgpu() {
        return Err("this browser has no WebGPU, or has it switched off".into());
    }
    let (device, setup) = (Device::wgpu_options().init_with_setup_async().await)
        .map_err(|error| format!("no usable graphics adapter ({error})"))?;
    let adapter = setup.adapter.get_info();
    // A program that imitates a GPU is slower than the CPU itself. In a browser
    // it only shows up when somebody asked for it, so there it is let be.
    let imitation = adapter.device_type == DeviceType::Cpu;
    if imitation && !chosen && cfg!(not(target_arch = "wasm32")) {
        return Err(format!("the only GPU is imitated in software ({})", adapter.name));
    }
    (setup.device).set_device_lost_callback(move |reason, message| {
        lost(format!("{reason:?}: {message}"));
    });
    let name = match adapter.name.is_empty() {
        true => adapter.backend.to_string(),
        false => adapter.name,
    };
    Ok(OpenedDevice {
        device,
        info: DeviceInfo {
            gpu: true,
            name: match cfg!(target_arch = "wasm32") {
                true => format!("WebGPU: {name}"),
                false => format!("{}: {name}", adapter.backend),
            },
            reason: match chosen {
                true => "chosen by you".into(),
                false => String::new(),
            },
        },
    })
}

/// Asked before wgpu is, whose own answer is less plain.
#[cfg(all(feature = "gpu", target_arch = "wasm32"))]
fn browser_has_webgpu() -> bool {
    let get = |object: &wasm_bindgen::JsValue, key: &str| {
        js_sys::Reflect::get(object, &key.into()).unwrap_or_default()
    };
    let navigator = get(&js_sys::global(), "navigator");
    navigator.is_object() && get(&navigator, "gpu").is_object()
}
