//! Splitting the samples of a stage among machines.
//!
//! ```
//! use artifacts::shard::Shard;
//!
//! # fn main() -> anyhow::Result<()> {
//! let shard: Shard = "1/3".parse()?;
//! assert_eq!(shard.select(["a", "b", "c", "d", "e"]), ["b", "e"]);
//! # Ok(())
//! # }
//! ```

use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// Part `index` of `count` of a sorted list of samples, written `I/N` with `I` in `0..N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Number of the part, from 0.
    pub index: usize,
    /// Number of parts, at least 1.
    pub count: usize,
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

impl Shard {
    /// Every `count`-th item, from number `index` on. The parts do not overlap, and together they are all items.
    pub fn select<T>(self, items: impl IntoIterator<Item = T>) -> Vec<T> {
        items
            .into_iter()
            .skip(self.index)
            .step_by(self.count)
            .collect()
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = text.split_once('/');
        let numbers = numbers.and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        let (index, count): (usize, usize) = numbers
            .with_context(|| format!("a shard is written I/N, for example 0/4, not {text:?}"))?;
        ensure!(
            index < count,
            "shard {text} does not exist: {count} shards are numbered 0 to {}",
            count.saturating_sub(1)
        );
        Ok(Self { index, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_partition() -> Result<()> {
        let mut all: Vec<u32> = (0..3)
            .map(|i| Ok(format!("{i}/3").parse::<Shard>()?.select(0..10)))
            .collect::<Result<Vec<_>>>()?
            .concat();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        for bad in ["3/3", "0/0", "1", "a/b", "-1/2"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
        Ok(())
    }
}
