//! The objects to choose from: whole ones, of the categories that are asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use artifacts::index::{Index, ObjectInfo, Sample};
use artifacts::labels::MaskKind;
use artifacts::mask::Mask;
use rand::{Rng, RngExt};
use rayon::prelude::*;

use crate::args::Args;
use crate::cutout::Cutout;

/// Smallest share of the annotated pixels that must be visible: the rest is behind something else.
const VISIBLE: f64 = 0.9;

/// Smallest share of the pixels in the largest connected part.
const IN_ONE_PART: f64 = 0.95;

/// An object that can be blended in.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// Number of its data set.
    set: usize,
    /// Position of its image in the index.
    sample: usize,
    /// Number in the mask.
    number: usize,
}

/// A data set of objects.
#[derive(Debug)]
struct ObjectSet {
    dir: PathBuf,
    index: Index,
}

/// All objects to choose from.
#[derive(Debug)]
pub(crate) struct Pool {
    sets: Vec<ObjectSet>,
    /// The objects of each category, which all have at least one.
    categories: Vec<Vec<Candidate>>,
}

/// An object that was chosen.
#[derive(Debug)]
pub(crate) struct Chosen<'a> {
    /// What is known of it.
    pub(crate) info: &'a ObjectInfo,
    /// Split and sample that it is cut out of.
    pub(crate) source: (&'a str, &'a str),
    /// Its pixels.
    pub(crate) cutout: Cutout,
}

impl Pool {
    /// Reads the objects of `--objects`.
    ///
    /// # Errors
    /// Returns an error if an index cannot be used, a category is in none of them, or no object is whole.
    pub(crate) fn open(args: &Args) -> Result<Self> {
        let sets = args.objects.iter().map(|dir| {
            Ok(ObjectSet {
                dir: dir.clone(),
                index: objects_index(dir)?,
            })
        });
        let sets = sets.collect::<Result<Vec<_>>>()?;
        let wanted = wanted(args)?;
        ensure_known(&sets, &args.categories)?;
        let is_wanted = |name: &str| wanted.as_ref().is_none_or(|wanted| wanted.contains(name));
        let mut categories: BTreeMap<&str, Vec<Candidate>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (number, set) in sets.iter().enumerate() {
            for candidate in whole_objects(number, set)? {
                let info = set.info(&candidate);
                let id = (set.sample_id(&candidate), &info.annotation);
                if is_wanted(&info.category) && seen.insert(id) {
                    categories
                        .entry(&info.category)
                        .or_default()
                        .push(candidate);
                }
            }
        }
        ensure!(
            !categories.is_empty(),
            "--objects have no whole object{}: they are cut off by the border of their images, covered or in parts",
            wanted.as_ref().map_or(String::new(), |wanted| {
                format!(" of {}", list(wanted.iter().map(String::as_str)))
            })
        );
        let numbers = categories
            .iter()
            .map(|(name, objects)| format!("{name} {}", objects.len()));
        let numbers: Vec<String> = numbers.collect();
        let categories: Vec<Vec<Candidate>> = categories.into_values().collect();
        let pool = Self { sets, categories };
        tracing::info!("{} whole objects: {}", pool.len(), numbers.join(", "));
        Ok(pool)
    }

    /// Number of objects.
    pub(crate) fn len(&self) -> usize {
        self.categories.iter().map(Vec::len).sum()
    }

    /// A category by its weight, if `u` is uniformly distributed in [0, 1).
    fn category(&self, u: f64) -> &[Candidate] {
        let weight = |objects: &Vec<Candidate>| (objects.len() as f64).sqrt();
        let mut left = u * self.categories.iter().map(weight).sum::<f64>();
        let chosen = self.categories.iter().find(|objects| {
            left -= weight(objects);
            left < 0.0
        });
        let last = || self.categories.last().map_or(&[][..], Vec::as_slice);
        chosen.map_or_else(last, Vec::as_slice)
    }

    /// A random object of a random category, mirrored with probability 1/2. A category counts as much as the square root of its number
    /// of objects: a single object is not seen all the time, and a common category is not all that is seen.
    ///
    /// # Errors
    /// Returns an error if its image or mask cannot be used.
    pub(crate) fn choose(&self, rng: &mut impl Rng) -> Result<(Chosen<'_>, bool)> {
        let objects = self.category(rng.random());
        let candidate = &objects[below(rng.random(), objects.len())];
        let is_mirrored: bool = rng.random();
        let set = &self.sets[candidate.set];
        let sample = &set.index.samples[candidate.sample];
        let info = set.info(candidate);
        let mut cutout = set
            .cut_out(sample, candidate.number, info)
            .with_context(|| format!("object image {} cannot be used", sample.sample_id))?;
        if is_mirrored {
            cutout.mirror();
        }
        let chosen = Chosen {
            info,
            source: (&set.index.split, &sample.sample_id),
            cutout,
        };
        Ok((chosen, is_mirrored))
    }
}

/// One of the numbers below `n` if `u` is uniformly distributed in [0, 1).
fn below(u: f64, n: usize) -> usize {
    ((n as f64 * u) as usize).min(n.saturating_sub(1))
}

impl ObjectSet {
    fn sample_id(&self, candidate: &Candidate) -> &str {
        &self.index.samples[candidate.sample].sample_id
    }

    fn info(&self, candidate: &Candidate) -> &ObjectInfo {
        &objects(&self.index.samples[candidate.sample])[candidate.number - 1]
    }

    fn cut_out(&self, sample: &Sample, number: usize, info: &ObjectInfo) -> Result<Cutout> {
        let mask = self.index.read_mask(&self.dir, sample)?;
        let image = self.index.read_image(sample)?;
        Cutout::new(&image, &mask, number, info)
    }
}

fn objects(sample: &Sample) -> &[ObjectInfo] {
    sample.proxy.as_ref().map_or(&[], |proxy| &proxy.objects)
}

/// Reads the index of a directory of objects.
fn objects_index(dir: &Path) -> Result<Index> {
    let index = Index::read(dir)?;
    ensure!(
        index.mask_kind == MaskKind::Object,
        "{} holds {:?} masks: --objects needs the output of `coco-proxy --objects`",
        dir.display(),
        index.mask_kind
    );
    Ok(index)
}

/// The categories that are asked for; `None` for all.
fn wanted(args: &Args) -> Result<Option<BTreeSet<String>>> {
    let given: BTreeSet<String> = args.categories.iter().cloned().collect();
    let mut held_out: Option<BTreeSet<String>> = None;
    for dir in &args.held_out_of {
        let found: BTreeSet<String> = Index::read(dir)?.held_out.into_iter().collect();
        ensure!(
            !found.is_empty(),
            "{} holds out no category: make it with `coco-proxy --hold-out`",
            dir.display()
        );
        ensure!(
            held_out.as_ref().is_none_or(|others| *others == found),
            "{} holds out other categories than {}: make both with the same --hold-out",
            dir.display(),
            args.held_out_of[0].display()
        );
        held_out = Some(found);
    }
    let Some(held_out) = held_out else {
        if given.is_empty() {
            tracing::warn!(
                "objects of all categories are taken: that a network never saw them in training is what --held-out-of ensures"
            );
        }
        return Ok((!given.is_empty()).then_some(given));
    };
    if let Some(seen) = given.iter().find(|name| !held_out.contains(*name)) {
        bail!(
            "--categories names {seen}, which {} does not hold out, so that training shows it",
            args.held_out_of[0].display()
        );
    }
    Ok(Some(if given.is_empty() { held_out } else { given }))
}

/// The objects of a data set that are whole.
fn whole_objects(set: usize, objects: &ObjectSet) -> Result<Vec<Candidate>> {
    let samples = objects.index.samples.par_iter().enumerate();
    let found = samples.map(|(position, sample)| {
        let is_candidate =
            |object: &ObjectInfo| is_uncut(object, sample) && object.visible >= VISIBLE;
        let infos = self::objects(sample);
        if !infos.iter().any(is_candidate) {
            return Ok(Vec::new());
        }
        let mask = objects.index.read_mask(&objects.dir, sample)?;
        let numbered = (1..).zip(infos);
        let whole = numbered.filter(|(number, object)| {
            is_candidate(object) && is_in_one_part(&mask, *number, object)
        });
        let candidates = whole.map(|(number, _)| Candidate {
            set,
            sample: position,
            number,
        });
        Ok(candidates.collect())
    });
    let found = found.collect::<Result<Vec<Vec<Candidate>>>>()?;
    Ok(found.concat())
}

/// Whether an object ends before the border of its image does.
fn is_uncut(object: &ObjectInfo, sample: &Sample) -> bool {
    let right = u64::from(object.left) + u64::from(object.width);
    let bottom = u64::from(object.top) + u64::from(object.height);
    object.left > 1
        && object.top > 1
        && right + 1 < u64::from(sample.width)
        && bottom + 1 < u64::from(sample.height)
}

/// Whether nearly all pixels of an object are connected (4 neighbors).
fn is_in_one_part(mask: &Mask, number: usize, object: &ObjectInfo) -> bool {
    let mut is_left: Vec<bool> = mask
        .labels
        .iter()
        .map(|l| usize::from(*l) == number)
        .collect();
    let (mut largest, width) = (0, mask.width);
    for first in 0..is_left.len() {
        if !is_left[first] {
            continue;
        }
        is_left[first] = false;
        let (mut queue, mut size) = (vec![first], 0_u64);
        while let Some(i) = queue.pop() {
            size += 1;
            let x = i % width;
            let neighbors = [
                (x > 0).then(|| i - 1),
                (x + 1 < width).then_some(i + 1),
                i.checked_sub(width),
                (i + width < is_left.len()).then_some(i + width),
            ];
            for j in neighbors.into_iter().flatten() {
                if std::mem::take(&mut is_left[j]) {
                    queue.push(j);
                }
            }
        }
        largest = largest.max(size);
    }
    largest as f64 >= IN_ONE_PART * object.area as f64
}

/// Checks that there are objects of all these categories.
fn ensure_known(sets: &[ObjectSet], categories: &[String]) -> Result<()> {
    let all = sets
        .iter()
        .flat_map(|set| &set.index.samples)
        .flat_map(objects);
    let known: BTreeSet<&str> = all.map(|object| object.category.as_str()).collect();
    if let Some(absent) = categories
        .iter()
        .find(|name| !known.contains(name.as_str()))
    {
        bail!(
            "--categories names {absent:?}, of which --objects have none; they have {}",
            list(known.into_iter())
        );
    }
    Ok(())
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
