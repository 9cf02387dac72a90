//! Which values scores have, in words, for messages about thresholds.

use std::path::{Path, PathBuf};

use anyhow::Result;
use artifacts::score::Score;
use artifacts::score_map::ScoreMap;
use rayon::prelude::*;

/// Score maps that are looked at.
const MAX_MAPS: usize = 100;
/// Values of each that are sorted.
const MAX_VALUES: usize = 10_000;

/// The range that the definition of a score gives.
pub(crate) fn range(score: Score) -> &'static str {
    match score {
        Score::Entropy => "it is in [0, 1], 1 where all classes are as likely",
        Score::MaxSoftmax => "it is 1 minus the largest probability, in [0, 1]",
        Score::Margin => "it is 1 minus the largest probability plus the second largest, in [0, 1]",
        Score::MaxLogit => "it is the negated largest logit, any number, mostly from -100 to 0",
        Score::Energy => {
            "it is the negated ln of the sum of exp(logit), any number, mostly from -100 to 0"
        }
        Score::Adopted => "it is that of the score maps, any number",
    }
}

/// The range of the scores in the folder `dir`, by its first maps that can be read; `None` if there are none.
pub(crate) fn range_of_maps(dir: &Path) -> Option<String> {
    let files = map_files(dir).ok()?;
    let looks: Vec<Look> = files
        .par_iter()
        .take(MAX_MAPS)
        .filter_map(|file| ScoreMap::read(file).ok().map(|map| Look::at(&map)))
        .collect();
    let low = looks.iter().map(|look| look.low).min_by(f32::total_cmp)?;
    let high = looks.iter().map(|look| look.high).max_by(f32::total_cmp)?;
    let mut values: Vec<f32> = looks.iter().flat_map(|look| look.some.clone()).collect();
    values.sort_by(f32::total_cmp);
    let common = values.get(values.len() * 99 / 100)?;
    Some(format!(
        "in {} of {} score maps it is from {} to {}, and at most {} in 99 % of the pixels",
        looks.len(),
        files.len(),
        short(low),
        short(high),
        short(*common)
    ))
}

/// The files that may be score maps, in the order of their names.
fn map_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "safetensors") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// What is seen of one map.
struct Look {
    low: f32,
    high: f32,
    /// Values at equal steps.
    some: Vec<f32>,
}

impl Look {
    fn at(map: &ScoreMap) -> Self {
        let step = map.values.len().div_ceil(MAX_VALUES).max(1);
        Self {
            low: map.values.iter().copied().fold(f32::INFINITY, f32::min),
            high: map.values.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            some: map.values.iter().copied().step_by(step).collect(),
        }
    }
}

/// A number with four digits that count, as people write it.
fn short(value: f32) -> String {
    let scientific = format!("{value:.3e}");
    let rounded = scientific.parse().unwrap_or(f64::from(value));
    if rounded == 0.0 || (1e-4..1e6).contains(&rounded.abs()) {
        rounded.to_string()
    } else {
        scientific
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        let cases = [
            (0.0, "0"),
            (-0.123_456, "-0.1235"),
            (17.0, "17"),
            (123_456.0, "123500"),
            (1.5e20, "1.500e20"),
            (2e-7, "2.000e-7"),
        ];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
    }
}
