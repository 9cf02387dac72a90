//! The in-distribution data sets: labels of one class set, and how many crops of each an epoch has.

use anyhow::{Context, Result};
use artifacts::classes::ClassSet;
use artifacts::labels::MaskKind;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::args::DataOptions;
use crate::source::Source;

/// Ratio of the shorter sides of two data sets from which on objects of one are seen in clearly other sizes.
const OTHER_SCALE: f64 = 1.5;

/// One in-distribution data set.
#[derive(Debug)]
pub(crate) struct Known {
    /// Its images and masks.
    pub(crate) source: Source,
    /// Shorter side to which its images are resized before they are cropped; 0 keeps their size.
    pub(crate) short_side: u32,
    /// Factor of the distillation in its crops.
    pub(crate) distill: f32,
    /// Its crops in an epoch.
    n_crops: usize,
}

impl Known {
    /// The samples of an epoch: each once, or with shares as many as the share asks for, where none is repeated before all of them
    /// occurred.
    pub(crate) fn epoch_samples(&self, rng: &mut ChaCha8Rng) -> Vec<usize> {
        let n = self.source.samples().len();
        if self.n_crops == n {
            return (0..n).collect();
        }
        choose(n, self.n_crops, rng)
    }

    /// Its part in an epoch, for people.
    pub(crate) fn describe_epoch(&self) -> String {
        format!(
            "{} from the {} images of {}",
            self.n_crops,
            self.source.samples().len(),
            self.source.dir().display()
        )
    }
}

/// A random choice of `count` of the numbers below `n`, which repeats none before all of them occurred.
pub(crate) fn choose(n: usize, count: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count {
        let mut all: Vec<usize> = (0..n).collect();
        all.shuffle(rng);
        all.truncate(count - chosen.len());
        chosen.append(&mut all);
    }
    chosen
}

/// Opens the data sets of `--labels`.
///
/// # Errors
/// Returns an error if an index is missing, damaged or empty, holds masks of another kind, or of other classes than the first.
pub(crate) fn open(data: &DataOptions) -> Result<Vec<Known>> {
    let sources = data.labels.iter().map(|dir| {
        let source = Source::open(dir, MaskKind::TrainId)?;
        source.classes()?; // masks without classes cannot be trained on
        Ok(source)
    });
    let sources = sources.collect::<Result<Vec<_>>>()?;
    ensure_same_classes(&sources)?;
    let lengths: Vec<usize> = sources.iter().map(|s| s.samples().len()).collect();
    let counts = crops_per_epoch(&lengths, &data.label_shares);
    let sets = sources.into_iter().zip(counts).enumerate();
    let sets = sets.map(|(i, (source, n_crops))| Known {
        source,
        short_side: data.label_short_side.get(i).copied().unwrap_or(0),
        distill: data.label_distill.get(i).copied().unwrap_or(1.0) as f32,
        n_crops,
    });
    let sets: Vec<Known> = sets.collect();
    advise_on_scales(&sets);
    Ok(sets)
}

/// The classes of all data sets.
///
/// # Errors
/// Returns an error if there is no data set.
pub(crate) fn classes(sets: &[Known]) -> Result<&ClassSet> {
    let first = sets
        .first()
        .context("there are no labels: name them with --labels")?;
    first.source.classes()
}

/// Number of in-distribution crops in an epoch.
pub(crate) fn epoch_len(sets: &[Known]) -> usize {
    sets.iter().map(|set| set.n_crops).sum()
}

fn ensure_same_classes(sources: &[Source]) -> Result<()> {
    let Some((first, others)) = sources.split_first() else {
        return Ok(());
    };
    for other in others {
        let same = other.classes()?.ensure_same(first.classes()?);
        same.with_context(|| {
            format!(
                "{} has other classes than {}, and a network learns one class set: prepare both with the same classes (`cityscapes-io prepare --class-map`)",
                other.dir().display(),
                first.dir().display()
            )
        })?;
    }
    Ok(())
}

/// Crops of each data set in an epoch: as many as it has images without `shares`; with these, the sum of all images is divided in
/// their proportion, at least one crop each.
fn crops_per_epoch(lengths: &[usize], shares: &[f64]) -> Vec<usize> {
    if shares.is_empty() {
        return lengths.to_vec();
    }
    let (images, sum): (usize, f64) = (lengths.iter().sum(), shares.iter().sum());
    let (mut share_so_far, mut crops_so_far) = (0.0, 0);
    let crops = shares.iter().map(|share| {
        // the ends of the parts are rounded, so that the parts add up to all images
        share_so_far += share;
        let end = (share_so_far / sum * images as f64).round() as usize;
        let crops = end - std::mem::replace(&mut crops_so_far, end);
        crops.max(1)
    });
    crops.collect()
}

/// Says that the images of the data sets have different sizes, so that objects do too, and what brings them to one scale.
fn advise_on_scales(sets: &[Known]) {
    let sides: Vec<u32> = sets.iter().map(shorter_side).collect();
    let (smallest, largest) = (sides.iter().min(), sides.iter().max());
    if let (Some(&smallest), Some(&largest)) = (smallest, largest)
        && f64::from(largest) > OTHER_SCALE * f64::from(smallest)
    {
        let sides: Vec<String> = sides.iter().map(ToString::to_string).collect();
        tracing::info!(
            "the images of --labels have shorter sides of {} pixels, so that crops show objects in different sizes: \
             --label-short-side resizes the images of each data set",
            sides.join(", ")
        );
    }
}

/// The shorter side of the first image of a data set as it is cropped, in pixels.
fn shorter_side(set: &Known) -> u32 {
    let first = set.source.samples().first();
    let stored = first.map_or(0, |sample| sample.width.min(sample.height));
    if set.short_side > 0 {
        set.short_side
    } else {
        stored
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn shares_divide_the_images_of_an_epoch() {
        for (lengths, shares, expected) in [
            (&[5, 3][..], &[][..], vec![5, 3]),
            (&[367, 1403, 8], &[0.5, 0.3, 0.2], vec![889, 533, 356]),
            (&[10, 10], &[3.0, 1.0], vec![15, 5]),
            (&[10, 2], &[1000.0, 1.0], vec![12, 1]),
        ] {
            assert_eq!(crops_per_epoch(lengths, shares), expected, "{shares:?}");
        }
    }

    #[test]
    fn a_choice_repeats_none_before_all_occurred() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (n, count) in [(5, 3), (5, 5), (3, 8), (1, 4), (4, 0)] {
            let mut chosen = choose(n, count, &mut rng);
            assert_eq!(chosen.len(), count);
            for whole in chosen.chunks_mut(n) {
                whole.sort_unstable();
                assert!(whole.windows(2).all(|pair| pair[0] < pair[1]), "{whole:?}");
            }
        }
    }
}
