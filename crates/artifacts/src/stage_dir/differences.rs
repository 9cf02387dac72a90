//! What the work of two manifests differs by, in words for users.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::manifest::Manifest;
use crate::shard::Shard;

/// Each difference in the form `--ood-weight 0.9, asked for 0.5`. Recorded values that are no flags, such as hashes of file
/// lists, are named by what they stand for: `other images`.
pub(super) fn differences(earlier: &Manifest, asked: &Manifest) -> Vec<String> {
    let mut all = Vec::new();
    if earlier.stage != asked.stage {
        all.push(format!("`{}`, asked for `{}`", earlier.stage, asked.stage));
        return all;
    }
    if earlier.tool_version != asked.tool_version {
        let (earlier, asked) = (&earlier.tool_version, &asked.tool_version);
        all.push(format!("version {earlier}, this is {asked}"));
    }
    compare("", &earlier.arguments, &asked.arguments, &mut all);
    let names = earlier.inputs.keys().chain(asked.inputs.keys());
    let names: BTreeSet<_> = names.collect();
    for name in names {
        match (earlier.inputs.get(name), asked.inputs.get(name)) {
            (Some(a), Some(b)) if a.blake3 != b.blake3 && a.path == b.path => {
                all.push(format!(
                    "an earlier content of --{name} {}",
                    a.path.display()
                ));
            }
            (Some(a), Some(b)) if a.blake3 != b.blake3 => all.push(format!(
                "--{name} {}, asked for {}",
                a.path.display(),
                b.path.display()
            )),
            (Some(a), None) => all.push(format!("--{name} {}, asked for none", a.path.display())),
            (None, Some(b)) => all.push(format!("no --{name}, asked for {}", b.path.display())),
            _ => {}
        }
    }
    all
}

/// Compares two values of the argument `name`, member by member.
fn compare(name: &str, earlier: &Value, asked: &Value, all: &mut Vec<String>) {
    if earlier == asked {
        return;
    }
    if let Some(words) = recorded(name, earlier, asked) {
        all.push(words);
    } else if let (Value::Object(a), Value::Object(b)) = (earlier, asked)
        && one_word(earlier).is_none()
    {
        let keys: BTreeSet<_> = a.keys().chain(b.keys()).collect();
        for key in keys {
            let name = if name.is_empty() {
                key.clone()
            } else {
                format!("{name}.{key}")
            };
            let [a, b] = [a, b].map(|members| members.get(key).unwrap_or(&Value::Null));
            compare(&name, a, b, all);
        }
    } else {
        // groups of flags are members of their own in the manifest, but flags have no group
        let flag = name.rsplit('.').next().unwrap_or(name);
        all.push(format!(
            "--{} {}, asked for {}",
            flag.replace('_', "-"),
            text(earlier),
            text(asked)
        ));
    }
}

/// What a value stands for that no flag gives: the hash of a list of files, such a list, or the description of a data set.
fn recorded(name: &str, earlier: &Value, asked: &Value) -> Option<String> {
    let last = name.rsplit('.').next()?;
    if let Some(files) = last.strip_suffix("_blake3") {
        return Some(format!("other {}", files.replace('_', " ")));
    }
    if [earlier, asked]
        .iter()
        .any(|value| is_list_of_records(value))
    {
        return Some(format!("other {}", last.replace('_', " ")));
    }
    (last == "data_manifest").then(|| "another description of the data set".to_owned())
}

/// Whether a value is a list of files with their sizes, or the like, in contrast to a flag with several values.
fn is_list_of_records(value: &Value) -> bool {
    let is_record = |item: &Value| item.is_array() || item.is_object();
    value
        .as_array()
        .is_some_and(|items| items.iter().any(is_record))
}

/// A shard or a size in pixels, which users write in one word.
fn one_word(value: &Value) -> Option<String> {
    if let Ok(shard) = serde_json::from_value::<Shard>(value.clone()) {
        return Some(shard.to_string());
    }
    let members = value.as_object().filter(|members| members.len() == 2)?;
    let side = |name: &str| members.get(name)?.as_u64();
    Some(format!("{}x{}", side("width")?, side("height")?))
}

/// A value as a flag is given, shortened if it is long.
fn text(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = match value {
        Value::Null => "not given".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => return list(items),
        value => one_word(value).unwrap_or_else(|| value.to_string()),
    };
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}

/// The first values of a list as a flag takes them, and how many more there are.
fn list(items: &[Value]) -> String {
    const SHOWN: usize = 4;
    if items.is_empty() {
        return "\"\"".to_owned();
    }
    let shown: Vec<String> = items.iter().take(SHOWN).map(text).collect();
    let shown = shown.join(",");
    match items.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Input;
    use serde_json::json;

    /// Differences between two calls of one stage with these arguments.
    fn between(earlier: Value, asked: Value) -> Vec<String> {
        let manifest = |arguments| Manifest::new("toy", arguments, [].into());
        differences(&manifest(earlier), &manifest(asked))
    }

    #[test]
    fn flags_are_written_as_users_give_them() {
        let earlier = json!({
            "ood_weight": 0.9, "size": null, "same": 1, "track": {"min_size": 3},
            "shard": {"index": 0, "count": 1}, "limit": 2,
        });
        let asked = json!({
            "ood_weight": 0.5, "size": {"width": 8, "height": 4}, "same": 1, "track": {"min_size": 4},
            "shard": {"index": 1, "count": 2}, "limit": 0,
        });
        assert_eq!(
            between(earlier, asked),
            [
                "--limit 2, asked for 0",
                "--ood-weight 0.9, asked for 0.5",
                "--shard 0/1, asked for 1/2",
                "--size not given, asked for 8x4",
                "--min-size 3, asked for 4",
            ]
        );
    }

    #[test]
    fn values_that_no_flag_gives_are_named_by_what_they_stand_for() {
        let hash = "ed6e2d99a33be8681235df0cc9c9292aefb3d3cfbaaea3889d9504de8012aa";
        let earlier = json!({
            "images_blake3": hash, "data_manifest": {"name": "a", "title": "A"},
            "images": [["a.png", 10]],
        });
        let asked = json!({
            "images_blake3": "1a7c", "data_manifest": {"name": "b", "title": "B"},
            "images": null,
        });
        assert_eq!(
            between(earlier, asked),
            [
                "another description of the data set",
                "other images",
                "other images"
            ]
        );
        let found = between(
            json!({"samples_blake3": "a"}),
            json!({"samples_blake3": "b"}),
        );
        assert_eq!(found, ["other samples"]);
    }

    #[test]
    fn long_values_are_shortened() {
        let names = ["person", "car", "bus", "train", "truck", "bicycle"];
        let found = between(json!({ "exclude": names }), json!({ "exclude": [] }));
        assert_eq!(
            found,
            ["--exclude person,car,bus,train and 2 more, asked for \"\""]
        );
        let found = between(json!({ "text": "x".repeat(70) }), json!({ "text": 1 }));
        assert_eq!(found, [format!("--text {}…, asked for 1", "x".repeat(60))]);
    }

    #[test]
    fn inputs_versions_and_stages_are_compared() {
        let input = |path: &str, blake3: &str| Input {
            path: path.into(),
            bytes: 1,
            blake3: blake3.to_owned(),
        };
        let with = |inputs: &[(&str, Input)]| {
            let inputs = inputs
                .iter()
                .map(|(name, i)| ((*name).to_owned(), i.clone()));
            Manifest::new("toy", json!({}), inputs.collect())
        };
        let earlier = with(&[
            ("weights", input("a", "1")),
            ("labels", input("l", "1")),
            ("region", input("r", "1")),
            ("moved", input("here", "1")),
        ]);
        let mut asked = with(&[
            ("weights", input("b", "2")),
            ("labels", input("l", "2")),
            ("more", input("m", "1")),
            ("moved", input("there", "1")),
        ]);
        assert_eq!(
            differences(&earlier, &asked),
            [
                "an earlier content of --labels l",
                "no --more, asked for m",
                "--region r, asked for none",
                "--weights a, asked for b",
            ]
        );
        asked.tool_version = "9.9.9".to_owned();
        let version = format!("version {}, this is 9.9.9", earlier.tool_version);
        assert_eq!(differences(&earlier, &asked)[0], version);
        asked.stage = "other".to_owned();
        assert_eq!(differences(&earlier, &asked), ["`toy`, asked for `other`"]);
    }
}
