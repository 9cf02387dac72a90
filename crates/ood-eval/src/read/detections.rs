//! Predicted segments, true objects and their overlaps of one data set of one run, joined by `sample_id`.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::basis::Basis;
use artifacts::tables::read_table_parts;
use artifacts::tables::schema::{self, Table};
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};

use super::checks::{in_unit_interval, same_lengths};

/// The columns that every table of segments has, whatever it was measured from.
pub(super) fn common_segments() -> Table {
    schema::segments_of(Basis::NOTHING)
}

/// Everything that `segment-metrics` wrote about segments and objects; indices take the place of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detections {
    /// Ids of the samples, sorted.
    pub sample_ids: Vec<String>,
    /// Predicted segments, sorted by sample and number.
    pub segments: Vec<Segment>,
    /// True objects, sorted by sample and number.
    pub objects: Vec<Object>,
    /// Pairs of a segment and an object that share pixels.
    pub overlaps: Vec<Overlap>,
}

/// A predicted segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Index of its sample.
    pub sample: usize,
    /// Number in the component map, from 1.
    pub id: u32,
    /// Number of pixels, at least 1.
    pub size: u64,
    /// Whether none of its pixels is out-of-distribution.
    pub is_false_positive: bool,
}

/// A true out-of-distribution object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// Index of its sample.
    pub sample: usize,
    /// Number within the sample, from 1.
    pub id: u32,
    /// Number of pixels.
    pub size: u64,
    /// Its apparent distance.
    pub distance: Distance,
}

/// Third of the image that contains an object's centroid, which stands for its distance.
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
    /// All distances, far ones first.
    pub const ALL: [Self; 3] = [Self::Far, Self::Middle, Self::Near];

    /// The distance of an object whose centroid is in the row `centroid_row`, in pixels from the top, of an image of `height` rows.
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

    /// Name in tables.
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
    /// Number of shared pixels, at least 1.
    pub n_pixels: u64,
}

/// The meta classifier's decision on a segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// Probability that the segment is a false positive, in [0, 1].
    pub false_positive_prob: f64,
    /// Whether it is dropped.
    pub is_rejected: bool,
}

impl Detections {
    /// Reads the tables of `dir`, an output of `segment-metrics`.
    ///
    /// # Errors
    /// Returns an error if a table is absent, damaged or unsorted, has a value out of range, or names a sample, segment or object
    /// that the others do not have.
    pub fn read(dir: &Path) -> Result<Self> {
        let mut all = Self::default();
        all.read_tables(dir).with_context(|| {
            format!(
                "the tables in {} cannot be used (if they do not fit together, run `segment-metrics` again with --force)",
                dir.display()
            )
        })?;
        Ok(all)
    }

    /// Reads the tables part by part and checks the order of the keys in each: a table of many equal rows, which takes little room
    /// in a file, ends after its first part.
    fn read_tables(&mut self, dir: &Path) -> Result<()> {
        let mut sizes = Vec::new();
        for_each_part(dir, &schema::samples(), |part| {
            self.read_samples(part, &mut sizes)
        })?;
        for_each_part(dir, &common_segments(), |part| {
            self.read_segments(part, &sizes)
        })?;
        for_each_part(dir, &schema::objects(), |part| {
            self.read_objects(part, &sizes)
        })?;
        for_each_part(dir, &schema::overlaps(), |part| self.read_overlaps(part))
    }

    fn read_samples(&mut self, part: &DataFrame, sizes: &mut Vec<Size>) -> Result<()> {
        let heights = part.column("height")?.u32()?.into_no_null_iter();
        let widths = part.column("width")?.u32()?.into_no_null_iter();
        for (id, (height, width)) in strings(part, "sample_id")?.zip(heights.zip(widths)) {
            ensure!(
                self.sample_ids.last().is_none_or(|last| last.as_str() < id),
                "samples.parquet is not sorted by sample_id, or names one twice ({id})"
            );
            ensure!(
                height > 0 && width > 0,
                "samples.parquet: the image {id} has {width}x{height} pixels"
            );
            self.sample_ids.push(id.to_owned());
            sizes.push(Size { height, width });
        }
        Ok(())
    }

    /// Reads `decisions.parquet` of `dir`, an output of `meta-clf`: one decision per segment, in their order.
    ///
    /// # Errors
    /// Returns an error if the table is absent or damaged, or was not made from these segments.
    pub fn read_decisions(&self, dir: &Path) -> Result<Vec<Decision>> {
        let table = schema::decisions();
        let path = dir.join(table.file_name());
        let mut all = Vec::new();
        let is_same = for_each_part(dir, &table, |part| {
            in_unit_interval(part, &["false_positive_prob"])?;
            let keys = self.keys(part, "segment_id")?;
            let expected = self.segments.iter().skip(all.len());
            let expected = expected.map(|s| Some((s.sample, s.id)));
            ensure!(
                keys.iter().copied().eq(expected.take(keys.len())),
                "its rows are of other segments"
            );
            let probs = part.column("false_positive_prob")?.f64()?;
            let rejected = bools(part, "is_rejected")?;
            let decisions = probs.into_no_null_iter().zip(rejected);
            all.extend(
                decisions.map(|(false_positive_prob, is_rejected)| Decision {
                    false_positive_prob,
                    is_rejected,
                }),
            );
            Ok(())
        });
        is_same
            .and_then(|()| {
                ensure!(all.len() == self.segments.len(), "it has too few rows");
                Ok(())
            })
            .with_context(|| {
                format!(
                    "{} cannot be used with the present segments: run `meta-clf` again",
                    path.display()
                )
            })?;
        Ok(all)
    }

    /// Which segments remain, one value per segment: those that `decisions` do not reject, all without decisions.
    pub fn kept(&self, decisions: Option<&[Decision]>) -> Vec<bool> {
        match decisions {
            Some(decisions) => decisions.iter().map(|d| !d.is_rejected).collect(),
            None => vec![true; self.segments.len()],
        }
    }

    fn read_segments(&mut self, frame: &DataFrame, image_sizes: &[Size]) -> Result<()> {
        in_unit_interval(frame, &["adjusted_iou"]).context("segments.parquet")?;
        let last = self.segments.last().map(|s| (s.sample, s.id));
        let keys = self.known_keys(frame, "segment_id", "segments", last)?;
        let sizes = frame.column("size")?.f64()?.into_no_null_iter();
        let wrong = bools(frame, "is_false_positive")?;
        for (((sample, id), size), is_false_positive) in keys.into_iter().zip(sizes).zip(wrong) {
            ensure!(
                size >= 1.0 && size.fract() == 0.0 && size <= image_sizes[sample].pixels() as f64,
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

    fn read_objects(&mut self, frame: &DataFrame, image_sizes: &[Size]) -> Result<()> {
        in_unit_interval(frame, &["adjusted_iou", "recall"]).context("objects.parquet")?;
        let last = self.objects.last().map(|o| (o.sample, o.id));
        let keys = self.known_keys(frame, "object_id", "objects", last)?;
        let sizes = frame.column("size")?.u64()?.into_no_null_iter();
        let rows = frame.column("centroid_row")?.f64()?.into_no_null_iter();
        for (((sample, id), size), row) in keys.into_iter().zip(sizes).zip(rows) {
            let image = image_sizes[sample];
            ensure!(
                (1..=image.pixels()).contains(&size)
                    && (0.0..f64::from(image.height)).contains(&row),
                "object {id} of {} has {size} pixels around row {row}, and the image has {}x{} pixels",
                self.sample_ids[sample],
                image.width,
                image.height
            );
            self.objects.push(Object {
                sample,
                id,
                size,
                distance: Distance::of(row, image.height),
            });
        }
        Ok(())
    }

    fn read_overlaps(&mut self, frame: &DataFrame) -> Result<()> {
        let segments = self.keys(frame, "segment_id")?;
        let objects = self.keys(frame, "object_id")?;
        let pixels = frame.column("n_pixels")?.u64()?.into_no_null_iter();
        for ((s, o), n_pixels) in segments.into_iter().zip(objects).zip(pixels) {
            let row = self.overlaps.len();
            let segment = s.and_then(|key| self.segment_at(key));
            let object = o.and_then(|key| self.object_at(key));
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
            let last = self.overlaps.last().map(|o| (o.segment, o.object));
            ensure!(
                last < Some((segment, object)),
                "overlaps.parquet is not sorted by its keys, or names a pair twice (row {row})"
            );
            self.overlaps.push(Overlap {
                segment,
                object,
                n_pixels,
            });
        }
        Ok(())
    }

    /// Index of the segment with the key (sample index, number).
    fn segment_at(&self, key: (usize, u32)) -> Option<usize> {
        let order = |s: &Segment| (s.sample, s.id).cmp(&key);
        self.segments.binary_search_by(order).ok()
    }

    /// Index of the object with the key (sample index, number).
    fn object_at(&self, key: (usize, u32)) -> Option<usize> {
        let order = |o: &Object| (o.sample, o.id).cmp(&key);
        self.objects.binary_search_by(order).ok()
    }

    /// Index of a sample, if there is one with this id.
    pub fn sample_at(&self, id: &str) -> Option<usize> {
        let ids = &self.sample_ids;
        ids.binary_search_by(|s| s.as_str().cmp(id)).ok()
    }

    /// Keys (sample index, number) of a table's rows; `None` for an unknown sample.
    fn keys(&self, frame: &DataFrame, number: &str) -> Result<Vec<Option<(usize, u32)>>> {
        let numbers = frame.column(number)?.u32()?.into_no_null_iter();
        let keys = strings(frame, "sample_id")?.zip(numbers);
        Ok(keys.map(|(id, n)| Some((self.sample_at(id)?, n))).collect())
    }

    /// The same as [`Self::keys`] for a table whose keys must be known, sorted and unique, and come after the `last` of the rows
    /// before.
    fn known_keys(
        &self,
        frame: &DataFrame,
        number: &str,
        table: &str,
        last: Option<(usize, u32)>,
    ) -> Result<Vec<(usize, u32)>> {
        let keys = self.keys(frame, number)?;
        let known: Option<Vec<_>> = keys.into_iter().collect();
        let known = known.with_context(|| {
            format!("{table}.parquet names a sample that samples.parquet does not have")
        })?;
        ensure!(
            known.is_sorted_by(|a, b| a < b)
                && known.first().is_none_or(|&first| last < Some(first)),
            "{table}.parquet is not sorted by its keys, or names one twice"
        );
        Ok(known)
    }
}

/// Size of an image in pixels.
#[derive(Clone, Copy, Debug)]
struct Size {
    height: u32,
    width: u32,
}

impl Size {
    fn pixels(self) -> u64 {
        u64::from(self.height) * u64::from(self.width)
    }
}

/// Calls `visit` with some rows of the table in `dir` at a time.
pub(super) fn for_each_part(
    dir: &Path,
    table: &schema::Table,
    mut visit: impl FnMut(&DataFrame) -> Result<()>,
) -> Result<()> {
    for part in read_table_parts(&dir.join(table.file_name()), table)? {
        let part = part?;
        same_lengths(&part).context(table.file_name())?;
        visit(&part)?;
    }
    Ok(())
}

/// Values of a text column, none of which is missing: the schema was checked.
pub(crate) fn strings<'a>(
    frame: &'a DataFrame,
    name: &str,
) -> Result<impl Iterator<Item = &'a str> + 'a> {
    Ok(frame.column(name)?.str()?.iter().flatten())
}

/// Values of a Boolean column, none of which is missing: the schema was checked.
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
