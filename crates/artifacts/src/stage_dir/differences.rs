//! What the work of two manifests differs by, in words for users.

use serde_json::Value;

use crate::manifest::Manifest;

/// Each difference in the form `--ood-weight 0.9, asked for 0.5`.
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
    let names: std::collections::BTreeSet<_> = names.collect();
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
    if let (Value::Object(a), Value::Object(b)) = (earlier, asked) {
        let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
        for key in keys {
            let flag = key.replace('_', "-");
            let name = if name.is_empty() {
                flag
            } else {
                format!("{name}.{flag}")
            };
            let none = &Value::Null;
            compare(
                &name,
                a.get(key).unwrap_or(none),
                b.get(key).unwrap_or(none),
                all,
            );
        }
    } else if earlier != asked {
        all.push(format!(
            "--{name} {}, asked for {}",
            text(earlier),
            text(asked)
        ));
    }
}

fn text(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = match value {
        Value::Null => "not given".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}
