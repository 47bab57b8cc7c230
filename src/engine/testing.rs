//! What several tests of the engine share.

use super::messages::DeviceChoice;
use super::{Engine, open_device};
use crate::hub::{self, Bundled};
use crate::model::WeightPrecision;

/// The bundled model on the CPU.
pub async fn bundled_engine() -> Engine {
    let bundle = hub::open(&Bundled, None).await.unwrap();
    let opened = open_device(DeviceChoice::Cpu, |_| ()).await.unwrap();
    let precision = WeightPrecision::AsStored;
    Engine::load(&Bundled, bundle, opened, precision, &mut |_| ())
        .await
        .unwrap()
}
