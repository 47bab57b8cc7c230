//! Values of tensors, read back from their device.

use burn::tensor::Tensor;

/// Error of reading a tensor back: the device was lost, or ran out of memory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReadBackError(String);

/// Values of a tensor, in row-major order.
pub async fn read_back<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, ReadBackError> {
    let data =
        (tensor.into_data_async().await).map_err(|error| ReadBackError(format!("{error:?}")))?;
    (data.try_into_vec()).map_err(|error| ReadBackError(format!("{error:?}")))
}
