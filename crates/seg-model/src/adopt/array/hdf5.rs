//! HDF5 files, such as the score maps of `SegmentMeIfYouCan`'s benchmark.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use hdf5_pure::{Dataset, Datatype, DatatypeByteOrder, File};

use super::{Accept, Array, Number, count};

/// The data set that the benchmark reads and writes.
const DEFAULT: &str = "value";

/// Reads the data set called `name`, or `value`, or the only one.
///
/// # Errors
/// Returns an error if it is no such file, has no such data set, or the data set holds no plain numbers.
pub(super) fn read(path: &Path, name: Option<&str>, accept: Accept) -> Result<Array> {
    let file = File::open_streaming(path).context("it is no HDF5 file, or it is damaged")?;
    let dataset = find(&file, name)?;
    let number = number(&dataset.datatype()?)?;
    let shape = dataset.shape()?;
    let shape: Vec<usize> = shape.iter().map(|&side| side as usize).collect();
    accept(&shape)?;
    let n = count(&shape)?;
    let bytes = dataset.read_raw().context("its values cannot be read")?;
    ensure!(
        n.checked_mul(number.size()) == Some(bytes.len()),
        "it is damaged: {n} values have {} bytes",
        bytes.len()
    );
    let values = number.read(&bytes[..], n)?;
    Ok(Array::in_c_order(shape, number, values))
}

fn find(file: &File, name: Option<&str>) -> Result<Dataset> {
    let mut names = file.root().datasets()?;
    names.sort();
    let name = match (name, &names[..]) {
        (Some(name), _) => name,
        (None, [only]) => only,
        (None, _) => DEFAULT,
    };
    file.dataset(name).ok().with_context(|| {
        format!(
            "it has no data set {name:?}, but {}: pass --array",
            if names.is_empty() {
                "none at its top".to_owned()
            } else {
                names.join(", ")
            }
        )
    })
}

fn number(datatype: &Datatype) -> Result<Number> {
    let (size, byte_order, found) = match datatype {
        Datatype::FloatingPoint {
            size, byte_order, ..
        } => (size, byte_order, Number::float(*size as usize)),
        Datatype::FixedPoint {
            size,
            byte_order,
            layout,
        } => (
            size,
            byte_order,
            Number::integer(*size as usize, layout.signed),
        ),
        other => bail!("its values are {other:?}, not plain numbers"),
    };
    ensure!(
        *size == 1 || *byte_order == DatatypeByteOrder::LittleEndian,
        "its numbers are not little-endian: save them with .astype(\"<f4\")"
    );
    found.with_context(|| format!("its numbers have {size} bytes: save them with .astype(\"<f4\")"))
}
