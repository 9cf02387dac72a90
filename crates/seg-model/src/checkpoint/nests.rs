//! The dictionaries of tensors in a checkpoint, of which one holds the weights.
//!
//! Training scripts save the weights beside other things and inside of other dictionaries, and some save several versions of them
//! (teacher and student, moving averages). A version is named by its keys joined with dots, for example `model.state_dict`; the outermost
//! dictionary is the empty name.

use std::collections::{BTreeMap, HashSet, VecDeque};

use anyhow::{Result, bail, ensure};

use super::pickle::{Id, Pickle, Value};

/// Keys under which training scripts save the weights beside other things, in the order in which they are preferred.
const NESTS: [&str; 25] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
    "generator",
    "teacher",
    "student",
    "state_dict_ema",
    "ema_state_dict",
    "ema",
    "model_ema",
    "ema_model",
    "params_ema",
    "shadow",
    "net_state_dict",
    "network_state_dict",
    "model_dict",
    "segmentor",
    "swa_model",
    "averaged_model",
];

/// Deepest nest: there are scripts that save `{"model": {"state_dict": ...}}`, but none that go much deeper.
const MAX_DEPTH: usize = 4;

/// Most characters of a key that an error shows.
const MAX_SHOWN: usize = 100;

/// A dictionary that holds tensors.
pub(super) struct Nest<'a> {
    /// Keys that lead to it, joined with dots.
    pub(super) key: String,
    pub(super) items: &'a [(Id, Id)],
    n_tensors: usize,
}

/// Which of a file's weights are taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    /// Name of the weights taken; empty if the whole file is taken.
    pub(super) key: String,
    /// Names of other weights, which were not taken.
    pub(super) others: Vec<String>,
}

/// Place of a key among the preferred ones; unknown keys come last.
pub(super) fn rank(key: &str) -> usize {
    NESTS.iter().position(|&n| n == key).unwrap_or(NESTS.len())
}

/// All dictionaries of tensors in a pickle that may be weights, the preferred one first.
///
/// A dictionary with less than half the tensors of the largest one is no candidate: it holds a score, a loss, the state of a
/// random generator or of an optimizer.
pub(super) fn candidates(pickle: &Pickle) -> Vec<Nest<'_>> {
    let mut nests = nests(pickle);
    let most = nests.iter().map(|nest| nest.n_tensors).max();
    nests.retain(|nest| 2 * nest.n_tensors >= most.unwrap_or(0));
    nests.sort_by_key(|nest| preference(&nest.key));
    nests
}

/// Known keys in their order, then the outermost dictionary, then unknown keys by name.
fn preference(key: &str) -> (Vec<usize>, String) {
    let ranks = match key {
        "" => vec![NESTS.len()],
        key => key.split('.').map(rank).collect(),
    };
    (ranks, key.to_owned())
}

/// All dictionaries that hold tensors.
fn nests(pickle: &Pickle) -> Vec<Nest<'_>> {
    let mut found = Vec::new();
    let mut visited = HashSet::new();
    let mut queue = VecDeque::from([(String::new(), 0, pickle.root())]);
    while let Some((key, depth, value)) = queue.pop_front() {
        let Value::Dict(items) = value else {
            continue;
        };
        let mut n_tensors = 0;
        for &(name, value) in items {
            match (pickle.get(name), pickle.get(value)) {
                (Value::Text(_), Value::Tensor(_)) => n_tensors += 1,
                // a dictionary that is reached by several ways is visited once, so that no file makes this walk long
                (Value::Text(name), inner @ Value::Dict(_))
                    if depth < MAX_DEPTH && !name.starts_with("optim") && visited.insert(value) =>
                {
                    queue.push_back((joined(&key, name), depth + 1, inner));
                }
                _ => {}
            }
        }
        if n_tensors > 0 {
            found.push(Nest {
                key,
                items,
                n_tensors,
            });
        }
    }
    found
}

/// The error for a file that holds no weights, which says what it holds instead.
pub(super) fn nothing_found(pickle: &Pickle) -> anyhow::Error {
    let advice = "save the network's state_dict()";
    let held = match pickle.root() {
        Value::Dict(items) => {
            let named = items.iter().filter_map(|&(key, value)| {
                let Value::Text(key) = pickle.get(key) else {
                    return None;
                };
                let key: String = key.chars().take(MAX_SHOWN).collect();
                Some(match pickle.get(value) {
                    Value::Foreign(kind) => format!("{key:?} (a {kind:?})"),
                    _ => format!("{key:?}"),
                })
            });
            let keys: Vec<_> = named.take(20).collect();
            format!(", only the keys {}", keys.join(", "))
        }
        Value::Foreign(kind) => format!(", only a {kind:?}"),
        _ => String::new(),
    };
    anyhow::anyhow!("it holds no dictionary of tensors{held}: {advice}")
}

/// Finds the weights of the name `key`: a dictionary, or those tensors of a dictionary whose names begin with the rest of the key.
/// Returns the index of the dictionary and the rest. Without a key, the preferred dictionary is taken as a whole.
///
/// # Errors
/// Returns an error that lists all names there are, if there are no such weights.
pub(super) fn choose<'n>(
    dictionaries: &[(&str, Vec<&str>)],
    key: Option<&'n str>,
) -> Result<(usize, Option<&'n str>)> {
    let Some(key) = key else {
        return Ok((0, None));
    };
    if let Some(i) = dictionaries.iter().position(|(own, _)| *own == key) {
        return Ok((i, None));
    }
    for (i, (own, tensors)) in dictionaries.iter().enumerate() {
        let inner = key
            .strip_prefix(own)
            .and_then(|rest| rest.strip_prefix('.'));
        for rest in [inner, Some(key)].into_iter().flatten() {
            if tensors.iter().any(|name| below(name, rest).is_some()) {
                return Ok((i, Some(rest)));
            }
        }
    }
    let named = dictionaries.iter().flat_map(|(own, tensors)| {
        let whole = (!own.is_empty()).then(|| ((*own).to_owned(), tensors.len()));
        whole.into_iter().chain(parts(own, tensors))
    });
    let mut names: Vec<_> = named
        .map(|(name, n)| format!("{name:?} ({n} tensors)"))
        .collect();
    names.truncate(30);
    ensure!(
        !names.is_empty(),
        "it has no weights under the key {key:?}, and only one network: leave the key out"
    );
    bail!(
        "it has no weights under the key {key:?}; the keys are {}",
        names.join(", ")
    )
}

/// The parts of a dictionary by the first components of its tensors' names, with their numbers of tensors. If there are many, they are
/// the layers of one network, and not listed.
fn parts(own: &str, tensors: &[&str]) -> BTreeMap<String, usize> {
    /// Most parts that are listed.
    const MANY: usize = 8;
    let mut parts = BTreeMap::new();
    for name in tensors {
        if let Some((first, _)) = name.split_once('.') {
            *parts.entry(joined(own, first)).or_insert(0) += 1;
        }
    }
    if parts.len() > MANY {
        parts.clear();
    }
    parts
}

/// The rest of a tensor's name behind the components `prefix`.
pub(super) fn below<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    name.strip_prefix(prefix)?.strip_prefix('.')
}

/// Two names joined with a dot, of which either may be empty.
pub(super) fn joined(first: &str, second: &str) -> String {
    match (first, second) {
        (first, "") => first.to_owned(),
        ("", second) => second.to_owned(),
        (first, second) => format!("{first}.{second}"),
    }
}
