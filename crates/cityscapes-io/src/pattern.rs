//! Paths with placeholders, e.g. `leftImg8bit/val/{city}/{id}_leftImg8bit.png`.
//!
//! A placeholder `{name}` stands for one or more characters other than `/`, and `{name:digits}` for one or more digits.
//! Matching a path captures the text of each placeholder. Filling these texts into another pattern gives the path of the
//! file that belongs to the first one, for example the labels of an image.
//!
//! Several captures may be possible: `{city}_{id}` matches `a_b_c` in two ways. The first placeholder takes the longest
//! text that lets the rest match, then the second one does, as greedy regular expressions do: `city` is `a_b`. A
//! placeholder that occurs twice has to stand for the same text both times. Regular expressions could match as well, but
//! they cannot be filled in, and they give the dots in file names a meaning.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// Captured texts by the names of the placeholders.
pub(crate) type Captures = BTreeMap<String, String>;

#[derive(Clone, Debug)]
enum Piece {
    /// Stands for itself.
    Text(String),
    /// Stands for one or more characters other than `/`, or digits only.
    Placeholder { name: String, digits: bool },
}

/// A path with placeholders.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Vec<Piece>);

impl Pattern {
    /// Parses a pattern as manifests write it.
    ///
    /// # Errors
    /// Returns an error for unbalanced braces, for placeholders without a name, and for adjacent placeholders, whose texts could
    /// not be told apart.
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
                    bail!("{text:?} has the kind {kind:?}, but the only kind is digits")
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

    /// Names of all placeholders in their order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Placeholder { name, .. } => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The longest folder that does not contain a placeholder.
    pub(crate) fn folder(&self) -> &Path {
        match self.0.first() {
            Some(Piece::Text(text)) => {
                Path::new(text.rsplit_once('/').map_or("", |(folder, _)| folder))
            }
            _ => Path::new(""),
        }
    }

    /// The placeholders' texts if `path` (relative, with `/` between its parts) matches the pattern.
    pub(crate) fn captures(&self, path: &str) -> Option<Captures> {
        let mut captures = Captures::new();
        match_pieces(&self.0, path, &mut captures).then_some(captures)
    }

    /// The path with the placeholders filled in.
    ///
    /// # Errors
    /// Returns an error for a placeholder that is not in `captures`.
    pub(crate) fn fill(&self, captures: &Captures) -> Result<String> {
        self.0.iter().map(|piece| piece.fill(captures)).collect()
    }
}

impl Piece {
    fn fill<'a>(&'a self, captures: &'a Captures) -> Result<&'a str> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Placeholder { name, .. } => captures
                .get(name)
                .map(String::as_str)
                .with_context(|| format!("the images' pattern has no placeholder {{{name}}}")),
        }
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

/// Whether `pieces` match the whole of `path`; if they do, `captures` are completed.
///
/// Recursion over the pieces with backtracking: a placeholder tries its longest text first. `captures` hold the placeholders
/// before `pieces`, and are restored if there is no match. Patterns have a few pieces and file names a few dozen
/// characters, so that the number of attempts stays small.
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
                // a name that occurred before stands for the same text
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

/// `path` with `/` between its parts on every operating system; `None` if it is not valid UTF-8.
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
