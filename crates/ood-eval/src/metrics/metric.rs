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
use measures::pixel_counts::BinCount;
use measures::{curves, ranking};
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

impl Unit {
    /// The value rounded as tables show it: shares to hundredths of a percent, counts to whole numbers.
    pub fn shown(self, value: f64) -> f64 {
        match self {
            Self::Share => (1e4 * value).round() / 1e4,
            Self::Count => value.round(),
        }
    }
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
    /// From a FROC curve at this budget of false alarms per image, see [`froc`](super::froc): segments are ranked by the meta
    /// classifier if it is used, else by their mean score.
    Froc(f64),
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
    meaning: "Area under the ROC curve: the probability that an unknown pixel has a higher score than a known pixel. Random guessing gives 50 %. The value does not depend on how rare unknown pixels are.",
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
    meaning: "False positive rate at 95 % true positive rate: the share of known pixels that are flagged when the threshold is just low enough to flag 95 % of the unknown pixels.",
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
    meaning: "Area under the precision-recall curve, computed as average precision. Random guessing gives the share of unknown pixels, so the values of different data sets are not comparable.",
    better: Better::Higher,
    unit: Unit::Share,
    is_main: true,
    column: 1,
    formula: Formula::Pixels(curves::auprc),
};

/// Area under the ROC curve of whole images: an image is positive if it has an out-of-distribution pixel, and its score is the
/// highest score of its rated pixels. `None` unless there are images of both kinds.
///
/// This asks whether a network can raise an alarm for an image, as a stage before people look at it or a vehicle slows down would;
/// one pixel is enough to raise it. The maximum is the usual image score in anomaly detection on pictures, where the metric is
/// called image-level AUROC.
///
/// Source: Bergmann et al. 2019, `MVTec` AD, for the task; Roth et al. 2022, `PatchCore`, for the maximum over pixels.
pub static IMAGE_AUROC_MAX: Definition = Definition {
    name: "image_auroc_max",
    label: "image AUROC, max",
    meaning: "The probability that an image with unknown pixels has a higher score than an image without, where the score of an image is the highest score of its pixels. Random guessing gives 50 %. It is not defined if all images have unknown pixels, or none has.",
    better: Better::Higher,
    unit: Unit::Share,
    is_main: false,
    column: 3,
    formula: Formula::Images(|images| image_auroc(images, |pixels| pixels.max_score)),
};

/// The same with the mean score of the rated pixels as the score of an image: less sensitive to single pixels, but blind to small
/// objects. It rather detects images that are unusual as a whole.
pub static IMAGE_AUROC_MEAN: Definition = Definition {
    name: "image_auroc_mean",
    label: "image AUROC, mean",
    meaning: "The same, where the score of an image is the mean score of its pixels. Small objects hardly change it.",
    better: Better::Higher,
    unit: Unit::Share,
    is_main: false,
    column: 4,
    formula: Formula::Images(|images| image_auroc(images, |pixels| pixels.mean_score)),
};

/// Mean over images of the average precision of each image's pixels, over the images that have pixels of both kinds. `None` if no
/// image has.
///
/// Every image counts alike, whereas [`AUPRC`] pools all pixels, so that images with large objects count most and scores must be
/// comparable between images.
///
/// Source: Hendrycks et al. 2022, Scaling Out-of-Distribution Detection for Real-World Settings (`StreetHazards`), whose code
/// evaluates each image by itself and averages.
pub static MEAN_AUPRC: Definition = Definition {
    name: "mean_auprc",
    label: "mean AUPRC",
    meaning: "AUPRC of each image by itself, averaged over the images that have known and unknown pixels. Every image counts alike, however large its objects are.",
    better: Better::Higher,
    unit: Unit::Share,
    is_main: false,
    column: 5,
    formula: Formula::Images(|images| mean_over_images(images, |pixels| pixels.auprc)),
};

/// Mean over images of the false positive rate at a true positive rate of at least 0.95 of each image's pixels, over the images
/// that have pixels of both kinds. `None` if no image has. Each image has a threshold of its own.
///
/// Source: as [`MEAN_AUPRC`].
pub static MEAN_FPR95: Definition = Definition {
    name: "mean_fpr95",
    label: "mean FPR95",
    meaning: "FPR95 of each image by itself, with its own threshold, averaged over the images that have known and unknown pixels.",
    better: Better::Lower,
    unit: Unit::Share,
    is_main: false,
    column: 6,
    formula: Formula::Images(|images| mean_over_images(images, |pixels| pixels.fpr95)),
};

/// False positives: kept segments without any out-of-distribution pixel.
pub static FALSE_POSITIVES: Definition = Definition {
    name: "false_positives",
    label: "FP",
    meaning: "False positives, or false alarms: kept segments without any unknown pixel.",
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
    meaning: "False negatives, or missed objects: unknown objects without any pixel in a kept segment.",
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
    meaning: "Intersection over union of an unknown object with all kept segments that overlap it, where pixels of other objects do not count against it. The value is the mean over all objects.",
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
    meaning: "Positive predictive value: the share of a kept segment's pixels that are unknown. The value is the mean over all kept segments.",
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
    meaning: "F1 averaged over the thresholds 0.25, 0.30, … 0.75. At each threshold, an object is a true positive if its sIoU is at least the threshold, otherwise a false negative; a segment is a false positive if its PPV is below the threshold.",
    better: Better::Higher,
    unit: Unit::Share,
    is_main: true,
    column: 4,
    formula: Formula::Segments(SegmentTotals::mean_f1),
};

/// Objects found at half a false alarm per image, see [`froc`](super::froc). `None` without objects.
///
/// It is compared between two runs, and is not in [`METRICS`]: the table of FROC curves has it beside other budgets.
pub static FOUND_AT_HALF: Definition = Definition {
    name: "found_at_half_fppi",
    label: "objects found at 0.5 FP per image",
    meaning: "Unknown objects that kept segments overlap if the most suspicious segments are kept, as many as give half a false alarm per image.",
    better: Better::Higher,
    unit: Unit::Count,
    is_main: false,
    column: 5,
    formula: Formula::Froc(0.5),
};

/// All metrics in the order of tables: those of scores first, then those of segments.
pub static METRICS: [&Definition; 12] = [
    &AUROC,
    &FPR95,
    &AUPRC,
    &IMAGE_AUROC_MAX,
    &IMAGE_AUROC_MEAN,
    &MEAN_AUPRC,
    &MEAN_FPR95,
    &FALSE_POSITIVES,
    &FALSE_NEGATIVES,
    &SIOU,
    &PPV,
    &F1,
];

/// Area under the ROC curve of images with and without out-of-distribution pixels. Images without a score are left out: they have
/// no rated pixel, or older tables do not know it.
fn image_auroc(images: &[Image<'_>], score: fn(&SamplePixels) -> Option<f64>) -> Option<f64> {
    let (mut scores, mut has_ood) = (Vec::new(), Vec::new());
    for image in images {
        for score in std::iter::repeat_n(score(image.pixels), image.times.into()).flatten() {
            scores.push(score);
            has_ood.push(image.pixels.n_out > 0);
        }
    }
    ranking::auroc(&scores, &has_ood)
}

/// Mean of a value over the images where it is defined; `None` if there are none. The sum is made in the order of the images.
fn mean_over_images(images: &[Image<'_>], value: fn(&SamplePixels) -> Option<f64>) -> Option<f64> {
    let (mut sum, mut n) = (0.0, 0.0);
    for image in images {
        if let Some(value) = value(image.pixels) {
            sum += f64::from(image.times) * value;
            n += f64::from(image.times);
        }
    }
    (n > 0.0).then(|| sum / n)
}

impl Definition {
    /// Name in tables with an arrow that points to the better side.
    pub fn title(&self) -> String {
        self.titled(self.label)
    }

    /// The same with another name.
    pub fn titled(&self, name: &str) -> String {
        let arrow = match self.better {
            Better::Higher => '↑',
            Better::Lower => '↓',
        };
        format!("{name} {arrow}")
    }

    /// Whether it rates segments rather than a score of pixels.
    pub fn is_of_segments(&self) -> bool {
        matches!(self.formula, Formula::Segments(_) | Formula::Froc(_))
    }

    fn by_name(name: &str) -> Option<&'static Self> {
        let mut all = METRICS.into_iter().chain([&FOUND_AT_HALF]);
        all.find(|d| d.name == name)
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

    /// A metric of segments.
    pub fn of_segments(definition: &'static Definition) -> Self {
        Self {
            definition,
            score: None,
        }
    }

    /// All metrics of all scores, score by score, in the order of tables.
    pub fn all_of_scores() -> impl Iterator<Item = Self> {
        let of_score = |score| of_scores().map(move |d| Self::of_score(d, score));
        Score::ALL.into_iter().flat_map(of_score)
    }

    /// All metrics of segments, in the order of tables.
    pub fn all_of_segments() -> impl Iterator<Item = Self> {
        of_segments().map(Self::of_segments)
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

    fn pixels(
        n_out: u64,
        max_score: Option<f64>,
        mean_score: Option<f64>,
        auprc: Option<f64>,
    ) -> SamplePixels {
        SamplePixels {
            score: Score::Entropy,
            n_in: 10,
            n_out,
            auroc: None,
            auprc,
            fpr95: auprc,
            max_score,
            mean_score,
        }
    }

    fn value(definition: &Definition, images: &[(SamplePixels, u8)]) -> Option<f64> {
        let images = images.iter();
        let images: Vec<_> = images
            .map(|&(ref pixels, times)| Image { pixels, times })
            .collect();
        match definition.formula {
            Formula::Images(formula) => formula(&images),
            Formula::Pixels(_) | Formula::Segments(_) | Formula::Froc(_) => None,
        }
    }

    #[test]
    fn images_are_ranked_by_their_scores() {
        let with = |max, mean| pixels(3, Some(max), Some(mean), None);
        let without = |max, mean| pixels(0, Some(max), Some(mean), None);
        let images = [
            (with(0.9, 0.2), 1),
            (with(0.5, 0.4), 1),
            (without(0.7, 0.1), 1),
        ];
        assert_eq!(value(&IMAGE_AUROC_MAX, &images), Some(0.5));
        assert_eq!(value(&IMAGE_AUROC_MEAN, &images), Some(1.0));
        // an image that is drawn three times counts as three images; those without a score do not count
        let drawn = [
            images[0],
            (images[1].0, 3),
            images[2],
            (pixels(0, None, None, None), 1),
        ];
        assert_eq!(value(&IMAGE_AUROC_MAX, &drawn), Some(0.25));
        // equal scores count half
        let equal = [(with(0.5, 0.5), 2), (without(0.5, 0.5), 2)];
        assert_eq!(value(&IMAGE_AUROC_MAX, &equal), Some(0.5));
        // images of one kind
        assert_eq!(value(&IMAGE_AUROC_MAX, &images[..2]), None);
        assert_eq!(value(&IMAGE_AUROC_MEAN, &images[2..]), None);
        assert_eq!(value(&IMAGE_AUROC_MAX, &[]), None);
    }

    #[test]
    fn means_are_over_images_that_have_a_value() {
        let image = |auprc| pixels(1, None, None, auprc);
        let images = [
            (image(Some(0.5)), 1),
            (image(None), 5),
            (image(Some(0.25)), 3),
        ];
        for definition in [&MEAN_AUPRC, &MEAN_FPR95] {
            assert_eq!(value(definition, &images), Some((0.5 + 0.75) / 4.0));
            assert_eq!(value(definition, &images[1..2]), None);
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
