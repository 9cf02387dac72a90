//! All cases of the benchmark.

use crate::case::Case;
use crate::{network, ops};

/// The operations, then the networks.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = ops::cases();
    cases.extend(network::cases());
    cases
}
