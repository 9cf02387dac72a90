//! All cases of the benchmark.

use anyhow::{Context, Result, ensure};
use seg_model::nets::Network;

use crate::case::{Case, Images, Mode, Precision, Run};
use crate::{network, ops};

const ONLY_F32: &str = "networks are timed in f32 only: leave bf16 out";

/// The cases of the table: the operations, then the networks whose cost is known.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = ops::cases();
    cases.extend(network::cases());
    cases
}

/// A repetition of the operation or network `name`, which is `NETWORK-inference` or `NETWORK-step` for a network. Only networks depend
/// on `images`.
pub(crate) fn named(name: &str, mode: Mode, precision: Precision, images: Images) -> Result<Run> {
    let in_f32 = precision == Precision::F32;
    if let Some(network) = name.strip_suffix("-inference") {
        ensure!(in_f32, "{ONLY_F32}");
        return network::inference(Network::from_name(network)?, images);
    }
    if let Some(network) = name.strip_suffix("-step") {
        ensure!(in_f32, "{ONLY_F32}");
        return network::step(Network::from_name(network)?, images);
    }
    let cases = if in_f32 {
        ops::cases()
    } else {
        ops::cases_in_bf16()
    };
    let case = cases.into_iter().find(|case| case.name == name);
    let case = case.with_context(|| {
        format!(
            "there is no case {name:?} in this precision: see `bench table`, or name NETWORK-inference or NETWORK-step"
        )
    })?;
    (case.setup)(mode)
}
