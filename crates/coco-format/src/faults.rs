//! Faults of records and files, grouped by what is wrong.

use std::collections::HashMap;
use std::fmt::Display;

use anyhow::{Result, bail};

/// How many ids a group names.
const N_NAMED: usize = 8;

/// How many groups an error names.
const N_GROUPS: usize = 6;

/// What is wrong with one record or file.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Which record, for example `annotation 7`.
    subject: String,
    /// A sentence that names it.
    text: String,
    /// The same for all faults of one kind.
    kind: String,
}

impl Fault {
    /// A fault whose sentence is the subject and `predicate`.
    pub fn new(subject: impl Display, predicate: impl Display) -> Self {
        let (subject, predicate) = (subject.to_string(), predicate.to_string());
        Self {
            text: format!("{subject} {predicate}"),
            kind: kind(&predicate, &subject),
            subject,
        }
    }

    /// A fault of the record or file `subject`, which the error names itself; its last cause says of which kind it is.
    pub fn of(subject: impl Display, error: &anyhow::Error) -> Self {
        let subject = subject.to_string();
        Self {
            text: format!("{error:#}"),
            kind: kind(&error.root_cause().to_string(), &subject),
            subject,
        }
    }
}

/// What is left of a cause without numbers and without the name of its subject.
fn kind(cause: &str, subject: &str) -> String {
    let general = cause.replace(subject, "");
    let words = general
        .split_whitespace()
        .filter(|w| !w.contains('/') && !w.contains(|c: char| c.is_ascii_digit()));
    let kind: Vec<&str> = words.collect();
    kind.join(" ")
}

/// One line for each kind of fault, in the order of their first occurrence: the first fault, and which others are like it.
pub fn lines(faults: &[Fault]) -> Vec<String> {
    let mut order: Vec<Vec<&Fault>> = Vec::new();
    let mut places: HashMap<(&str, &str), usize> = HashMap::new();
    for fault in faults {
        let noun = fault.subject.split(' ').next().unwrap_or_default();
        let place = *places.entry((noun, &fault.kind)).or_insert(order.len());
        if place == order.len() {
            order.push(Vec::new());
        }
        order[place].push(fault);
    }
    order.iter().map(|group| line(group)).collect()
}

fn line(group: &[&Fault]) -> String {
    let [first, others @ ..] = group else {
        return String::new();
    };
    if others.is_empty() {
        return first.text.clone();
    }
    let named: Vec<&str> = others
        .iter()
        .take(N_NAMED)
        .map(|f| f.subject.as_str())
        .collect();
    let more = match others.len() - named.len() {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    format!("{}; likewise {}{more}", first.text, named.join(", "))
}

/// Returns all faults as one error.
///
/// # Errors
/// Returns an error if there is any fault.
pub fn refuse(faults: &[Fault]) -> Result<()> {
    match faults {
        [] => Ok(()),
        [fault] => bail!("{}", fault.text),
        _ => {
            let lines = lines(faults);
            let shown = &lines[..lines.len().min(N_GROUPS)];
            let more = match lines.len() - shown.len() {
                0 => String::new(),
                n => format!("; and {n} more kinds of faults, which `coco-proxy check` lists"),
            };
            bail!("{} faults: {}{more}", faults.len(), shown.join("; "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_one_kind_share_a_line() {
        let mut faults: Vec<Fault> = (1..=12)
            .map(|id| Fault::new(format!("annotation {id}"), format!("has {id} points")))
            .collect();
        faults.insert(1, Fault::new("image 1", "has 5 points"));
        let lines = lines(&faults);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("annotation 1 has 1 points; likewise annotation 2, "));
        assert!(
            lines[0].ends_with("annotation 9 and 3 more"),
            "{}",
            lines[0]
        );
        assert_eq!(lines[1], "image 1 has 5 points");
        let text = refuse(&faults).expect_err("13 faults").to_string();
        assert!(text.starts_with("13 faults: annotation 1 "), "{text}");
    }
}
