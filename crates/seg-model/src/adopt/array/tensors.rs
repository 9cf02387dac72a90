//! Safetensors files.

use std::path::Path;

use anyhow::{Result, bail};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::{Accept, Array, Number, count};

/// Reads the tensor called `name`, or the only one.
///
/// # Errors
/// Returns an error if it is no such file, has no such tensor or several, or the tensor holds no numbers.
pub(super) fn read(path: &Path, name: Option<&str>, accept: Accept) -> Result<Array> {
    let bytes = std::fs::read(path)?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let tensor = find(&tensors, name)?;
    let number = number(tensor.dtype())?;
    accept(tensor.shape())?;
    let values = number.read(tensor.data(), count(tensor.shape())?)?;
    Ok(Array::in_c_order(tensor.shape().to_vec(), number, values))
}

fn find<'a>(tensors: &'a SafeTensors, name: Option<&str>) -> Result<TensorView<'a>> {
    let mut names = tensors.names();
    names.sort_unstable();
    let found = match (name, &names[..]) {
        (Some(name), _) => names.iter().find(|found| **found == name),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    match (found, name) {
        (Some(name), _) => Ok(tensors.tensor(name)?),
        (None, _) if names.is_empty() => bail!("it holds no tensors"),
        (None, name) => {
            names.truncate(10);
            let what = name.map_or("several tensors".to_owned(), |name| {
                format!("no tensor {name:?}")
            });
            bail!("it has {what} ({}): pass --array", names.join(", "))
        }
    }
}

fn number(dtype: Dtype) -> Result<Number> {
    Ok(match dtype {
        Dtype::F16 => Number::F16,
        Dtype::BF16 => Number::Bf16,
        Dtype::F32 => Number::F32,
        Dtype::F64 => Number::F64,
        Dtype::I8 => Number::I8,
        Dtype::I16 => Number::I16,
        Dtype::I32 => Number::I32,
        Dtype::I64 => Number::I64,
        Dtype::U8 => Number::U8,
        Dtype::U16 => Number::U16,
        Dtype::U32 => Number::U32,
        Dtype::U64 => Number::U64,
        other => bail!("its values are {other:?}: save them as F32"),
    })
}
