//! Faults of the same kind in one line.

use std::collections::BTreeMap;
use std::path::Path;

/// Names that are listed of one kind, besides the first.
const NAMES_SHOWN: usize = 4;

/// One line for each kind of fault, in the order of the first of each kind: that fault, how many more there are, and the
/// names of the first files among them.
pub(crate) fn grouped(faults: &[String]) -> Vec<String> {
    let mut groups: Vec<Vec<&str>> = Vec::new();
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    for fault in faults {
        let number = *numbers.entry(kind(fault)).or_insert(groups.len());
        if number == groups.len() {
            groups.push(Vec::new());
        }
        groups[number].push(fault);
    }
    groups.iter().map(|group| line(group)).collect()
}

fn line(group: &[&str]) -> String {
    let [first, others @ ..] = group else {
        return String::new();
    };
    if others.is_empty() {
        return (*first).to_owned();
    }
    let names = others.iter().filter_map(|fault| file_name(fault));
    let names: Vec<&str> = names.take(NAMES_SHOWN).collect();
    let more = if others.len() > names.len() {
        ", ..."
    } else {
        ""
    };
    format!(
        "{first} (and {} more of this kind: {}{more}; -v lists all)",
        others.len(),
        names.join(", ")
    )
}

/// The text of a fault without what differs from file to file: paths, the names in them, and numbers, except for the value,
/// color or name of a label, since each label without a meaning is a fault of its own.
fn kind(fault: &str) -> String {
    let words: Vec<&str> = fault.split_whitespace().collect();
    let paths = words.iter().filter(|word| is_path(word));
    let stems: Vec<&str> = paths.filter_map(|path| stem(path)).collect();
    let mut kind = Vec::new();
    let mut previous = "";
    for word in words {
        let name = word.trim_matches(|c: char| !c.is_alphanumeric());
        let is_name = is_path(word) || (!name.is_empty() && stems.iter().any(|s| s.contains(name)));
        let is_number = word.contains(|c: char| c.is_ascii_digit());
        let is_label = matches!(previous, "value" | "color" | "category");
        let keeps = is_label || !(is_name || is_number);
        kind.push(if keeps { word } else { "_" });
        previous = word;
    }
    // a name with spaces has any number of words
    kind.dedup_by(|a, b| *a == "_" && *b == "_");
    kind.join(" ")
}

/// Whether a word is a path or the end of one, whose name has spaces.
fn is_path(word: &str) -> bool {
    let word = word.trim_end_matches([':', ',', ';', ')']);
    let extension = Path::new(word).extension().unwrap_or_default();
    word.contains(['/', '\\'])
        || ["png", "jpg", "jpeg", "webp", "json", "xml", "csv", "txt"]
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
}

fn stem(path: &str) -> Option<&str> {
    Path::new(path).file_stem()?.to_str()
}

/// Name of the first file in the text of a fault.
fn file_name(fault: &str) -> Option<&str> {
    let path = fault.split_whitespace().find(|word| is_path(word))?;
    let path = path.trim_end_matches([':', ',', ';', ')']);
    Path::new(path).file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_one_kind_are_one_line() {
        let value = |name: &str, value: u8, row: u32| {
            format!(
                "set/{name}.png has the value {value} at row {row}, column 2, which has no meaning ({row} pixels)"
            )
        };
        let mut faults: Vec<String> = (0..7).map(|i| value(&format!("a_{i}"), 9, i)).collect();
        faults.push(value("b", 8, 1));
        faults.push("set/c.png has no image: c is missing among images/{id}.png".to_owned());
        faults.push("set/d 1.png has no image: d_1 is missing among images/{id}.png".to_owned());
        faults.push("city ulm: 3 samples instead of 4".to_owned());
        let lines = grouped(&faults);
        assert_eq!(lines.len(), 4, "{lines:#?}");
        let others =
            "(and 6 more of this kind: a_1.png, a_2.png, a_3.png, a_4.png, ...; -v lists all)";
        assert_eq!(lines[0], format!("{} {others}", faults[0]));
        assert_eq!(lines[1], faults[7]);
        assert!(
            lines[2].starts_with(&faults[8]) && lines[2].contains("1 more"),
            "{lines:#?}"
        );
        assert_eq!(lines[3], faults[10]);
    }
}
