//! Ids of images, annotations and categories: whole numbers of any size, or texts.

use std::fmt;

use artifacts::index::plain_sample_id;

/// An id. A text that is the plain spelling of a number is that number, since tools mix both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Id {
    /// A number, as COCO has it.
    Number(u64),
    /// A text, or a number that is negative or larger than 64 bits.
    Text(Box<str>),
}

impl Id {
    /// Reads the JSON of an id: a whole number (also written as `7.0`) or a text. `None` for anything else.
    pub(crate) fn parse(json: &str) -> Option<Self> {
        if json.starts_with('"') {
            let text: String = serde_json::from_str(json).ok()?;
            return Some(Self::from_text(&text));
        }
        let digits = json.strip_prefix('-').unwrap_or(json);
        if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            return Some(Self::from_text(json));
        }
        let number: f64 = serde_json::from_str(json).ok()?;
        let is_exact = number.fract() == 0.0 && (0.0..9e15).contains(&number);
        is_exact.then_some(Self::Number(number as u64))
    }

    fn from_text(text: &str) -> Self {
        match text.parse::<u64>() {
            Ok(number) if !text.starts_with(['0', '+']) || text == "0" => Self::Number(number),
            _ => Self::Text(text.into()),
        }
    }

    /// The id as a file name: a number in 12 digits as COCO's files have it, a text with `_` in place of characters
    /// that a sample id cannot have.
    pub fn sample_id(&self) -> String {
        match self {
            Self::Number(number) => format!("{number:012}"),
            Self::Text(text) => {
                let id = plain_sample_id(text);
                id.strip_prefix('.')
                    .map_or(id.clone(), |rest| format!("_{rest}"))
            }
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbers_of_any_size_and_texts() {
        let name = |json: &str| Id::parse(json).map(|id| (id.to_string(), id.sample_id()));
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(name("7"), pair("7", "000000000007"));
        assert_eq!(Id::parse("7.0"), Id::parse("\"7\""));
        assert_ne!(Id::parse("7"), Id::parse("\"07\""));
        let large = "340282366920938463463374607431768211455";
        assert_eq!(name(large), pair(large, large));
        assert_eq!(name("-3"), pair("-3", "-3"));
        assert_eq!(name(r#"".a/\u00e4 1""#), pair(".a/ä 1", "_a___1"));
        for json in ["null", "true", "1.5", "[]", "{}", "1e300"] {
            assert_eq!(Id::parse(json), None, "{json}");
        }
    }
}
