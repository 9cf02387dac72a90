//! `NumPy`'s array files, versions 1 to 3.
//!
//! The libraries for them bring a parser generator for the Python literal of the header, which `NumPy` always writes in one form.

use std::io::Read;

use anyhow::{Context, Result, bail, ensure};

use super::{Accept, Array, Number, count};

/// Most bytes of a header. `NumPy` itself refuses headers of more than 10,000.
const MAX_HEADER: usize = 1 << 16;

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    number: Number,
    is_fortran: bool,
    shape: Vec<usize>,
}

/// Reads an array from a file of `n_bytes`.
///
/// # Errors
/// Returns an error if it is no such file, is cut off, or holds something else than little-endian numbers.
pub(super) fn read(mut from: impl Read, n_bytes: u64, accept: Accept) -> Result<Array> {
    let (header, start) = read_header(&mut from)?;
    let n = count(&header.shape)?;
    let n_data = n as u128 * header.number.size() as u128;
    let found = u128::from(n_bytes).saturating_sub(start as u128);
    ensure!(
        n_data == found,
        "it is cut off or damaged: an array of shape {:?} has {n_data} bytes, and there are {found}",
        header.shape
    );
    accept(&header.shape)?;
    let values = header.number.read(from, n)?;
    Ok(if header.is_fortran {
        Array::in_fortran_order(header.shape, header.number, values)
    } else {
        Array::in_c_order(header.shape, header.number, values)
    })
}

/// The header, and how many bytes it takes with what is before it.
fn read_header(from: &mut impl Read) -> Result<(Header, usize)> {
    let mut start = [0; 8];
    let is_whole = from.read_exact(&mut start).is_ok();
    ensure!(
        is_whole && start.starts_with(b"\x93NUMPY"),
        "it is no npy file: it does not begin as those of numpy.save"
    );
    let (n_length, length) = match start[6] {
        1 => {
            let mut length = [0; 2];
            from.read_exact(&mut length).context("it is cut off")?;
            (2, usize::from(u16::from_le_bytes(length)))
        }
        2 | 3 => {
            let mut length = [0; 4];
            from.read_exact(&mut length).context("it is cut off")?;
            (4, u32::from_le_bytes(length) as usize)
        }
        version => bail!("it has version {version} of the npy format, and 1 to 3 are read"),
    };
    ensure!(
        length <= MAX_HEADER,
        "its header has {length} bytes: it is damaged, or no plain array"
    );
    let mut text = vec![0; length];
    from.read_exact(&mut text).context("it is cut off")?;
    let text = String::from_utf8_lossy(&text);
    Ok((parse(text.trim())?, start.len() + n_length + length))
}

/// Parses a dictionary such as `{'descr': '<f4', 'fortran_order': False, 'shape': (19, 4, 8), }`.
fn parse(text: &str) -> Result<Header> {
    let value = |key: &str| {
        let found = text.split_once(key);
        let found = found.map(|(_, rest)| rest.trim_start());
        found.with_context(|| format!("its header has no {key}: {text}"))
    };
    let is_fortran = match value("'fortran_order':")? {
        rest if rest.starts_with("False") => false,
        rest if rest.starts_with("True") => true,
        _ => bail!("its header has no order: {text}"),
    };
    Ok(Header {
        number: number(value("'descr':")?)?,
        is_fortran,
        shape: shape(value("'shape':")?)
            .with_context(|| format!("its header has no shape: {text}"))?,
    })
}

/// The type of numbers at the beginning of `text`, such as `'<f4'`.
fn number(text: &str) -> Result<Number> {
    let quoted = text
        .strip_prefix('\'')
        .and_then(|text| text.split_once('\''));
    let name = quoted.map_or(text, |(name, _)| name);
    ensure!(
        quoted.is_some(),
        "it holds records or objects, not plain numbers: save one array of floats"
    );
    ensure!(
        !name.starts_with('>'),
        "its numbers are big-endian ({name}): save them with .astype(\"<f4\")"
    );
    let kind = name.trim_start_matches(['<', '|', '=']);
    let size = kind.get(1..).and_then(|size| size.parse().ok());
    let found = match (kind.chars().next(), size) {
        (Some('f'), Some(size)) => Number::float(size),
        (Some('i'), Some(size)) => Number::integer(size, true),
        (Some('u'), Some(size)) => Number::integer(size, false),
        _ => None,
    };
    found.with_context(|| {
        format!("its values are of the type {name:?}, not plain numbers: save them with .astype(\"<f4\")")
    })
}

/// The lengths at the beginning of `text`, such as `(19, 4, 8)`.
fn shape(text: &str) -> Option<Vec<usize>> {
    let (lengths, _) = text.strip_prefix('(')?.split_once(')')?;
    let lengths = lengths.split(',').map(str::trim).filter(|s| !s.is_empty());
    lengths.map(|length| length.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(descr: &str, order: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header =
            format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn read_all(bytes: &[u8]) -> Result<Array> {
        read(bytes, bytes.len() as u64, &|_| Ok(()))
    }

    #[test]
    fn types_and_orders_are_read() -> Result<()> {
        let data: Vec<u8> = (0..6i16).flat_map(i16::to_le_bytes).collect();
        let array = read_all(&file("'<i2'", "False", "(2, 3)", &data))?;
        assert_eq!((array.strides, array.values[5]), (vec![3, 1], 5.0));
        let array = read_all(&file("'<i2'", "True", "(2, 3)", &data))?;
        assert_eq!((array.strides, array.shape), (vec![1, 2], vec![2, 3]));
        let array = read_all(&file("'|u1'", "False", "(3,)", &[1, 2, 255]))?;
        assert_eq!((array.number, array.values[2]), (Number::U8, 255.0));
        let array = read_all(&file("'<f8'", "False", "(1,)", &0.5f64.to_le_bytes()))?;
        assert_eq!(array.values, [0.5]);
        Ok(())
    }

    #[test]
    fn damaged_and_foreign_files_are_refused() {
        let fails = |bytes: &[u8], words: &str| {
            let error = format!("{:#}", read_all(bytes).expect_err(words));
            assert!(error.contains(words), "{error}");
        };
        fails(b"", "no npy file");
        fails(b"PK\x03\x04 and more", "no npy file");
        fails(&file("'>f4'", "False", "(1,)", &[0; 4]), "big-endian");
        fails(&file("'<c8'", "False", "(1,)", &[0; 8]), "\"<c8\"");
        fails(&file("'|O'", "False", "(1,)", &[0; 8]), "not plain numbers");
        fails(&file("[('a', '<f4')]", "False", "(1,)", &[0; 4]), "records");
        fails(&file("'<f4'", "False", "(2,)", &[0; 4]), "cut off");
        fails(&file("'<f4'", "False", "(1,)", &[0; 8]), "there are 8");
        fails(&file("'<f4'", "False", "(0, 4)", &[]), "no values");
        let huge = "(4294967296, 4294967296, 4294967296)";
        fails(&file("'<f4'", "False", huge, &[0; 8]), "too many");
        let large = "(4294967296, 1073741824)";
        fails(&file("'<f4'", "False", large, &[0; 8]), "cut off");
        fails(&file("'<f4'", "Maybe", "(1,)", &[0; 4]), "no order");
        fails(&file("'<f4'", "False", "(-1,)", &[0; 4]), "no shape");
        fails(
            b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
            "header has 4294967295 bytes",
        );
        fails(b"\x93NUMPY\x09\x00\xff\xff", "version 9");
    }
}
