//! What a label becomes in a mask, as manifests and flags write it: a value, or the name of one.

use std::fmt;

use anyhow::{Context, Result};
use artifacts::classes::ClassSet;
use artifacts::labels::{EvalLabel, IGNORE, MaskKind, OOD_PROXY};
use serde::{Deserialize, Serialize};

/// A value of a mask, or its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Meaning {
    /// The value itself.
    Value(u8),
    /// The name of a class, or `void`; in masks of other kinds `in`, `out`, `unrated`, or `object`.
    Name(String),
}

impl Meaning {
    /// Reads a meaning from a flag: a number is a value, anything else a name.
    pub fn parse(text: &str) -> Self {
        let value = text.parse().map(Self::Value);
        value.unwrap_or_else(|_| Self::Name(text.to_owned()))
    }

    /// The value in masks of `kind`, whose train ids are those of `classes`.
    ///
    /// # Errors
    /// Returns an error that lists the names if there is no such name.
    pub fn resolve(&self, kind: MaskKind, classes: Option<&ClassSet>) -> Result<u8> {
        let name = match self {
            Self::Value(value) => return Ok(*value),
            Self::Name(name) => name,
        };
        let class = classes.and_then(|classes| classes.position(name));
        let class = class.and_then(|position| u8::try_from(position).ok());
        let value = class.or_else(|| special(kind, name));
        value.with_context(|| match classes {
            Some(classes) => format!("{name:?} is neither a class of {:?} nor void", classes.name),
            None => format!(
                "{name:?} is none of in, out, unrated, object and void, or not of these masks"
            ),
        })
    }
}

/// The value of a name that is not that of a class.
fn special(kind: MaskKind, name: &str) -> Option<u8> {
    match (kind, name) {
        (_, "void") => Some(IGNORE),
        (MaskKind::Eval, "in") => Some(EvalLabel::In as u8),
        (MaskKind::Eval, "out") => Some(EvalLabel::Out as u8),
        (MaskKind::Eval, "unrated") => Some(EvalLabel::Unrated as u8),
        (MaskKind::Proxy, "object") => Some(OOD_PROXY),
        _ => None,
    }
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_classes_or_of_the_kind() -> Result<()> {
        let camvid = ClassSet::open("camvid")?;
        let of_class = |text: &str| Meaning::parse(text).resolve(MaskKind::TrainId, Some(&camvid));
        assert_eq!(of_class("road")?, 3);
        assert_eq!(of_class("7")?, 7);
        assert_eq!(of_class("void")?, IGNORE);
        let error = of_class("out").expect_err("is no class").to_string();
        assert!(error.contains("neither a class of \"camvid\""), "{error}");
        let of_kind = |text: &str| Meaning::parse(text).resolve(MaskKind::Eval, None);
        assert_eq!(
            (of_kind("in")?, of_kind("out")?, of_kind("unrated")?),
            (0, 1, 2)
        );
        assert!(of_kind("object").is_err());
        assert_eq!(
            Meaning::parse("object").resolve(MaskKind::Proxy, None)?,
            OOD_PROXY
        );
        Ok(())
    }
}
