//! Where the records of a JSON file are, found in one pass over its bytes without parsing them.
//!
//! The parser then reads each record on its own, on all cores, and a fault of one record does not hide those of the others.
//! Python's `NaN` and `Infinity`, which are not JSON, are replaced by texts of the same length, so that the rest of
//! their record can be read and positions stay what they are.

use std::ops::Range;

use anyhow::{Result, bail};

/// A member of an object: its name as written between the quotes, and the bytes of its value.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) value: Range<usize>,
    /// The bytes of each element, if the value is an array.
    pub(crate) elements: Option<Vec<Range<usize>>>,
}

/// The members of the object that a file consists of, with the elements of its arrays.
///
/// # Errors
/// Returns an error with a byte if brackets or quotes are not closed, or a separator is missing. What is inside of
/// values is left to the parser.
pub(crate) fn members(bytes: &mut [u8]) -> Result<Vec<Member>> {
    let mut scan = Scan { bytes, at: 0 };
    let mut members = Vec::new();
    scan.expect(b'{')?;
    if scan.next_is(b'}') {
        return Ok(members);
    }
    loop {
        scan.skip_space();
        let begin = scan.at + 1;
        if scan.peek() != Some(b'"') {
            return scan.unexpected();
        }
        scan.skip_string()?;
        let name = String::from_utf8_lossy(&scan.bytes[begin..scan.at - 1]).into_owned();
        scan.expect(b':')?;
        scan.skip_space();
        let begin = scan.at;
        let elements = match scan.peek() {
            Some(b'[') => Some(scan.elements()?),
            _ => {
                scan.skip_value()?;
                None
            }
        };
        let value = begin..scan.at;
        members.push(Member {
            name,
            value,
            elements,
        });
        if !scan.next_is(b',') {
            scan.expect(b'}')?;
            return Ok(members);
        }
    }
}

/// Which bytes have to be looked at outside of texts.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let bytes = b"\"[]{},NI";
    let mut i = 0;
    while i < bytes.len() {
        special[bytes[i] as usize] = true;
        i += 1;
    }
    special
};

struct Scan<'a> {
    bytes: &'a mut [u8],
    /// The next byte.
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Skips space and `wanted`, if it is next.
    fn next_is(&mut self, wanted: u8) -> bool {
        self.skip_space();
        let is_next = self.peek() == Some(wanted);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, wanted: u8) -> Result<()> {
        if self.next_is(wanted) {
            return Ok(());
        }
        self.unexpected()
    }

    fn unexpected<T>(&self) -> Result<T> {
        let byte = self.at + 1;
        match self.peek() {
            None => bail!("it ends at byte {}, before its end: get it again", self.at),
            Some(found) => bail!("unexpected {:?} at byte {byte}", char::from(found)),
        }
    }

    /// The elements of the array that is next.
    fn elements(&mut self) -> Result<Vec<Range<usize>>> {
        let mut elements = Vec::new();
        self.expect(b'[')?;
        if self.next_is(b']') {
            return Ok(elements);
        }
        loop {
            self.skip_space();
            let begin = self.at;
            self.skip_value()?;
            elements.push(begin..self.at);
            if !self.next_is(b',') {
                self.expect(b']')?;
                return Ok(elements);
            }
        }
    }

    /// Skips a value of any kind.
    fn skip_value(&mut self) -> Result<()> {
        let begin = self.at;
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => self.skip_string()?,
                b'[' | b'{' => {
                    depth += 1;
                    self.at += 1;
                }
                b']' | b'}' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b']' | b'}' if depth == 0 => break,
                // no other token of JSON begins with these
                b'N' => self.replace(b"NaN"),
                b'I' => self.replace(b"Infinity"),
                _ => self.skip_plain(),
            }
            if depth == 0 && matches!(byte, b'"' | b']' | b'}') {
                return Ok(());
            }
        }
        if depth > 0 || self.at == begin {
            return self.unexpected();
        }
        Ok(())
    }

    /// Skips the next byte and those after it that neither open, close or separate anything.
    fn skip_plain(&mut self) {
        let rest = self.bytes.get(self.at + 1..).unwrap_or_default();
        let n = rest.iter().position(|&b| SPECIAL[usize::from(b)]);
        self.at += 1 + n.unwrap_or(rest.len());
    }

    fn skip_string(&mut self) -> Result<()> {
        self.at += 1;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at = self.bytes.len();
        self.unexpected()
    }

    /// Makes a text of `word`, if it is next, with the minus before it.
    fn replace(&mut self, word: &[u8]) {
        if !self.bytes[self.at..].starts_with(word) {
            self.at += 1;
            return;
        }
        let end = self.at + word.len();
        let is_negative = self.at > 0 && self.bytes[self.at - 1] == b'-';
        self.bytes[self.at - usize::from(is_negative)] = b'"';
        self.bytes[end - 1] = b'"';
        self.at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_elements_are_found() -> Result<()> {
        let mut text =
            br#" {"a" : [ {"b":"]\"},"}, [1,[2]],NaN , "x,", -Infinity,7],"c":{"d":[]}, "e":[],"f": 1.5 }"#
                .to_vec();
        let found = members(&mut text)?;
        let names: Vec<&str> = found.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["a", "c", "e", "f"]);
        let part = |range: &Range<usize>| {
            String::from_utf8_lossy(&text[range.clone()])
                .trim()
                .to_owned()
        };
        let elements: Vec<_> = found[0].elements.iter().flatten().map(part).collect();
        let expected = [
            r#"{"b":"]\"},"}"#,
            "[1,[2]]",
            r#""a""#,
            r#""x,""#,
            r#""Infinit""#,
            "7",
        ];
        assert_eq!(elements, expected);
        assert_eq!(part(&found[1].value), r#"{"d":[]}"#);
        assert_eq!(found[2].elements, Some(vec![]));
        assert_eq!(part(&found[3].value), "1.5");
        assert!(members(&mut b"{}".to_vec())?.is_empty());
        Ok(())
    }

    #[test]
    fn what_is_not_closed_is_found_with_its_byte() {
        let whole = br#"{"a":[{"b":"c"},[1]],"d":{"e":2},"f":"g"}"#;
        for end in 0..whole.len() {
            let error = members(&mut whole[..end].to_vec()).err().expect("half");
            let text = error.to_string();
            assert!(text.contains("at byte"), "{end}: {text}");
        }
        for (text, byte) in [
            ("[1]", 1),
            (r#"{"a":[1 2]}"#, 0),
            (r#"{"a" 1}"#, 6),
            ("{1}", 2),
        ] {
            let found = members(&mut text.as_bytes().to_vec());
            let Err(error) = found else {
                assert_eq!(byte, 0, "{text}"); // left to the parser
                continue;
            };
            assert!(
                error.to_string().contains(&format!("byte {byte}")),
                "{error}"
            );
        }
    }
}
