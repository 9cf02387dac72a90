//! The error of a file whose labels have no meaning: which labels, how many, and where.

use std::fmt;
use std::path::PathBuf;

/// How many labels an error names.
const N_NAMED: usize = 6;

/// Labels of a file that the data set's manifest does not explain.
#[derive(Clone, Debug)]
pub struct WithoutMeaning {
    /// The file.
    pub path: PathBuf,
    /// What the labels are: `color` or `category`.
    pub noun: &'static str,
    /// What is counted: `pixels` or `shapes`.
    pub unit: &'static str,
    /// The labels, the most frequent first.
    pub labels: Vec<UnknownLabel>,
}

/// One label without a meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLabel {
    /// The label as the file has it.
    pub name: String,
    /// How many pixels or shapes have it.
    pub count: u64,
    /// Where the first one is, for example `row 3, column 7`.
    pub first: String,
}

/// What to do about labels without a meaning.
pub(crate) const ADVICE: &str = "add them to the values of the data set's manifest (of `index`: --values), or make all others void \
                                 with void = \"others\" (--void others)";

impl fmt::Display for WithoutMeaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.labels.iter().take(N_NAMED);
        let named: Vec<String> = named
            .map(|l| {
                let (name, count, unit) = (&l.name, l.count, self.unit);
                format!("{name} ({count} {unit}, the first at {})", l.first)
            })
            .collect();
        let more = match self.labels.len() - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        write!(
            f,
            "{} has {} without a meaning: {}{more}: {ADVICE}",
            self.path.display(),
            self.plural(),
            named.join(", ")
        )
    }
}

impl WithoutMeaning {
    fn plural(&self) -> &'static str {
        match self.noun {
            "color" => "colors",
            _ => "categories",
        }
    }
}

impl std::error::Error for WithoutMeaning {}
