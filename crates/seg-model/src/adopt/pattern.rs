//! How files are named.

use std::str::FromStr;

use anyhow::{Error, Result, bail};
use serde::Serialize;

/// What stands for the sample in a pattern.
const ID: &str = "{id}";

/// Text before and after the name of the sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Pattern {
    prefix: String,
    suffix: String,
}

impl Pattern {
    /// The name of the sample of a file, given as its path relative to the folder, with `/` between folders.
    ///
    /// A pattern without folders holds for the files of all folders.
    pub(super) fn find<'a>(&self, file: &'a str) -> Option<&'a str> {
        let has_folders = self.prefix.contains('/') || self.suffix.contains('/');
        let name = if has_folders {
            file
        } else {
            file.rsplit('/').next()?
        };
        let rest = name.strip_prefix(&*self.prefix)?;
        let id = rest.strip_suffix(&*self.suffix)?;
        (!id.is_empty()).then_some(id)
    }

    /// A pattern by which `file` is that of the sample `id`, if its name contains the id.
    pub(super) fn suggest(file: &str, id: &str) -> Option<Self> {
        let (prefix, suffix) = file.rsplit('/').next()?.split_once(id)?;
        Some(Self {
            prefix: prefix.to_owned(),
            suffix: suffix.to_owned(),
        })
    }
}

impl FromStr for Pattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split(ID).collect::<Vec<_>>()[..] {
            [prefix, suffix] => Ok(Self {
                prefix: prefix.to_owned(),
                suffix: suffix.to_owned(),
            }),
            _ => bail!("a pattern has {ID} once, for example \"{ID}_logits.npy\", not {text:?}"),
        }
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.to_string()
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{ID}{}", self.prefix, self.suffix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_out_of_patterns() -> Result<()> {
        for (pattern, file, id) in [
            ("{id}_logits.npy", "a_logits.npy", Some("a")),
            ("{id}_logits.npy", "x/a_logits.npy", Some("a")),
            ("x/p_{id}.npy", "x/p_a.npy", Some("a")),
            ("x/p_{id}.npy", "y/p_a.npy", None),
            ("{id}/logits.npy", "x/a/logits.npy", Some("x/a")),
            ("{id}.npy", "a.npz", None),
            ("{id}.npy", ".npy", None),
        ] {
            assert_eq!(pattern.parse::<Pattern>()?.find(file), id, "{pattern}");
        }
        assert!("{id}{id}".parse::<Pattern>().is_err());
        assert!("a.npy".parse::<Pattern>().is_err());
        let found = Pattern::suggest("x/pre_a_post.npy", "a").map(String::from);
        assert_eq!(found.as_deref(), Some("pre_{id}_post.npy"));
        Ok(())
    }
}
