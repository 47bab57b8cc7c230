//! Choice of the device, GPU or CPU, with its description.

use burn::tensor::Device;

use super::messages::{DeviceChoice, DeviceInfo};
use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};

/// Opened device with its description.
pub struct OpenedDevice {
    /// Device of burn.
    pub device: Device,
    /// Description, for display.
    pub info: DeviceInfo,
    /// Greatest tensor, bytes, if there is a limit: a GPU has one, of at least 128 MiB.
    pub max_tensor_bytes: Option<u64>,
}

/// Error of opening the requested device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
pub enum DeviceError {
    /// GPU that cannot be used, with the reason.
    Gpu(#[from] GpuUnavailable),
    /// CPU in a build without the feature `cpu`.
    NoCpu,
}

impl ToDiagnostic for DeviceError {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::Gpu(reason) => {
                diagnostic!("gpu-unusable", "the GPU cannot be used: {reason}", reason)
            }
            Self::NoCpu => diagnostic!("no-cpu", "this build has no CPU support"),
        }
    }
}

/// Reason why no GPU is used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
pub enum GpuUnavailable {
    /// Build without the feature `gpu`.
    Unsupported,
    /// Browser without WebGPU.
    NoWebGpu,
    /// Machine without a GPU, as far as the browser or the drivers tell.
    NotFound,
    /// Only a software rasteriser, which is slower than the CPU; with its name.
    Emulated(String),
    /// GPU that failed its self-test, or is slower than the CPU.
    SelfTest {
        /// Name of the GPU.
        gpu: String,
        /// Text to show.
        reason: Diagnostic,
    },
    /// GPU that failed to open, with the reason.
    Failed(String),
}

impl ToDiagnostic for GpuUnavailable {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::Unsupported => diagnostic!("no-gpu-build", "this build has no GPU support"),
            Self::NoWebGpu => diagnostic!(
                "no-webgpu",
                "this browser does not support WebGPU, or it is disabled"
            ),
            Self::NotFound if cfg!(target_arch = "wasm32") => {
                diagnostic!("no-gpu", "WebGPU found no GPU")
            }
            Self::NotFound => diagnostic!("no-native-gpu", "no GPU was found"),
            Self::Emulated(name) => diagnostic!(
                "emulated",
                "the only GPU is emulated in software ({name})",
                name
            ),
            Self::SelfTest { reason, .. } => reason.clone(),
            Self::Failed(error) => diagnostic!(
                "gpu-not-opened",
                "the GPU could not be opened ({error})",
                error
            ),
        }
    }
}

impl DeviceError {
    /// Name of a GPU that failed its self-test, or is slower than the CPU.
    pub fn failed_gpu(&self) -> Option<String> {
        match self {
            Self::Gpu(GpuUnavailable::SelfTest { gpu, .. }) => Some(gpu.clone()),
            _ => None,
        }
    }
}

/// Opens the requested device. [`DeviceChoice::Auto`] prefers a GPU, and says why if
/// there is none; [`DeviceChoice::Gpu`] fails. `lost` is called if the GPU is lost later
/// (driver reset, unplugged).
pub async fn open_device(
    choice: DeviceChoice,
    lost: impl Fn(String) + Send + 'static,
) -> Result<OpenedDevice, DeviceError> {
    match choice {
        DeviceChoice::Cpu => cpu(chosen_by_visitor()).ok_or(DeviceError::NoCpu),
        DeviceChoice::Gpu => Ok(gpu(true, lost).await?),
        DeviceChoice::Auto => match gpu(false, lost).await {
            Ok(opened) => Ok(opened),
            // Without a CPU backend, the page starts the CPU's program.
            Err(why) => cpu(why.to_diagnostic()).ok_or(DeviceError::Gpu(why)),
        },
    }
}

/// The CPU, if the build has a backend for it.
#[cfg(feature = "cpu")]
fn cpu(reason: Diagnostic) -> Option<OpenedDevice> {
    Some(OpenedDevice {
        device: Device::flex(),
        info: DeviceInfo {
            gpu: false,
            name: cpu_name(),
            reason,
        },
        max_tensor_bytes: None,
    })
}

#[cfg(not(feature = "cpu"))]
fn cpu(_reason: Diagnostic) -> Option<OpenedDevice> {
    None
}

/// Reason for a device that was asked for by name.
fn chosen_by_visitor() -> Diagnostic {
    diagnostic!("chosen", "chosen by you")
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
    let gpu = match GPU.get() {
        Some(gpu) => gpu,
        None => {
            let gpu = first_gpu(lost).await?;
            GPU.get_or_init(|| gpu)
        }
    };
    // A software rasteriser is slower than the CPU backend. In a browser it only appears
    // on explicit request, so it is accepted there.
    if gpu.emulated && !chosen && cfg!(not(target_arch = "wasm32")) {
        return Err(GpuUnavailable::Emulated(gpu.name.clone()));
    }
    let failed = |error: &super::self_test::SelfTestError| GpuUnavailable::SelfTest {
        gpu: gpu.name.clone(),
        reason: error.to_diagnostic(),
    };
    if gpu.self_test.get().is_none() {
        let result = super::self_test::self_test(&gpu.device).await;
        gpu.self_test.get_or_init(|| result);
    }
    if let Some(Err(error)) = gpu.self_test.get() {
        return Err(failed(error));
    }
    // Whoever chose the GPU gets it.
    if !chosen && !gpu.emulated {
        if gpu.speed_test.get().is_none() {
            let result = super::speed_test::speed_test(&gpu.device).await;
            gpu.speed_test.get_or_init(|| result);
        }
        if let Some(Err(error)) = gpu.speed_test.get() {
            return Err(failed(error));
        }
    }
    Ok(OpenedDevice {
        device: gpu.device.clone(),
        info: DeviceInfo {
            gpu: true,
            name: gpu.name.clone(),
            reason: match chosen {
                true => chosen_by_visitor(),
                false => Diagnostic::default(),
            },
        },
        max_tensor_bytes: Some(gpu.max_tensor_bytes),
    })
}

/// The GPU of this process.
#[cfg(feature = "gpu")]
struct Gpu {
    device: Device,
    name: String,
    /// Whether it is a software rasteriser.
    emulated: bool,
    max_tensor_bytes: u64,
    /// Result of its self-test, which runs when the GPU is first used.
    self_test: std::sync::OnceLock<Result<(), super::self_test::SelfTestError>>,
    /// Whether it is fast enough, once that mattered.
    speed_test: std::sync::OnceLock<Result<(), super::self_test::SelfTestError>>,
}

/// burn opens a GPU only once per process, so it is cached.
#[cfg(feature = "gpu")]
static GPU: std::sync::OnceLock<Gpu> = std::sync::OnceLock::new();

#[cfg(feature = "gpu")]
async fn first_gpu(lost: impl Fn(String) + Send + 'static) -> Result<Gpu, GpuUnavailable> {
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
    let emulated = adapter.device_type == DeviceType::Cpu;
    #[cfg(all(target_arch = "wasm32", feature = "browser"))]
    let (name, emulated) = match super::browser_gpu::browser_gpu().await {
        Some(gpu) => (gpu.name, gpu.emulated),
        None => ("WebGPU".into(), emulated),
    };
    #[cfg(all(target_arch = "wasm32", not(feature = "browser")))]
    let name = "WebGPU".to_owned();
    #[cfg(not(target_arch = "wasm32"))]
    let name = format!("{}: {}", adapter.backend, adapter.name);
    crate::ops::choose_kernels(kernels_for(&setup, &name));
    let limits = setup.device.limits();
    Ok(Gpu {
        device,
        name,
        emulated,
        max_tensor_bytes: (limits.max_storage_buffer_binding_size).min(limits.max_buffer_size),
        self_test: std::sync::OnceLock::new(),
        speed_test: std::sync::OnceLock::new(),
    })
}

/// Kernels that are the fastest on such a GPU, as far as GPUs were measured (`benches/gpu.md`).
#[cfg(feature = "gpu")]
fn kernels_for(setup: &burn::tensor::wgpu::WgpuSetup, name: &str) -> crate::ops::KernelChoice {
    use burn::tensor::wgpu::wgpu::{CooperativeScalarType, DeviceType, Features};

    use crate::ops::KernelChoice;

    let adapter = setup.adapter.get_info();
    // A browser tells the maker only.
    let large = adapter.device_type == DeviceType::DiscreteGpu || name.contains("nvidia");
    let features = setup.device.features();
    let tensor = features
        .contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX | Features::SHADER_F16)
        && (adapter.subgroup_min_size, adapter.subgroup_max_size) == (32, 32)
        && setup.device.limits().max_compute_workgroup_storage_size >= 32 << 10
        && (setup.adapter.cooperative_matrix_properties().iter()).any(|matrix| {
            (matrix.m_size, matrix.n_size, matrix.k_size) == (16, 16, 16)
                && matrix.ab_type == CooperativeScalarType::F16
                && matrix.cr_type == CooperativeScalarType::F32
        });
    match (large, tensor) {
        (false, _) => KernelChoice::ANY,
        (true, false) => KernelChoice::LARGE,
        (true, true) => KernelChoice::TENSOR,
    }
}

/// Reason why a browser offers no GPU.
#[cfg(all(target_arch = "wasm32", any(feature = "browser", feature = "gpu")))]
fn no_gpu() -> GpuUnavailable {
    match browser_has_webgpu() {
        true => GpuUnavailable::NotFound,
        false => GpuUnavailable::NoWebGpu,
    }
}

#[cfg(all(target_arch = "wasm32", feature = "browser"))]
use super::browser_gpu::has_webgpu as browser_has_webgpu;

/// Unknown without the bindings of a browser; wgpu finds out.
#[cfg(all(target_arch = "wasm32", feature = "gpu", not(feature = "browser")))]
fn browser_has_webgpu() -> bool {
    true
}
