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

use std::collections::{BTreeMap, HashSet};
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

/// How often [`Pattern::captures`] tries to match a piece at most. Real names need a few dozen attempts.
const MAX_ATTEMPTS: usize = 100_000;

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
        self.0.iter().filter_map(Piece::name)
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
    ///
    /// # Errors
    /// Returns an error if there are too many ways in which it could match.
    pub(crate) fn captures(&self, path: &str) -> Result<Option<Captures>> {
        let mut search = Search::new(&self.0, path);
        let is_match = search.matches(0, 0);
        ensure!(
            search.n_attempts <= MAX_ATTEMPTS,
            "{path:?} could match {self} in too many ways: use fewer placeholders"
        );
        Ok(is_match.then_some(search.captures))
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
    /// The name of a placeholder.
    fn name(&self) -> Option<&str> {
        match self {
            Self::Placeholder { name, .. } => Some(name),
            Self::Text(_) => None,
        }
    }

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

/// The search for texts of the placeholders: recursion over the pieces with backtracking, where a placeholder tries its longest
/// text first.
struct Search<'a> {
    pieces: &'a [Piece],
    path: &'a str,
    /// Texts of the placeholders before the current piece.
    captures: Captures,
    /// Pieces and positions in the path from which the rest does not match, whatever was captured before.
    dead_ends: HashSet<(usize, usize)>,
    /// The first piece from which on no placeholder depends on what was captured before.
    first_free: usize,
    n_attempts: usize,
}

impl<'a> Search<'a> {
    fn new(pieces: &'a [Piece], path: &'a str) -> Self {
        let is_known = |n: &usize| {
            pieces[*n]
                .name()
                .is_some_and(|name| occurs(&pieces[..*n], name))
        };
        let last_known = (0..pieces.len()).rev().find(is_known);
        Self {
            pieces,
            path,
            captures: Captures::new(),
            dead_ends: HashSet::new(),
            first_free: last_known.map_or(0, |n| n + 1),
            n_attempts: 0,
        }
    }

    /// Whether the pieces from number `n` on match the path from byte `at` on. If they do, the captures are complete; if not,
    /// they are what they were before.
    fn matches(&mut self, n: usize, at: usize) -> bool {
        let rest = &self.path[at..];
        let Some(piece) = self.pieces.get(n) else {
            return rest.is_empty();
        };
        if self.dead_ends.contains(&(n, at)) {
            return false;
        }
        self.n_attempts += 1;
        if self.n_attempts > MAX_ATTEMPTS {
            return false;
        }
        let is_match = match piece {
            Piece::Text(text) => {
                rest.starts_with(text.as_str()) && self.matches(n + 1, at + text.len())
            }
            Piece::Placeholder { name, digits } => self.captures_one(n, at, name, *digits),
        };
        if !is_match && n >= self.first_free {
            self.dead_ends.insert((n, at));
        }
        is_match
    }

    /// The same where piece `n` is the placeholder `name`.
    fn captures_one(&mut self, n: usize, at: usize, name: &str, digits: bool) -> bool {
        let rest = &self.path[at..];
        // a name that occurred before stands for the same text
        if let Some(text) = self.captures.get(name) {
            let is_kind = !digits || text.bytes().all(|b| b.is_ascii_digit());
            let (is_same, end) = (rest.starts_with(text.as_str()), at + text.len());
            return is_kind && is_same && self.matches(n + 1, end);
        }
        let part = rest.split('/').next().unwrap_or_default();
        let n_digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let part = if digits { &part[..n_digits] } else { part };
        let ends = part.char_indices().map(|(at, c)| at + c.len_utf8()).rev();
        for end in ends {
            self.captures
                .insert(name.to_owned(), part[..end].to_owned());
            if self.matches(n + 1, at + end) {
                return true;
            }
        }
        self.captures.remove(name);
        false
    }
}

/// Whether one of `pieces` is the placeholder `name`.
fn occurs(pieces: &[Piece], name: &str) -> bool {
    pieces.iter().any(|piece| piece.name() == Some(name))
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
            .captures("left/val/ulm/ulm_0_left.png")?
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
            assert!(images.captures(no)?.is_none(), "{no}");
        }
        assert_eq!(images.folder(), Path::new("left/val"));
        assert_eq!(Pattern::parse("{id}.png")?.folder(), Path::new(""));
        assert!(
            Pattern::parse("{a}/{a}.png")?
                .captures("x/x.png")?
                .is_some()
        );
        assert!(
            Pattern::parse("{a}/{a}.png")?
                .captures("x/y.png")?
                .is_none()
        );
        assert!(Pattern::parse("{b}.png")?.fill(&captures).is_err());
        let labels = Pattern::parse("{n:digits}_{scene}_{frame:digits}_labels.png")?;
        let captures = labels.captures("0007_04_Weg_8_000030_labels.png")?;
        let captures = captures.context("matches")?;
        assert_eq!(captures["n"], "0007");
        assert_eq!(
            (&*captures["scene"], &*captures["frame"]),
            ("04_Weg_8", "000030")
        );
        Ok(())
    }

    #[test]
    fn many_placeholders_take_no_time() -> Result<()> {
        let name = format!("{}.jpg", "_".repeat(250));
        let many = Pattern::parse("{a}_{b}_{c}_{d}_{e}_{f}_{g}.png")?;
        assert!(many.captures(&name)?.is_none());
        let captures = many.captures(&name.replace("jpg", "png"))?;
        assert_eq!(captures.context("matches")?["a"].len(), 250 - 12);
        // names that occur twice can need any number of attempts
        let hostile = Pattern::parse("{a}_{b}_{c}_{d}_{a}_{b}_{c}_{d}.png")?;
        let error = hostile.captures(&name).expect_err("is refused").to_string();
        assert!(error.contains("too many ways"), "{error}");
        let captures = hostile.captures("1_2_3_4_1_2_3_4.png")?;
        assert_eq!(captures.context("matches")?["d"], "4");
        Ok(())
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for bad in ["{", "a}", "{}", "{a}{b}", "{a{b}}", "{a:words}"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
