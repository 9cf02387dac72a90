//! All metrics of a run on a data set, each defined once.
//!
//! To add a metric, add a [`Definition`] and list it in [`METRICS`]. Results, CSV, tables on the terminal and in Markdown and
//! LaTeX, comparisons of runs, confidence intervals and the report take everything from there.
//!
//! A [`Formula`] says what a metric is computed from. It is used twice: on a data set as it is, and on resamples of its images
//! for confidence intervals (see [`bootstrap`](super::bootstrap)), so that the two cannot differ.

use std::collections::BTreeMap;
use std::fmt;

use artifacts::score::Score;
use measures::curves;
use measures::pixel_counts::BinCount;
use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::segment_totals::SegmentTotals;
use crate::read::sample_pixels::SamplePixels;

/// Everything there is to say about a metric.
#[derive(Debug)]
pub struct Definition {
    /// Name in files.
    pub name: &'static str,
    /// Name in tables and charts.
    pub label: &'static str,
    /// What it means, for readers of the report who are new to the field. There, pixels and objects are unknown or known.
    pub meaning: &'static str,
    /// Whether higher or lower values are better.
    pub better: Better,
    /// What the values are.
    pub unit: Unit,
    /// Whether it has a column in the main table of a data set and on the terminal. All metrics of scores are in the table of all
    /// scores, all intervals in the table of intervals.
    pub is_main: bool,
    /// Columns of files are sorted by this; tables follow the order of [`METRICS`].
    pub column: u8,
    /// How it is computed.
    pub formula: Formula,
}

/// Which values are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// The higher the better.
    Higher,
    /// The lower the better.
    Lower,
}

/// What values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A share in [0, 1], shown in percent.
    Share,
    /// A number of things.
    Count,
}

/// What a metric is computed from. All return `None` where the metric is not defined.
#[derive(Clone, Copy, Debug)]
pub enum Formula {
    /// From the histogram of a score over the pixels of all images. Resamples use the coarse histograms of single images.
    Pixels(fn(&[BinCount]) -> Option<f64>),
    /// From the numbers of single images for a score.
    Images(fn(&[Image<'_>]) -> Option<f64>),
    /// From the kept segments and the true objects of all images.
    Segments(fn(&SegmentTotals) -> Option<f64>),
}

/// An image, and how often it is in a resample, at least once.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// What is known of a score in this image.
    pub pixels: &'a SamplePixels,
    /// Number of times the image counts.
    pub times: u8,
}

/// Area under the ROC curve: the probability that an out-of-distribution pixel has a higher score than an in-distribution pixel,
/// counting ties half. `None` unless there are pixels of both kinds.
pub static AUROC: Definition = Definition {
    name: "auroc",
    label: "AUROC",
    meaning: "Probability that an unknown pixel has a higher score than a known one. 50 % is guessing. Insensitive to how rare unknown pixels are.",
    better: Better::Higher,
    unit: Unit::Share,
    is_main: true,
    column: 0,
    formula: Formula::Pixels(curves::auroc),
};

/// False positive rate at the highest threshold with a true positive rate of at least 0.95, where out-of-distribution pixels are
/// positive. `None` unless there are pixels of both kinds.
pub static FPR95: Definition = Definition {
    name: "fpr95",
    label: "FPR95",
    meaning: "Share of known pixels that are flagged at the first threshold at which 95 % of the unknown pixels are.",
    better: Better::Lower,
    unit: Unit::Share,
    is_main: true,
    column: 2,
    formula: Formula::Pixels(curves::fpr95),
};

/// Area under the precision-recall curve as average precision, where out-of-distribution pixels are positive. `None` unless there
/// are pixels of both kinds.
pub static AUPRC: Definition = Definition {
    name: "auprc",
    label: "AUPRC",
    meaning: "Average precision: precision averaged over recall. Guessing gives the share of unknown pixels, so the scale differs between data sets.",
    better: Better::Higher,
    unit: Unit::Share,
    is_main: true,
    column: 1,
    formula: Formula::Pixels(curves::auprc),
};

/// False positives: kept segments without any out-of-distribution pixel.
pub static FALSE_POSITIVES: Definition = Definition {
    name: "false_positives",
    label: "FP",
    meaning: "False positives: kept segments, which are connected regions of flagged pixels, without any unknown pixel.",
    better: Better::Lower,
    unit: Unit::Count,
    is_main: true,
    column: 0,
    formula: Formula::Segments(|s| Some(s.false_positives as f64)),
};

/// False negatives: objects without any pixel in a kept segment.
pub static FALSE_NEGATIVES: Definition = Definition {
    name: "false_negatives",
    label: "FN",
    meaning: "False negatives: unknown objects without any pixel in a kept segment.",
    better: Better::Lower,
    unit: Unit::Count,
    is_main: true,
    column: 1,
    formula: Formula::Segments(|s| Some(s.false_negatives as f64)),
};

/// Mean sIoU of the objects, see [`object_sious`](super::segment_totals::object_sious). `None` without objects.
///
/// Source: Chan et al. 2021, `SegmentMeIfYouCan`, section 4.2.
pub static SIOU: Definition = Definition {
    name: "siou",
    label: "sIoU",
    meaning: "Intersection over union of an object with the segments that overlap it, where pixels of other objects do not count against it; mean over objects.",
    better: Better::Higher,
    unit: Unit::Share,
    is_main: true,
    column: 2,
    formula: Formula::Segments(SegmentTotals::mean_siou),
};

/// Mean positive predictive value of the kept segments, see [`segment_ppvs`](super::segment_totals::segment_ppvs). `None` if no
/// segment is kept.
///
/// Source: Chan et al. 2021, `SegmentMeIfYouCan`, section 4.2.
pub static PPV: Definition = Definition {
    name: "ppv",
    label: "PPV",
    meaning: "Share of a kept segment's pixels that are unknown; mean over segments.",
    better: Better::Higher,
    unit: Unit::Share,
    is_main: true,
    column: 3,
    formula: Formula::Segments(SegmentTotals::mean_ppv),
};

/// F1 of objects and segments, averaged over the sIoU thresholds 0.25, 0.30 ... 0.75. `None` if there is neither an object nor a
/// kept segment.
///
/// Source: Chan et al. 2021, `SegmentMeIfYouCan`, section 4.2.
pub static F1: Definition = Definition {
    name: "f1",
    label: "F1*",
    meaning: "F1 averaged over the sIoU thresholds 0.25, 0.30 … 0.75: an object counts as found if its sIoU reaches the threshold, a segment as false alarm if its PPV does not.",
    better: Better::Higher,
    unit: Unit::Share,
    is_main: true,
    column: 4,
    formula: Formula::Segments(SegmentTotals::mean_f1),
};

/// All metrics in the order of tables: those of scores first, then those of segments.
pub static METRICS: [&Definition; 8] = [
    &AUROC,
    &FPR95,
    &AUPRC,
    &FALSE_POSITIVES,
    &FALSE_NEGATIVES,
    &SIOU,
    &PPV,
    &F1,
];

impl Definition {
    /// Name in tables with an arrow that points to the better side.
    pub fn title(&self) -> String {
        let arrow = match self.better {
            Better::Higher => '↑',
            Better::Lower => '↓',
        };
        format!("{} {arrow}", self.label)
    }

    /// Whether it rates segments rather than a score of pixels.
    pub fn is_of_segments(&self) -> bool {
        matches!(self.formula, Formula::Segments(_))
    }

    fn by_name(name: &str) -> Option<&'static Self> {
        METRICS.into_iter().find(|d| d.name == name)
    }
}

impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// Definitions of the metrics of scores in the order of tables.
pub fn of_scores() -> impl Iterator<Item = &'static Definition> {
    METRICS.into_iter().filter(|d| !d.is_of_segments())
}

/// Definitions of the metrics of segments in the order of tables.
pub fn of_segments() -> impl Iterator<Item = &'static Definition> {
    METRICS.into_iter().filter(|d| d.is_of_segments())
}

/// `definitions` in the order of columns of files.
pub fn columns(
    definitions: impl Iterator<Item = &'static Definition>,
) -> impl Iterator<Item = &'static Definition> {
    let mut definitions: Vec<_> = definitions.collect();
    definitions.sort_by_key(|d| d.column);
    definitions.into_iter()
}

/// A metric, of a score if it is one of scores.
///
/// In files it is `{"NAME": "SCORE"}`, or `"NAME"` for a metric of segments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// What it measures.
    pub definition: &'static Definition,
    /// The rated score; `None` for a metric of segments.
    pub score: Option<Score>,
}

impl Metric {
    /// A metric of a score.
    pub fn of_score(definition: &'static Definition, score: Score) -> Self {
        let score = Some(score).filter(|_| !definition.is_of_segments());
        Self { definition, score }
    }

    /// All metrics of all scores, score by score, in the order of tables.
    pub fn all_of_scores() -> impl Iterator<Item = Self> {
        let of_score = |score| of_scores().map(move |d| Self::of_score(d, score));
        Score::ALL.into_iter().flat_map(of_score)
    }

    /// All metrics of segments, in the order of tables.
    pub fn all_of_segments() -> impl Iterator<Item = Self> {
        of_segments().map(|definition| Self {
            definition,
            score: None,
        })
    }

    /// All metrics: of scores, then of segments.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::all_of_scores().chain(Self::all_of_segments())
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let name = self.definition.name;
        match self.score {
            Some(score) => BTreeMap::from([(name, score)]).serialize(serializer),
            None => name.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Key {
            OfSegments(String),
            OfScore(BTreeMap<String, Score>),
        }
        let key = Key::deserialize(deserializer)?;
        let (name, score) = match key {
            Key::OfSegments(name) => (name, None),
            Key::OfScore(map) => match map.into_iter().next() {
                Some((name, score)) => (name, Some(score)),
                None => return Err(D::Error::custom("a metric has no name")),
            },
        };
        let definition = Definition::by_name(&name);
        match definition.filter(|d| d.is_of_segments() == score.is_none()) {
            Some(definition) => Ok(Self { definition, score }),
            None => Err(D::Error::custom(format_args!("unknown metric {name:?}"))),
        }
    }
}

/// Values of some metrics, in the order of columns of files, where they are an object with the metrics' names as keys.
#[derive(Clone, Default, PartialEq)]
pub struct MetricValues(Vec<(&'static Definition, Option<f64>)>);

impl MetricValues {
    /// `value` of each of `definitions`.
    pub fn of(
        definitions: impl Iterator<Item = &'static Definition>,
        value: impl Fn(&'static Definition) -> Option<f64>,
    ) -> Self {
        Self(columns(definitions).map(|d| (d, value(d))).collect())
    }

    /// The value of a metric; `None` if it is not defined, or not among these.
    pub fn get(&self, definition: &Definition) -> Option<f64> {
        let found = self.0.iter().find(|(d, _)| *d == definition);
        found.and_then(|&(_, value)| value)
    }

    /// Definitions and values in the order of columns.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Definition, Option<f64>)> {
        self.0.iter().copied()
    }
}

impl fmt::Debug for MetricValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(d, value)| (d.name, value)))
            .finish()
    }
}

impl Serialize for MetricValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (definition, value) in self.iter() {
            match definition.unit {
                Unit::Count => map.serialize_entry(definition.name, &value.map(|v| v as u64))?,
                Unit::Share => map.serialize_entry(definition.name, &value)?,
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for MetricValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = BTreeMap::<String, Option<f64>>::deserialize(deserializer)?;
        for name in values.keys() {
            if Definition::by_name(name).is_none() {
                return Err(D::Error::custom(format_args!("unknown metric {name:?}")));
            }
        }
        let named = METRICS.into_iter().filter(|d| values.contains_key(d.name));
        Ok(Self::of(named, |d| values[d.name]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_scores_come_first() {
        for (i, definition) in METRICS.into_iter().enumerate() {
            assert_eq!(Definition::by_name(definition.name), Some(definition));
            let same = METRICS.into_iter().filter(|d| *d == definition).count();
            assert_eq!(same, 1, "{}", definition.name);
            assert!(
                METRICS[..i]
                    .iter()
                    .all(|d| !d.is_of_segments() || definition.is_of_segments())
            );
        }
    }

    #[test]
    fn metrics_are_read_as_they_are_written() -> serde_json::Result<()> {
        let all: Vec<Metric> = Metric::all().collect();
        let text = serde_json::to_string(&all)?;
        assert!(
            text.contains(r#"{"fpr95":"max_logit"}"#) && text.contains(r#","siou","#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Vec<Metric>>(&text)?, all);
        for bad in [
            r#""auroc""#,
            r#"{"siou":"entropy"}"#,
            r#"{"x":"entropy"}"#,
            "{}",
        ] {
            assert!(serde_json::from_str::<Metric>(bad).is_err(), "{bad}");
        }
        Ok(())
    }

    #[test]
    fn values_are_an_object_and_counts_are_integers() -> serde_json::Result<()> {
        let value = |d: &Definition| (d != &PPV).then_some(if d == &F1 { 0.25 } else { 3.0 });
        let values = MetricValues::of(of_segments(), value);
        let text = serde_json::to_string(&values)?;
        assert!(
            text.starts_with(r#"{"false_positives":3,"false_negatives":3,"#),
            "{text}"
        );
        assert!(text.contains(r#""ppv":null,"f1":0.25"#), "{text}");
        assert_eq!(serde_json::from_str::<MetricValues>(&text)?, values);
        assert!(serde_json::from_str::<MetricValues>(r#"{"x":1}"#).is_err());
        assert_eq!((values.get(&F1), values.get(&AUROC)), (Some(0.25), None));
        Ok(())
    }
}
