//! Access to the numbers of tensors, and checks which tensors the CPU kernels support.

use candle_core::{CpuStorage, DType, Device, Layout, Result, Storage, Tensor, bail};

/// Whether the CPU kernels support a tensor: f32 in main memory. Other tensors are computed with candle's own operations.
pub(crate) fn is_native(x: &Tensor) -> bool {
    matches!(x.device(), Device::Cpu) && x.dtype() == DType::F32
}

/// Refuses integers, for which candle's operations would round or fail with an error that does not name the operation.
pub(crate) fn require_float(operation: &str, x: &Tensor) -> Result<()> {
    if x.dtype().is_float() {
        return Ok(());
    }
    bail!(
        "{operation} needs floating point numbers, got {:?}",
        x.dtype()
    )
}

/// Refuses tensors that are not [native](is_native), for operations that are not composed of candle's own.
pub(crate) fn require_native(operation: &str, x: &Tensor) -> Result<()> {
    if is_native(x) {
        return Ok(());
    }
    bail!(
        "{operation} supports f32 on the CPU only, got {:?} on {:?}: convert with to_dtype or to_device first",
        x.dtype(),
        x.device().location()
    )
}

/// The numbers of a contiguous f32 storage.
pub(crate) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!(
            "internal: an operand of shape {:?} is not contiguous",
            layout.shape()
        ),
    }
}

/// Calls `f` with the numbers of contiguous f32 tensors on the CPU.
pub(crate) fn with_slices<const N: usize, R>(
    tensors: [&Tensor; N],
    f: impl FnOnce([&[f32]; N]) -> Result<R>,
) -> Result<R> {
    let guards = tensors.map(Tensor::storage_and_layout);
    let mut slices: [&[f32]; N] = [&[]; N];
    for (slot, (storage, layout)) in slices.iter_mut().zip(&guards) {
        let Storage::Cpu(storage) = &**storage else {
            bail!("internal: an operand is not on the CPU")
        };
        *slot = slice(storage, layout)?;
    }
    f(slices)
}
