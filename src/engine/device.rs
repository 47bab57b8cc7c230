//! Choice of the device, GPU or CPU, with its description.

use burn::tensor::Device;

use super::messages::{DeviceChoice, DeviceInfo};

/// Opened device with its description.
pub struct OpenedDevice {
    /// Device of burn.
    pub device: Device,
    /// Description, for display.
    pub info: DeviceInfo,
}

/// Error of opening the requested device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// GPU that cannot be used, with the reason.
    #[error("the GPU cannot be used: {0}")]
    Gpu(#[from] GpuUnavailable),
    /// CPU in a build without the feature `cpu`.
    #[error("this build has no CPU support")]
    NoCpu,
}

/// Reason why no GPU is used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GpuUnavailable {
    /// Build without the feature `gpu`.
    #[error("this build has no GPU support")]
    Unsupported,
    /// Browser without WebGPU.
    #[error("this browser does not support WebGPU, or it is disabled")]
    NoWebGpu,
    /// Machine without a GPU, as far as the browser or the drivers tell.
    #[error("{}", if cfg!(target_arch = "wasm32") { "WebGPU found no GPU" } else { "no GPU was found" })]
    NotFound,
    /// Only a software rasteriser, which is slower than the CPU; with its name.
    #[error("the only GPU is emulated in software ({0})")]
    Emulated(String),
    /// GPU that failed to open, with the reason.
    #[error("the GPU could not be opened ({0})")]
    Failed(String),
}

/// Opens the requested device. [`DeviceChoice::Auto`] prefers a GPU, and says why if
/// there is none; [`DeviceChoice::Gpu`] fails. `lost` is called if the GPU is lost later
/// (driver reset, unplugged).
pub async fn open_device(
    choice: DeviceChoice,
    lost: impl Fn(String) + Send + 'static,
) -> Result<OpenedDevice, DeviceError> {
    match choice {
        DeviceChoice::Cpu => cpu("chosen by you".into()).ok_or(DeviceError::NoCpu),
        DeviceChoice::Gpu => Ok(gpu(true, lost).await?),
        DeviceChoice::Auto => match gpu(false, lost).await {
            Ok(opened) => Ok(opened),
            // Without a CPU backend, the page starts the CPU's program.
            Err(why) => cpu(why.to_string()).ok_or(DeviceError::Gpu(why)),
        },
    }
}

/// The CPU, if the build has a backend for it.
#[cfg(feature = "cpu")]
fn cpu(reason: String) -> Option<OpenedDevice> {
    Some(OpenedDevice {
        device: Device::flex(),
        info: DeviceInfo {
            gpu: false,
            name: cpu_name(),
            reason,
        },
    })
}

#[cfg(not(feature = "cpu"))]
fn cpu(_reason: String) -> Option<OpenedDevice> {
    None
}

/// The CPU, described with its current number of threads.
pub fn cpu_name() -> String {
    let (threads, how) = match cfg!(target_arch = "wasm32") {
        true => (crate::kernels::pool::threads(), ", SIMD"),
        false => {
            let threads = std::thread::available_parallelism();
            (threads.map_or(1, usize::from), "")
        }
    };
    match threads {
        1 => format!("CPU (one thread{how})"),
        threads => format!("CPU ({threads} threads{how})"),
    }
}

/// In a browser this is the program for pages without a GPU.
#[cfg(not(feature = "gpu"))]
async fn gpu(
    _chosen: bool,
    _lost: impl Fn(String) + Send + 'static,
) -> Result<OpenedDevice, GpuUnavailable> {
    #[cfg(all(target_arch = "wasm32", feature = "browser"))]
    return Err(no_gpu());
    #[cfg(not(all(target_arch = "wasm32", feature = "browser")))]
    Err(GpuUnavailable::Unsupported)
}

#[cfg(feature = "gpu")]
async fn gpu(
    chosen: bool,
    lost: impl Fn(String) + Send + 'static,
) -> Result<OpenedDevice, GpuUnavailable> {
    // Checked before wgpu, whose own error is less clear.
    #[cfg(target_arch = "wasm32")]
    if !browser_has_webgpu() {
        return Err(no_gpu());
    }
    let (device, name, imitation) = match GPU.get() {
        Some(opened) => opened.clone(),
        None => {
            let opened = first_gpu(lost).await?;
            GPU.get_or_init(|| opened).clone()
        }
    };
    // A software rasteriser is slower than the CPU backend. In a browser it only appears
    // on explicit request, so it is accepted there.
    if imitation && !chosen && cfg!(not(target_arch = "wasm32")) {
        return Err(GpuUnavailable::Emulated(name));
    }
    Ok(OpenedDevice {
        device,
        info: DeviceInfo {
            gpu: true,
            name,
            reason: match chosen {
                true => "chosen by you".into(),
                false => String::new(),
            },
        },
    })
}

/// The GPU, its name, and whether it is a software rasteriser. burn opens a GPU only once
/// per process, so it is cached.
#[cfg(feature = "gpu")]
static GPU: std::sync::OnceLock<(Device, String, bool)> = std::sync::OnceLock::new();

#[cfg(feature = "gpu")]
async fn first_gpu(
    lost: impl Fn(String) + Send + 'static,
) -> Result<(Device, String, bool), GpuUnavailable> {
    use burn::tensor::wgpu::{WgpuInitError, wgpu::DeviceType};

    let (device, setup) = match Device::wgpu_options().init_with_setup_async().await {
        Ok(opened) => opened,
        // The list of graphics backends that failed helps nobody.
        #[cfg(target_arch = "wasm32")]
        Err(WgpuInitError::AdapterUnavailable { .. }) => return Err(no_gpu()),
        #[cfg(not(target_arch = "wasm32"))]
        Err(WgpuInitError::AdapterUnavailable { .. }) => return Err(GpuUnavailable::NotFound),
        Err(error) => return Err(GpuUnavailable::Failed(error.to_string())),
    };
    (setup.device).set_device_lost_callback(move |reason, message| {
        lost(format!("{reason:?}: {message}"));
    });
    let adapter = setup.adapter.get_info();
    #[cfg(all(target_arch = "wasm32", feature = "browser"))]
    let name = match browser_gpu_name().await {
        Some(name) => format!("WebGPU: {name}"),
        None => "WebGPU".into(),
    };
    #[cfg(all(target_arch = "wasm32", not(feature = "browser")))]
    let name = "WebGPU".to_owned();
    #[cfg(not(target_arch = "wasm32"))]
    let name = format!("{}: {}", adapter.backend, adapter.name);
    Ok((device, name, adapter.device_type == DeviceType::Cpu))
}

/// Reason why a browser offers no GPU.
#[cfg(all(target_arch = "wasm32", any(feature = "browser", feature = "gpu")))]
fn no_gpu() -> GpuUnavailable {
    match browser_has_webgpu() {
        true => GpuUnavailable::NotFound,
        false => GpuUnavailable::NoWebGpu,
    }
}

/// Unknown without the bindings of a browser; wgpu finds out.
#[cfg(all(target_arch = "wasm32", feature = "gpu", not(feature = "browser")))]
fn browser_has_webgpu() -> bool {
    true
}

#[cfg(all(target_arch = "wasm32", feature = "browser"))]
fn browser_has_webgpu() -> bool {
    let get = |object: &wasm_bindgen::JsValue, key: &str| {
        js_sys::Reflect::get(object, &key.into()).unwrap_or_default()
    };
    let navigator = get(&js_sys::global(), "navigator");
    navigator.is_object() && get(&navigator, "gpu").is_object()
}

/// The browser's description of its GPU, such as `nvidia ada-lovelace`. wgpu passes on
/// another field, which browsers leave empty.
#[cfg(all(feature = "gpu", target_arch = "wasm32", feature = "browser"))]
async fn browser_gpu_name() -> Option<String> {
    use wasm_bindgen::{JsCast, JsValue};

    let get = |object: &JsValue, key: &str| js_sys::Reflect::get(object, &key.into()).ok();
    let gpu = get(&get(&js_sys::global(), "navigator")?, "gpu")?;
    let request: js_sys::Function = get(&gpu, "requestAdapter")?.dyn_into().ok()?;
    let promise: js_sys::Promise = request.call0(&gpu).ok()?.dyn_into().ok()?;
    let adapter = wasm_bindgen_futures::JsFuture::from(promise).await.ok()?;
    let info = get(&adapter, "info")?;
    let words: Vec<String> = (["vendor", "architecture"].iter())
        .filter_map(|key| get(&info, key)?.as_string())
        .filter(|word| !word.is_empty())
        .collect();
    (!words.is_empty()).then(|| words.join(" "))
}
