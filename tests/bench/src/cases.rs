//! All cases of the benchmark.

use anyhow::{Context, Result};
use seg_model::nets::Network;

use crate::case::{Case, Images, Mode, Precision, Run};
use crate::{network, ops};

/// The cases of the table: the operations, then the networks whose cost is known.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = ops::cases();
    cases.extend(network::cases());
    cases
}

/// A repetition of the operation or network `name`, which is `NETWORK-inference` or `NETWORK-step` for a network. Only networks depend
/// on `images`.
pub(crate) fn named(name: &str, mode: Mode, precision: Precision, images: Images) -> Result<Run> {
    if let Some(network) = name.strip_suffix("-inference") {
        return network::inference(Network::from_name(network)?, images, precision);
    }
    if let Some(network) = name.strip_suffix("-step") {
        return network::step(Network::from_name(network)?, images, precision);
    }
    let cases = match precision {
        Precision::F32 => ops::cases(),
        Precision::Bf16 => ops::cases_in_bf16(),
    };
    let case = cases.into_iter().find(|case| case.name == name);
    let case = case.with_context(|| {
        format!(
            "there is no case {name:?} in this precision: see `bench table`, or name NETWORK-inference or NETWORK-step"
        )
    })?;
    (case.setup)(mode)
}
