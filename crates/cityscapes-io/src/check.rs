//! `check`: reads a whole data set, lists all faults, and summarizes its contents.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use anyhow::{Result, bail};
use artifacts::picture::{self, Orientation};
use comfy_table::{Table, presets};
use rayon::prelude::*;
use serde::Serialize;
use stage_cli::{Common, Progress, print_result};

use crate::binary_masks;
use crate::discover::{Discovered, SampleFiles, discover};
use crate::fault_groups::grouped;
use crate::legend::value_name;
use crate::manifest::DatasetManifest;
use crate::meanings::without_meaning::{ADVICE, WithoutMeaning};
use crate::source::Source;

/// Number of image sizes that are listed separately.
const SIZES_SHOWN: usize = 5;

/// Arguments of `check`.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct Args {
    /// Which data set is read, and where its files are.
    #[command(flatten)]
    pub source: Source,
    /// Accept a part of the data set: fewer samples than published or than there are labels for, and images of another
    /// size, are not faults.
    #[arg(long)]
    pub partial: bool,
}

/// Summary of one or several samples.
#[derive(Default)]
struct Contents {
    /// Number of images by width and height.
    sizes: BTreeMap<(u32, u32), u64>,
    /// Number of samples by the part of the data set that they belong to, see [`SampleFiles::group`].
    groups: BTreeMap<String, usize>,
    /// By mask value: the number of pixels, and the number of images that have such pixels.
    values: BTreeMap<u8, (u64, u64)>,
    /// Number of images without labels.
    n_unlabeled: usize,
    /// Number of samples with ignored pixels only.
    n_void: usize,
    /// One line for each sample that cannot be used, in the order of samples.
    faults: Vec<String>,
    /// Labels without a meaning, by what they are (`color`) and the label itself.
    unknown: BTreeMap<(&'static str, String), Unknown>,
    /// Number of samples that have such labels.
    n_unknown: usize,
}

/// A label without a meaning in one or several files.
struct Unknown {
    /// What is counted: pixels, or shapes.
    unit: &'static str,
    count: u64,
    n_images: u64,
    /// Where the first one is.
    first: String,
}

/// Decodes every image and every label file; prints one line for each kind of fault (with `-v` for each fault), then a summary.
///
/// # Errors
/// Returns an error if there is any fault, or the data set cannot be found at all.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let manifest = args.source.data_manifest()?;
    let found = discover(&manifest, &args.source.root)?;
    let progress = Progress::new("check", found.samples.len() as u64, "images");
    let contents = found.samples.par_iter().map(|sample| {
        let contents = read_sample(args, &found, sample);
        progress.advance(1);
        contents
    });
    let contents = contents.collect::<Vec<_>>();
    progress.finish();
    let contents = contents
        .into_iter()
        .fold(Contents::default(), Contents::merge);
    let n_void = if manifest.skip_void {
        contents.n_void
    } else {
        0
    };
    let n_found = found.samples.len() - n_void;
    let mut faults = file_faults(args, &found, &contents);
    let n_broken = faults.len() + contents.n_unknown;
    faults.extend(contents.unknown_labels());
    faults.extend(other_faults(args, &manifest, n_found, &contents));
    let lines = if common.verbose > 0 {
        faults.clone()
    } else {
        grouped(&faults)
    };
    for line in lines {
        print_result(line);
    }
    print_result(summary(&manifest, n_found, n_broken));
    print_result(contents.table(&manifest));
    if !faults.is_empty() {
        bail!(
            "{} in {} has faults ({}), see the lines above; download these files from {}",
            manifest.title,
            args.source.root.display(),
            faults.len(),
            manifest.url
        );
    }
    Ok(())
}

/// What is wrong with single files.
fn file_faults(args: &Args, found: &Discovered, contents: &Contents) -> Vec<String> {
    let faults = found.faults.iter().map(|fault| &fault.text);
    let incomplete = found.labels_without_image.iter();
    let incomplete = incomplete.filter(|_| !args.partial);
    let faults = faults.chain(incomplete).chain(&contents.faults);
    faults.cloned().collect()
}

/// What is wrong with the data set as a whole.
fn other_faults(
    args: &Args,
    manifest: &DatasetManifest,
    n_found: usize,
    contents: &Contents,
) -> Vec<String> {
    let root = &args.source.root;
    let mut faults = Vec::new();
    let values = contents.values.keys().copied();
    if binary_masks::are_all_void(manifest.mask_kind, values) {
        faults.push(binary_masks::message(root, manifest.mask_kind));
    }
    if !args.partial {
        let all = all_differences(manifest, n_found, contents).into_iter();
        faults.extend(all.map(|difference| format!("{}: {difference}", root.display())));
    }
    faults
}

/// Decodes the files of one sample.
fn read_sample(args: &Args, found: &Discovered, sample: &SampleFiles) -> Contents {
    let mut contents = Contents::default();
    if let Some(group) = &sample.group {
        contents.groups.insert(group.clone(), 1);
    }
    let image = args.source.root.join(&sample.image);
    // the whole image, since a header does not show whether the rest is damaged
    let size = match picture::read_rgb(&image, Orientation::Stored) {
        Ok(picture) => picture.dimensions(),
        Err(error) => {
            contents.faults.push(format!("{error:#}"));
            return contents;
        }
    };
    contents.sizes.insert(size, 1);
    let Some(labels) = &sample.labels else {
        contents.n_unlabeled = 1;
        return contents;
    };
    match found.read_labels(labels, &image, size) {
        Err(error) => match error.downcast_ref::<WithoutMeaning>() {
            Some(unknown) => contents.add_unknown(unknown),
            None => contents.faults.push(format!("{error:#}")),
        },
        Ok(mask) => {
            let mut counts = [0u64; 256];
            for &value in &mask.labels {
                counts[usize::from(value)] += 1;
            }
            let present = (0..=u8::MAX).zip(counts).filter(|&(_, n)| n > 0);
            contents.values = present.map(|(value, n)| (value, (n, 1))).collect();
            contents.n_void = usize::from(counts[255] == mask.labels.len() as u64);
        }
    }
    contents
}

/// How the data set differs from the published one, including the number of samples of each part.
fn all_differences(manifest: &DatasetManifest, n_found: usize, contents: &Contents) -> Vec<String> {
    let mut all = manifest.differences(n_found, contents.sizes.keys().copied());
    if let Some(by) = &manifest.expected_by {
        for (group, &expected) in &by.samples {
            let n = contents.groups.get(group).copied().unwrap_or(0);
            if n != expected {
                let name = &by.placeholder;
                all.push(format!("{name} {group}: {n} samples instead of {expected}"));
            }
        }
    }
    all
}

/// How many samples there are, should be, and are broken.
fn summary(manifest: &DatasetManifest, n_found: usize, n_broken: usize) -> Table {
    let expected = manifest.expected_samples.map(|n| n.to_string());
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["data set", "found", "expected", "broken"]);
    table.add_row([
        manifest.title.clone(),
        n_found.to_string(),
        expected.unwrap_or_else(|| "any".to_owned()),
        n_broken.to_string(),
    ]);
    table
}

impl Contents {
    fn merge(mut self, other: Self) -> Self {
        for (size, n) in other.sizes {
            *self.sizes.entry(size).or_default() += n;
        }
        for (group, n) in other.groups {
            *self.groups.entry(group).or_default() += n;
        }
        for (value, (pixels, images)) in other.values {
            let total = self.values.entry(value).or_default();
            *total = (total.0 + pixels, total.1 + images);
        }
        for (label, unknown) in other.unknown {
            match self.unknown.entry(label) {
                Entry::Vacant(place) => _ = place.insert(unknown),
                Entry::Occupied(mut known) => {
                    known.get_mut().count += unknown.count;
                    known.get_mut().n_images += unknown.n_images;
                }
            }
        }
        self.n_unknown += other.n_unknown;
        self.n_unlabeled += other.n_unlabeled;
        self.n_void += other.n_void;
        self.faults.extend(other.faults);
        self
    }

    /// Adds the labels without a meaning of one sample.
    fn add_unknown(&mut self, found: &WithoutMeaning) {
        self.n_unknown = 1;
        for label in &found.labels {
            let unknown = Unknown {
                unit: found.unit,
                count: label.count,
                n_images: 1,
                first: format!("{} of {}", label.first, found.path.display()),
            };
            self.unknown
                .insert((found.noun, label.name.clone()), unknown);
        }
    }

    /// One line for each label without a meaning.
    fn unknown_labels(&self) -> impl Iterator<Item = String> {
        self.unknown.iter().map(|((noun, name), unknown)| {
            let Unknown {
                unit,
                count,
                n_images,
                first,
            } = unknown;
            format!(
                "the {noun} {name} has no meaning: {count} {unit} in {n_images} images, the first at {first}; {ADVICE}"
            )
        })
    }

    /// Image sizes and labels with their frequencies.
    fn table(&self, manifest: &DatasetManifest) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["", "share of pixels", "images"]);
        let mut sizes: Vec<_> = self.sizes.iter().collect();
        sizes.sort_by_key(|&(_, &n)| Reverse(n));
        for ((width, height), n) in sizes.iter().take(SIZES_SHOWN) {
            let size = format!("{width}x{height} pixels");
            table.add_row([size, String::new(), n.to_string()]);
        }
        if let Some(others) = sizes.get(SIZES_SHOWN..).filter(|others| !others.is_empty()) {
            let n: u64 = others.iter().map(|&(_, n)| n).sum();
            table.add_row([
                format!("{} other sizes", others.len()),
                String::new(),
                n.to_string(),
            ]);
        }
        if self.n_unlabeled > 0 {
            let n = self.n_unlabeled.to_string();
            table.add_row(["no labels".to_owned(), String::new(), n]);
        }
        let all: u64 = self.values.values().map(|v| v.0).sum();
        for (&value, (pixels, images)) in &self.values {
            let percent = 100.0 * *pixels as f64 / all as f64;
            table.add_row([
                format!(
                    "{value:>3} {}",
                    value_name(manifest.mask_kind, manifest.mask_classes(), value)
                ),
                format!("{percent:>7.3} %"),
                images.to_string(),
            ]);
        }
        table
    }
}
