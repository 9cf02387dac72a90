//! Predicted segments, true objects and their overlaps of one data set of one run, joined by `sample_id`.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::tables::{read_table, schema};
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};

/// Everything segment-level that `segment-metrics` found; indices take the place of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detections {
    /// Samples, sorted.
    pub sample_ids: Vec<String>,
    /// Predicted segments, sorted by sample and number.
    pub segments: Vec<Segment>,
    /// True objects, sorted by sample and number.
    pub objects: Vec<Object>,
    /// Intersections that are not empty.
    pub overlaps: Vec<Overlap>,
}

/// A predicted segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Index of its sample.
    pub sample: usize,
    /// Number in the component map.
    pub id: u32,
    /// Pixels.
    pub size: u64,
    /// Whether it meets no object.
    pub is_false_positive: bool,
}

/// A true out-of-distribution object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// Index of its sample.
    pub sample: usize,
    /// Number.
    pub id: u32,
    /// Pixels.
    pub size: u64,
    /// How far away it seems to be.
    pub distance: Distance,
}

/// Third of the image where an object's centroid is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// Upper third.
    Far,
    /// Middle third.
    Middle,
    /// Lower third.
    Near,
}

impl Distance {
    /// All, far ones first.
    pub const ALL: [Self; 3] = [Self::Far, Self::Middle, Self::Near];

    /// Of a mean row, in pixels from the top, in an image of `height` rows.
    pub fn of(centroid_row: f64, height: u32) -> Self {
        // rows are counted at their centers
        let thirds = 3.0 * (centroid_row + 0.5) / f64::from(height);
        if thirds < 1.0 {
            Self::Far
        } else if thirds < 2.0 {
            Self::Middle
        } else {
            Self::Near
        }
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Far => "far (upper third)",
            Self::Middle => "middle third",
            Self::Near => "near (lower third)",
        }
    }
}

/// Pixels that a segment and an object share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Index of the segment.
    pub segment: usize,
    /// Index of the object.
    pub object: usize,
    /// Pixels, at least 1.
    pub n_pixels: u64,
}

/// What the meta classifier says of a segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// Probability that the segment is a false positive.
    pub false_positive_prob: f64,
    /// Whether it is dropped.
    pub is_rejected: bool,
}

impl Detections {
    /// Reads the tables of `dir`, an output of `segment-metrics`.
    ///
    /// # Errors
    /// If a table is absent, damaged, unsorted, or names a sample, segment or object that the others do not have.
    pub fn read(dir: &Path) -> Result<Self> {
        let read = |table: &schema::Table| read_table(&dir.join(table.file_name()), table);
        let samples = read(&schema::samples())?;
        let sample_ids: Vec<String> = strings(&samples, "sample_id")?.map(str::to_owned).collect();
        let mut all = Self {
            sample_ids,
            ..Self::default()
        };
        let parse = || -> Result<Self> {
            ensure!(
                all.sample_ids.is_sorted_by(|a, b| a < b),
                "samples.parquet is not sorted by sample_id, or names one twice"
            );
            // the columns of classes are not needed, so any number of classes will do
            all.read_segments(&read(&schema::segments(0))?)?;
            let heights = samples.column("height")?.u32()?.into_no_null_iter();
            let heights: Vec<u32> = heights.collect();
            all.read_objects(&read(&schema::objects())?, &heights)?;
            all.read_overlaps(&read(&schema::overlaps())?)?;
            Ok(all)
        };
        parse().with_context(|| {
            format!(
                "the tables in {} cannot be used (if they do not fit together, run `segment-metrics` again with --force)",
                dir.display()
            )
        })
    }

    /// Reads `decisions.parquet` of `dir`, an output of `meta-clf`: one decision per segment, in their order.
    ///
    /// # Errors
    /// If the table is absent or damaged, or was not made from these segments.
    pub fn read_decisions(&self, dir: &Path) -> Result<Vec<Decision>> {
        let table = schema::decisions();
        let path = dir.join(table.file_name());
        let frame = read_table(&path, &table)?;
        let keys = self.keys(&frame, "segment_id")?;
        let same = keys.len() == self.segments.len()
            && keys
                .iter()
                .zip(&self.segments)
                .all(|(&key, s)| key == Some((s.sample, s.id)));
        ensure!(
            same,
            "{} was not made from the present segments: run `meta-clf` again",
            path.display()
        );
        let probs = frame.column("false_positive_prob")?.f64()?;
        let rejected = bools(&frame, "is_rejected")?;
        let decisions =
            probs
                .into_no_null_iter()
                .zip(rejected)
                .map(|(false_positive_prob, is_rejected)| Decision {
                    false_positive_prob,
                    is_rejected,
                });
        Ok(decisions.collect())
    }

    /// Which segments remain, one value per segment: those that `decisions` do not reject, all without decisions.
    pub fn kept(&self, decisions: Option<&[Decision]>) -> Vec<bool> {
        match decisions {
            Some(decisions) => decisions.iter().map(|d| !d.is_rejected).collect(),
            None => vec![true; self.segments.len()],
        }
    }

    fn read_segments(&mut self, frame: &DataFrame) -> Result<()> {
        let keys = self.known_keys(frame, "segment_id", "segments")?;
        let sizes = frame.column("size")?.f64()?.into_no_null_iter();
        let wrong = bools(frame, "is_false_positive")?;
        for (((sample, id), size), is_false_positive) in keys.into_iter().zip(sizes).zip(wrong) {
            ensure!(
                size >= 1.0 && size.fract() == 0.0,
                "segment {id} of {} has {size} pixels",
                self.sample_ids[sample]
            );
            self.segments.push(Segment {
                sample,
                id,
                size: size as u64,
                is_false_positive,
            });
        }
        Ok(())
    }

    /// `heights`: rows of each sample.
    fn read_objects(&mut self, frame: &DataFrame, heights: &[u32]) -> Result<()> {
        let keys = self.known_keys(frame, "object_id", "objects")?;
        let sizes = frame.column("size")?.u64()?.into_no_null_iter();
        let rows = frame.column("centroid_row")?.f64()?.into_no_null_iter();
        let object = |(((sample, id), size), row): (((usize, u32), u64), f64)| Object {
            sample,
            id,
            size,
            distance: Distance::of(row, heights[sample]),
        };
        self.objects = keys.into_iter().zip(sizes).zip(rows).map(object).collect();
        Ok(())
    }

    fn read_overlaps(&mut self, frame: &DataFrame) -> Result<()> {
        let segments = self.keys(frame, "segment_id")?;
        let objects = self.keys(frame, "object_id")?;
        let pixels = frame.column("n_pixels")?.u64()?.into_no_null_iter();
        for (row, ((s, o), n_pixels)) in segments.into_iter().zip(objects).zip(pixels).enumerate() {
            let segment = s.and_then(|key| {
                let order = |s: &Segment| (s.sample, s.id).cmp(&key);
                self.segments.binary_search_by(order).ok()
            });
            let object = o.and_then(|key| {
                let order = |o: &Object| (o.sample, o.id).cmp(&key);
                self.objects.binary_search_by(order).ok()
            });
            let (segment, object) = segment.zip(object).with_context(|| {
                format!("row {row} of overlaps.parquet names an unknown sample, segment or object")
            })?;
            let fits = n_pixels >= 1
                && n_pixels <= self.segments[segment].size
                && n_pixels <= self.objects[object].size;
            ensure!(
                fits,
                "row {row} of overlaps.parquet: {n_pixels} pixels cannot be in both"
            );
            self.overlaps.push(Overlap {
                segment,
                object,
                n_pixels,
            });
        }
        Ok(())
    }

    /// Keys (sample index, number) of a table's rows; `None` for an unknown sample.
    fn keys(&self, frame: &DataFrame, number: &str) -> Result<Vec<Option<(usize, u32)>>> {
        let index = |id: &str| {
            self.sample_ids
                .binary_search_by(|s| s.as_str().cmp(id))
                .ok()
        };
        let numbers = frame.column(number)?.u32()?.into_no_null_iter();
        let keys = strings(frame, "sample_id")?.zip(numbers);
        Ok(keys.map(|(id, n)| Some((index(id)?, n))).collect())
    }

    /// As [`Self::keys`], for a table whose keys must be known, sorted and unique.
    fn known_keys(
        &self,
        frame: &DataFrame,
        number: &str,
        table: &str,
    ) -> Result<Vec<(usize, u32)>> {
        let keys = self.keys(frame, number)?;
        let known: Option<Vec<_>> = keys.into_iter().collect();
        let known = known.with_context(|| {
            format!("{table}.parquet names a sample that samples.parquet does not have")
        })?;
        ensure!(
            known.is_sorted_by(|a, b| a < b),
            "{table}.parquet is not sorted by its keys, or names one twice"
        );
        Ok(known)
    }
}

/// Values of a text column without missing ones, as the schema's check made sure.
pub(crate) fn strings<'a>(
    frame: &'a DataFrame,
    name: &str,
) -> Result<impl Iterator<Item = &'a str> + 'a> {
    Ok(frame.column(name)?.str()?.iter().flatten())
}

/// Values of a truth column without missing ones, as the schema's check made sure.
pub(crate) fn bools<'a>(
    frame: &'a DataFrame,
    name: &str,
) -> Result<impl Iterator<Item = bool> + 'a> {
    Ok(frame.column(name)?.bool()?.iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_put_into_thirds() {
        let cases = [
            (0.0, Distance::Far),
            (29.0, Distance::Far),
            (30.0, Distance::Middle),
            (59.0, Distance::Middle),
            (60.0, Distance::Near),
            (89.0, Distance::Near),
        ];
        for (row, expected) in cases {
            assert_eq!(Distance::of(row, 90), expected, "{row}");
        }
    }
}
