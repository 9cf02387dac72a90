//! Paths with placeholders, e.g. `leftImg8bit/val/{city}/{id}_leftImg8bit.png`.
//!
//! A placeholder stands for one or more characters other than `/`, with `{name:digits}` for digits only. Matching a path gives the placeholders'
//! texts; filling them in gives the path of a file that belongs to it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// Texts of the placeholders, by name.
pub(crate) type Captures = BTreeMap<String, String>;

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Placeholder { name: String, digits: bool },
}

/// A path with placeholders.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Vec<Piece>);

impl Pattern {
    /// # Errors
    /// For braces that do not match, and nameless or adjacent placeholders, which could be told apart in no way.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (before, after) = rest.split_once('{').unwrap_or((rest, ""));
            ensure!(!before.contains('}'), "{text:?} has a }} without {{");
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            if before.len() == rest.len() {
                break;
            }
            let (name, after) = after
                .split_once('}')
                .with_context(|| format!("{text:?} has a {{ without }}"))?;
            ensure!(
                !name.is_empty() && !name.contains('{'),
                "{text:?} has a placeholder without a name"
            );
            if let Some(Piece::Placeholder { name: previous, .. }) = pieces.last() {
                bail!("{text:?} has nothing between {{{previous}}} and {{{name}}}");
            }
            let (name, digits) = match name.split_once(':') {
                None => (name, false),
                Some((name, "digits")) => (name, true),
                Some((_, kind)) => {
                    bail!("{text:?} has the kind {kind:?}, but there is digits only")
                }
            };
            pieces.push(Piece::Placeholder {
                name: name.to_owned(),
                digits,
            });
            rest = after;
        }
        Ok(Self(pieces))
    }

    /// Names of all placeholders.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Placeholder { name, .. } => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The folder above all placeholders.
    pub(crate) fn folder(&self) -> &Path {
        match self.0.first() {
            Some(Piece::Text(text)) => {
                Path::new(text.rsplit_once('/').map_or("", |(folder, _)| folder))
            }
            _ => Path::new(""),
        }
    }

    /// The placeholders' texts if `path` (relative, `/` between parts) has this form.
    pub(crate) fn captures(&self, path: &str) -> Option<Captures> {
        let mut captures = Captures::new();
        match_pieces(&self.0, path, &mut captures).then_some(captures)
    }

    /// The path with the placeholders filled in.
    ///
    /// # Errors
    /// For a placeholder that is not in `captures`.
    pub(crate) fn fill(&self, captures: &Captures) -> Result<String> {
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => Ok(text.clone()),
            Piece::Placeholder { name, .. } => captures
                .get(name)
                .cloned()
                .with_context(|| format!("the images' pattern has no placeholder {{{name}}}")),
        };
        self.0.iter().map(text).collect()
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => write!(f, "{text}"),
            Piece::Placeholder { name, .. } => write!(f, "{{{name}}}"),
        })
    }
}

/// The longest text for the first placeholder that lets the rest match.
fn match_pieces(pieces: &[Piece], path: &str, captures: &mut Captures) -> bool {
    let Some((first, others)) = pieces.split_first() else {
        return path.is_empty();
    };
    match first {
        Piece::Text(text) => path
            .strip_prefix(text.as_str())
            .is_some_and(|rest| match_pieces(others, rest, captures)),
        Piece::Placeholder { name, digits } => {
            let part = path.split('/').next().unwrap_or_default();
            let n_digits = part.bytes().take_while(u8::is_ascii_digit).count();
            let part = if *digits { &part[..n_digits] } else { part };
            let mut ends = part.char_indices().map(|(at, c)| at + c.len_utf8()).rev();
            ends.any(|end| {
                let text = &path[..end];
                // a name that occurs twice stands for the same text
                let known = captures.get(name).cloned();
                if known.as_deref().is_some_and(|k| k != text) {
                    return false;
                }
                captures.insert(name.clone(), text.to_owned());
                let matched = match_pieces(others, &path[end..], captures);
                if !matched && known.is_none() {
                    captures.remove(name);
                }
                matched
            })
        }
    }
}

/// `path` with `/` between its parts on every system.
pub(crate) fn slashes(path: &Path) -> Option<String> {
    let parts: Option<Vec<_>> = path.iter().map(|part| part.to_str()).collect();
    Some(parts?.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_match_within_a_folder_and_fill() -> Result<()> {
        let images = Pattern::parse("left/val/{city}/{id}_left.png")?;
        let captures = images
            .captures("left/val/ulm/ulm_0_left.png")
            .context("matches")?;
        assert_eq!(
            Pattern::parse("gt/{city}/{id}_gt.png")?.fill(&captures)?,
            "gt/ulm/ulm_0_gt.png"
        );
        for no in [
            "left/val/ulm/x/ulm_0_left.png",
            "left/val/ulm/_left.png",
            "left/val/ulm_0_left.png",
            "left/val/ulm/a_left.png.bak",
        ] {
            assert!(images.captures(no).is_none(), "{no}");
        }
        assert_eq!(images.folder(), Path::new("left/val"));
        assert_eq!(Pattern::parse("{id}.png")?.folder(), Path::new(""));
        assert!(Pattern::parse("{a}/{a}.png")?.captures("x/x.png").is_some());
        assert!(Pattern::parse("{a}/{a}.png")?.captures("x/y.png").is_none());
        assert!(Pattern::parse("{b}.png")?.fill(&captures).is_err());
        let labels = Pattern::parse("{n:digits}_{scene}_{frame:digits}_labels.png")?;
        let captures = labels.captures("0007_04_Weg_8_000030_labels.png");
        let captures = captures.context("matches")?;
        assert_eq!(captures["n"], "0007");
        assert_eq!(
            (&*captures["scene"], &*captures["frame"]),
            ("04_Weg_8", "000030")
        );
        Ok(())
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for bad in ["{", "a}", "{}", "{a}{b}", "{a{b}}", "{a:words}"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
