//! `check`: reads a whole data set and says what is in it.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Result;
use artifacts::labels::{CLASS_NAMES, MaskKind};
use rayon::prelude::*;
use serde::Serialize;
use stage_cli::{Progress, print_result};

use crate::discover::{Discovered, Found, check_size, image_size};
use crate::prepare::Source;

/// Arguments of `check`.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct Args {
    /// Where the data set is.
    #[command(flatten)]
    pub source: Source,
}

/// What is in some samples.
#[derive(Default)]
struct Contents {
    /// Images per width and height.
    sizes: BTreeMap<(u32, u32), u64>,
    /// Per mask value: pixels, and images that have any.
    values: BTreeMap<u8, (u64, u64)>,
}

/// Reads every label file and every image's header; prints sizes and the share of each label.
///
/// # Errors
/// For the first thing that `prepare` would refuse.
pub fn run(args: &Args) -> Result<()> {
    let (manifest, found) = args.source.open()?;
    let progress = Progress::new("check", found.samples.len() as u64, "images");
    let contents = found
        .samples
        .par_iter()
        .map(|sample| {
            let contents = read_sample(args, &found, sample)?;
            progress.advance(1);
            Ok(contents)
        })
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .fold(Contents::default(), Contents::merge);
    progress.finish();
    let sizes = contents.sizes.keys().copied();
    args.source.compare(&manifest, found.samples.len(), sizes)?;
    print_result(format!(
        "{}: {} samples",
        manifest.title,
        found.samples.len()
    ));
    print_result(contents.describe(manifest.mask_kind).trim_end());
    Ok(())
}

fn read_sample(args: &Args, found: &Discovered, sample: &Found) -> Result<Contents> {
    let image = args.source.root.join(&sample.image);
    let size = image_size(&image)?;
    let mask = found.read_labels(sample)?;
    check_size(&image, size, &sample.label_file, &mask)?;
    let mut counts = [0u64; 256];
    for &value in &mask.labels {
        counts[usize::from(value)] += 1;
    }
    let present = (0..=u8::MAX).zip(counts).filter(|&(_, n)| n > 0);
    Ok(Contents {
        sizes: BTreeMap::from([(size, 1)]),
        values: present.map(|(value, n)| (value, (n, 1))).collect(),
    })
}

impl Contents {
    fn merge(mut self, other: Self) -> Self {
        for (size, n) in other.sizes {
            *self.sizes.entry(size).or_default() += n;
        }
        for (value, (pixels, images)) in other.values {
            let total = self.values.entry(value).or_default();
            *total = (total.0 + pixels, total.1 + images);
        }
        self
    }

    fn describe(&self, kind: MaskKind) -> String {
        let mut text = String::new();
        for ((width, height), n) in &self.sizes {
            let _ = writeln!(text, "  {n} images of {width}x{height}");
        }
        let all: u64 = self.values.values().map(|v| v.0).sum();
        for (&value, (pixels, images)) in &self.values {
            let percent = 100.0 * *pixels as f64 / all as f64;
            let name = value_name(kind, value);
            let _ = writeln!(
                text,
                "  {value:>3} {name:<14} {percent:>7.3} % of pixels, in {images} images"
            );
        }
        text
    }
}

fn value_name(kind: MaskKind, value: u8) -> &'static str {
    match (kind, value) {
        (_, 255) => "ignore",
        (MaskKind::TrainId, class) => CLASS_NAMES.get(usize::from(class)).copied().unwrap_or("?"),
        (MaskKind::Eval, 0) => "in",
        (MaskKind::Eval, 1) => "out",
        (MaskKind::Eval, _) => "unrated",
        (MaskKind::Proxy, 0) => "background",
        (MaskKind::Proxy, _) => "object",
    }
}
