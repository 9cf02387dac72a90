//! Score maps that have the same value in all of their pixels: alone they may be right, all of them are a mistake.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail};
use artifacts::score_map::ScoreMap;

/// The value of all pixels, if they have the same.
pub(super) fn one_value(map: &ScoreMap) -> Option<f32> {
    let first = *map.values.first()?;
    map.values.iter().all(|&v| v == first).then_some(first)
}

/// What was seen of the maps so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Maps of one value, by the ids of their samples.
    constant: BTreeMap<String, f32>,
    has_others: bool,
}

impl Tally {
    /// Adds a map, by what [`one_value`] says of it.
    pub(super) fn add(&mut self, sample_id: &str, value: Option<f32>) {
        match value {
            Some(value) => drop(self.constant.insert(sample_id.to_owned(), value)),
            None => self.has_others = true,
        }
    }

    /// Says how many maps have one value. `files` are all maps by the ids of their samples: those that an interrupted call left are
    /// read here, until one has several values.
    ///
    /// # Errors
    /// Returns an error if all pixels of all maps have the same value and there are several maps, or one cannot be read.
    pub(super) fn judge<'a>(
        mut self,
        files: impl Iterator<Item = (&'a str, PathBuf)>,
    ) -> Result<()> {
        for (id, file) in files {
            if self.has_others {
                break;
            }
            if !self.constant.contains_key(id) {
                self.add(id, one_value(&ScoreMap::read(&file)?));
            }
        }
        let Some((id, value)) = self.constant.first_key_value() else {
            return Ok(());
        };
        let n = self.constant.len();
        if !self.has_others && n > 1 && self.constant.values().all(|other| other == value) {
            bail!(
                "all pixels of all {n} score maps have the score {value}, which tells nothing apart: save the scores again, or name another array of the files with --array"
            );
        }
        tracing::warn!(
            "score maps with the same score in all pixels: {n}, the first is that of {id} ({value})"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_maps_that_are_all_the_same_are_refused() {
        let check = |maps: &[Option<f32>], is_refused: bool| {
            let mut tally = Tally::default();
            for (number, &value) in maps.iter().enumerate() {
                tally.add(&number.to_string(), value);
            }
            let judged = tally.judge(std::iter::empty());
            assert_eq!(judged.is_err(), is_refused, "{maps:?}");
        };
        check(&[], false);
        check(&[Some(0.0)], false);
        check(&[Some(0.0), Some(0.0)], true);
        check(&[Some(0.0), Some(-0.0)], true);
        check(&[Some(0.0), Some(1.0)], false);
        check(&[Some(0.0), None, Some(0.0)], false);
        check(&[None, None], false);
    }
}
