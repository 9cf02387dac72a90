//! The text of an annotation file: encodings of other systems, and the numbers that Python writes although JSON has none.

use anyhow::{Context, Result, bail};

/// The text as UTF-8 without a byte order mark.
///
/// # Errors
/// Returns an error if the file is empty, compressed, a placeholder or a page instead of JSON, or is not valid UTF-16
/// although it begins so.
pub(crate) fn decoded(mut text: Vec<u8>) -> Result<Vec<u8>> {
    match text.as_slice() {
        [] => bail!("it is empty: get it again"),
        [0xEF, 0xBB, 0xBF, ..] => {
            // blanks, so that positions stay what they are
            text[..3].fill(b' ');
            Ok(text)
        }
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0x1F, 0x8B, ..] | [b'P', b'K', 3, 4, ..] => {
            bail!("it is compressed: unpack it and name the JSON file in it")
        }
        _ if text.starts_with(b"version https://git-lfs") => {
            bail!("it is a placeholder of git-lfs: run `git lfs pull`")
        }
        _ if text.trim_ascii_start().starts_with(b"<") => {
            bail!(
                "it is XML or a web page, not JSON: get it again, or export the annotations as COCO"
            )
        }
        _ => Ok(text),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Vec<u8>> {
    let (units, _) = bytes.as_chunks::<2>();
    let units: Vec<u16> = units.iter().copied().map(unit).collect();
    let text = String::from_utf16(&units).context("it is not valid UTF-16")?;
    Ok(text.into_bytes())
}

/// Makes texts of Python's `NaN` and `Infinity` outside of texts, without changing their lengths, so that the rest of their
/// records can be read and positions stay what they are. Returns whether there were any.
pub(crate) fn quote_non_finite(text: &mut [u8]) -> bool {
    let mut is_changed = false;
    let mut at = 0;
    let special = |b: &u8| matches!(b, b'"' | b'N' | b'I');
    while let Some(n) = text[at..].iter().position(special) {
        at += n;
        let rest = &text[at..];
        let words = [&b"NaN"[..], b"Infinity"];
        if let Some(word) = words.into_iter().find(|word| rest.starts_with(word)) {
            let is_negative = at > 0 && text[at - 1] == b'-';
            text[at - usize::from(is_negative)] = b'"';
            at += word.len();
            text[at - 1] = b'"';
            is_changed = true;
        } else {
            at += if rest[0] == b'"' {
                string_length(rest)
            } else {
                1
            };
        }
    }
    is_changed
}

/// Number of bytes of the JSON string that `text` begins with, including its quotes.
fn string_length(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_json_has_not_become_texts_of_the_same_length() {
        for (text, expected) in [
            (r"[NaN, -Infinity,Infinity]", r#"["a", "Infinit","nfinit"]"#),
            (
                r#"{"NaN":"-Infinity\"NaN","N":[1,Nan]}"#,
                r#"{"NaN":"-Infinity\"NaN","N":[1,Nan]}"#,
            ),
            (r#"["\\",NaN]"#, r#"["\\","a"]"#),
            (r#"["NaN\"#, r#"["NaN\"#),
            ("NaN", r#""a""#),
        ] {
            let mut bytes = text.as_bytes().to_vec();
            assert_eq!(quote_non_finite(&mut bytes), text != expected, "{text}");
            assert_eq!(bytes, expected.as_bytes(), "{text}");
        }
    }

    #[test]
    fn files_that_are_no_text_are_named() {
        for (bytes, expected) in [
            (&b""[..], "empty"),
            (b"\x1F\x8B\x08", "compressed"),
            (b"PK\x03\x04", "compressed"),
            (
                b"version https://git-lfs.github.com/spec/v1",
                "git lfs pull",
            ),
            (b"\n<?xml version=\"1.0\"?><annotations>", "XML"),
            (b"\xFE\xFF\xD8\x00", "UTF-16"),
        ] {
            let text = decoded(bytes.to_vec()).expect_err(expected).to_string();
            assert!(text.contains(expected), "{text}");
        }
    }
}
