//! Finds a network's tensors among those of a file, whose names training wrappers have changed, and of which there may be several copies.

use std::collections::BTreeMap;

use super::nests::rank;

/// Components that wrappers of `PyTorch` put into names at any place: parallel training, compilation, sharding, checkpointed activations.
const WRAPPERS: [&str; 4] = [
    "module",
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
];

/// Prefixes that training scripts add to the names of a network's tensors.
const PREFIXES: [&str; 5] = ["model.", "net.", "network.", "segmentor.", "state_dict."];

/// Whether a name counts training steps, which no network here uses.
pub(super) fn is_counter(name: &str) -> bool {
    name.ends_with("num_batches_tracked")
}

/// `name` without the components of wrappers.
pub(super) fn unwrapped(name: &str) -> String {
    let kept = name.split('.').filter(|part| !WRAPPERS.contains(part));
    kept.collect::<Vec<_>>().join(".")
}

/// `name` without the first prefix of a training script.
pub(super) fn strip_prefix(name: &str) -> Option<&str> {
    PREFIXES.iter().find_map(|p| name.strip_prefix(p))
}

/// All ends of a name that begin behind a dot, longest first and with the name itself, each with what precedes it.
pub(super) fn ends(name: &str) -> impl Iterator<Item = (&str, &str)> {
    let dots = name
        .match_indices('.')
        .map(|(at, _)| (&name[..at], &name[at + 1..]));
    std::iter::once(("", name)).chain(dots)
}

/// The copies of a network among the names of a file: what precedes the names of the network's tensors in each copy, the preferred one
/// first. Copies that are less than half as complete as the best one do not count.
pub(super) fn stems(names: &[String], is_own: impl Fn(&str) -> bool) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        if let Some((stem, _)) = ends(name).find(|&(_, own)| is_own(own)) {
            *counts.entry(stem).or_insert(0) += 1;
        }
    }
    let most = counts.values().copied().max().unwrap_or(0);
    let mut stems: Vec<_> = counts.into_iter().filter(|&(_, n)| 2 * n >= most).collect();
    stems.sort_by_key(|&(stem, _)| preference(stem));
    stems.into_iter().map(|(stem, _)| stem.to_owned()).collect()
}

/// Bare names first, then names of training scripts, then known words such as `teacher`, then the alphabet.
fn preference(stem: &str) -> (bool, Vec<usize>, String) {
    let ranks = stem.split('.').map(rank).collect();
    (!stem.is_empty(), ranks, stem.to_owned())
}

/// Whether a tensor that the network does not have belongs to the training: a loss with its class weights, a metric, a count.
pub(super) fn is_training_part(name: &str) -> bool {
    // all tensors of the networks here are inside of a layer, so that a name without a dot is none of them
    name.split('.').any(is_loss_or_metric) || is_record(name)
}

fn is_loss_or_metric(part: &str) -> bool {
    part.starts_with("criterion")
        || part.starts_with("loss")
        || part.ends_with("_loss")
        || part.contains("metric")
        || part.ends_with("_iou")
        || part.ends_with("_acc")
        || part.ends_with("accuracy")
        || part.starts_with("confmat")
        || matches!(part, "class_weights" | "class_weight")
}

fn is_record(name: &str) -> bool {
    let is_known = matches!(
        name,
        "epoch" | "step" | "global_step" | "iteration" | "n_averaged" | "score" | "miou"
    );
    is_known || name.starts_with("best_") || name.ends_with("rng_state")
}
