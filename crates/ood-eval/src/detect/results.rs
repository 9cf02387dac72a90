//! The tables and the page of all images.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use artifacts::atomic::{write_atomic, write_bytes};
use artifacts::index::Sample;
use artifacts::tables::{schema, write_table};

use super::files::{Files, coco_image};
use super::found_in_sample::FoundInSample;
use super::page::{self, PAGE, PageOptions};
use super::ranking::{RankedImage, images_csv, images_frame, rank};

/// How much was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Images.
    pub samples: u64,
    /// Segments that are kept.
    pub kept: u64,
    /// Segments that the meta classifier rejects.
    pub rejected: u64,
}

impl Counts {
    /// The counts by their names in the manifest.
    pub fn named(&self) -> [(&'static str, u64); 3] {
        [
            ("samples", self.samples),
            ("kept_segments", self.kept),
            ("rejected_segments", self.rejected),
        ]
    }

    /// The counts by these names, as a manifest has them.
    ///
    /// # Errors
    /// Returns an error if one is missing.
    pub fn of_manifest(counts: &BTreeMap<String, u64>) -> Result<Self> {
        let count = |name: &str| {
            let count = counts.get(name).copied();
            count.with_context(|| format!("the manifest has no count {name}"))
        };
        Ok(Self {
            samples: count("samples")?,
            kept: count("kept_segments")?,
            rejected: count("rejected_segments")?,
        })
    }
}

/// Writes `detections.csv`, `detections.json`, `detections_coco.json`, `images.csv`, `images.parquet` and the page into
/// `output`, where the overlays are. `images` are what was found in `samples`, in their order; only what the page and the
/// ranking need of each stays in memory.
///
/// # Errors
/// Returns the first error of `images`, or an error if a file cannot be read or written.
pub fn write_results(
    output: &Path,
    options: PageOptions<'_>,
    samples: &[&Sample],
    images: impl Iterator<Item = Result<FoundInSample>>,
) -> Result<Counts> {
    let mut images = write_segments(output, &options.score.meaning(), samples, images)?;
    rank(&mut images);
    write_images(&images, output)?;
    let html = page::render(options, output, &images)?;
    write_bytes(&output.join(PAGE), html.as_bytes())?;
    Ok(Counts {
        samples: images.len() as u64,
        kept: images.iter().map(|image| image.n_kept).sum(),
        rejected: images.iter().map(|image| image.n_rejected).sum(),
    })
}

/// Writes the images, which are sorted, as CSV and as parquet.
fn write_images(images: &[RankedImage], dir: &Path) -> Result<()> {
    let table = schema::ranked_images();
    let path = dir.join(table.file_name());
    write_table(&path, &table, &images_frame(images)?)?;
    write_bytes(&dir.join("images.csv"), images_csv(images).as_bytes())
}

/// Writes the files of segments; `meaning` says what their score is.
fn write_segments(
    output: &Path,
    meaning: &str,
    samples: &[&Sample],
    images: impl Iterator<Item = Result<FoundInSample>>,
) -> Result<Vec<RankedImage>> {
    let described = (1..).zip(samples).map(|(number, sample)| {
        let size = (sample.image_width, sample.image_height);
        let file = sample.image.display().to_string();
        coco_image(number, &file, size, &sample.sample_id)
    });
    let described: Vec<_> = described.collect();
    let mut ranked = Vec::with_capacity(samples.len());
    let (csv, json) = ("detections.csv", "detections.json");
    write_atomic(&output.join(csv), |csv| {
        write_atomic(&output.join(json), |json| {
            write_atomic(&output.join("detections_coco.json"), |coco| {
                let mut files = Files::begin([csv, json, coco], meaning, &described)?;
                for found in images {
                    let FoundInSample { image, overlay } = found?;
                    files.add(&image)?;
                    ranked.push(RankedImage::new(&image, overlay));
                }
                files.end()
            })
        })
    })?;
    Ok(ranked)
}
