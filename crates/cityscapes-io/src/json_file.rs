//! JSON files of annotation tools, which may begin with a byte order mark or be UTF-16.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::atomic::json_error_byte;
use serde::de::DeserializeOwned;

/// Reads the JSON file `path`.
///
/// # Errors
/// Returns an error if it cannot be read, is not JSON (with the byte of the mistake), or has not the members of `T`.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes =
        std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    parse(&bytes, path)
}

/// Parses the bytes of a JSON file. Tools for Windows begin files with a byte order mark, and some write UTF-16.
fn parse<T: DeserializeOwned>(bytes: &[u8], path: &Path) -> Result<T> {
    const UTF8_MARK: &[u8] = b"\xEF\xBB\xBF";
    let utf16;
    let (bytes, n_before) = if let Some(rest) = bytes.strip_prefix(UTF8_MARK) {
        (rest, UTF8_MARK.len())
    } else if let Some(rest) = bytes.strip_prefix(b"\xFF\xFE") {
        utf16 = decode_utf16(rest, u16::from_le_bytes).with_context(|| unusable(path))?;
        (utf16.as_bytes(), 0)
    } else if let Some(rest) = bytes.strip_prefix(b"\xFE\xFF") {
        utf16 = decode_utf16(rest, u16::from_be_bytes).with_context(|| unusable(path))?;
        (utf16.as_bytes(), 0)
    } else {
        (bytes, 0)
    };
    serde_json::from_slice(bytes).map_err(|error| {
        let byte = n_before + json_error_byte(bytes, &error);
        anyhow::Error::new(error).context(format!("{} is damaged at byte {byte}", path.display()))
    })
}

/// What an error about a file that was read begins with.
pub(crate) fn unusable(path: &Path) -> String {
    format!("{} cannot be used", path.display())
}

fn decode_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String> {
    let (units, rest) = bytes.as_chunks::<2>();
    ensure!(rest.is_empty(), "it was cut off: get the file again");
    let units: Vec<u16> = units.iter().map(|&u| unit(u)).collect();
    String::from_utf16(&units).context("it is damaged: its text is not UTF-16")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_marks_are_no_damage() -> Result<()> {
        let text = r#"{"width":2}"#;
        let units = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect();
        let little: Vec<u8> = units(u16::to_le_bytes);
        let big: Vec<u8> = units(u16::to_be_bytes);
        for (mark, bytes) in [
            (&b""[..], text.as_bytes()),
            (b"\xEF\xBB\xBF", text.as_bytes()),
            (b"\xFF\xFE", &little),
            (b"\xFE\xFF", &big),
        ] {
            let value: serde_json::Value = parse(&[mark, bytes].concat(), Path::new("a.json"))?;
            assert_eq!(value["width"], 2);
        }
        let error = parse::<serde_json::Value>(b"\xEF\xBB\xBF{", Path::new("a.json")).err();
        let error = error.context("is damaged")?;
        assert!(
            format!("{error:#}").contains("a.json is damaged at byte 4"),
            "{error:#}"
        );
        Ok(())
    }
}
