//! Results on the known classes.

use artifacts::classes::Color;
use measures::calibration::Calibration;
use serde::{Deserialize, Serialize};

use crate::read::known_classes::KnownClasses;
use crate::read::runs::Run;

/// Metrics of the known classes of one run on one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClosedSetResults {
    /// Name of the data set.
    pub dataset: String,
    /// Name of the run.
    pub run: String,
    /// Name of the class set; empty in files of earlier versions, which know Cityscapes alone.
    #[serde(default)]
    pub class_set: String,
    /// Share of pixels whose class is right, in [0, 1].
    pub pixel_accuracy: Option<f64>,
    /// Mean `IoU` of the classes that have true pixels, in [0, 1].
    pub mean_iou: Option<f64>,
    /// Mean `IoU` of the classes that occur in the truth or in the prediction, as in cityscapesScripts.
    pub mean_iou_with_absent: Option<f64>,
    /// Expected calibration error in [0, 1], see [`measures::calibration`]; `None` if it was not counted.
    pub calibration_error: Option<f64>,
    /// `IoU` of each class.
    pub classes: Vec<ClassResults>,
}

/// Results of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassResults {
    /// Name of the class.
    pub class: String,
    /// Its display color; files of earlier versions lack it.
    #[serde(default)]
    pub color: Option<Color>,
    /// Intersection over union, in [0, 1]; `null` if the class occurs neither in the truth nor in the prediction.
    pub iou: Option<f64>,
    /// Pixels of the class in the truth.
    pub n_true: u64,
}

/// Results of all runs, sorted by data set, then in the order of the runs.
pub(super) fn closed_set_results(runs: &[Run]) -> Vec<ClosedSetResults> {
    let mut all = Vec::new();
    for run in runs {
        for (dataset, known) in &run.closed_set {
            all.push(ClosedSetResults::of(dataset, &run.name, known));
        }
    }
    // stable: runs stay in their order
    all.sort_by(|a, b| a.dataset.cmp(&b.dataset));
    all
}

impl ClosedSetResults {
    fn of(dataset: &str, run: &str, known: &KnownClasses) -> Self {
        let confusion = &known.confusion;
        let classes = known.classes.classes.iter().enumerate();
        Self {
            dataset: dataset.to_owned(),
            run: run.to_owned(),
            class_set: known.classes.name.clone(),
            pixel_accuracy: confusion.pixel_accuracy(),
            mean_iou: confusion.mean_iou(),
            mean_iou_with_absent: confusion.mean_iou_with_absent(),
            calibration_error: known.calibration.as_ref().and_then(Calibration::error),
            classes: classes
                .map(|(train_id, class)| ClassResults {
                    class: class.name.clone(),
                    color: Some(class.color),
                    iou: confusion.iou(train_id),
                    n_true: confusion.true_pixels(train_id),
                })
                .collect(),
        }
    }

    /// Whether the figures are of the same classes as those of `other`, so that they can be compared.
    pub fn has_classes_of(&self, other: &Self) -> bool {
        let (names, others) = (self.classes.iter(), other.classes.iter());
        names.map(|c| &c.class).eq(others.map(|c| &c.class))
    }
}
