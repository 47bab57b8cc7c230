//! What several tests of the engine share.

use super::messages::DeviceChoice;
use super::{Engine, open_device};
use crate::hub::{self, Bundled, ModelFiles};
use crate::model::WeightPrecision;

/// The bundled model on the CPU.
pub async fn bundled_engine() -> Engine {
    engine_of(&Bundled).await
}

/// A model on the CPU.
pub async fn engine_of(files: &impl ModelFiles) -> Engine {
    let bundle = hub::open(files, None).await.unwrap();
    let opened = open_device(DeviceChoice::Cpu, |_| ()).await.unwrap();
    let precision = WeightPrecision::AsStored;
    Engine::load(files, bundle, opened, precision, &mut |_| ())
        .await
        .unwrap()
}
