//! False alarms and missed objects over the threshold of the meta classifier.

use anyhow::Result;

use crate::colors::{BLUE, VERMILLION};
use crate::metrics::segment_totals::sample_errors;
use crate::read::detections::{Decision, Detections};
use crate::report::chart::Chart;
use crate::report::drawing::lines::{self, Line, LineChart, Point};
use crate::report::member::Member;
use crate::report::text::{FALSE_ALARMS, MISSED_OBJECTS};

/// Thresholds that are drawn are multiples of 1 / `STEPS`.
const STEPS: u32 = 100;

/// Errors at one threshold.
struct Errors {
    threshold: f64,
    false_alarms: u64,
    missed_objects: u64,
}

/// The chart of a run; `None` if it has no meta classifier.
pub(super) fn chart(member: &Member<'_>) -> Result<Option<Chart>> {
    let Some(decisions) = &member.data.decisions else {
        return Ok(None);
    };
    let thresholds = (0..=STEPS).map(|i| f64::from(i) / f64::from(STEPS));
    let errors: Vec<Errors> = thresholds
        .map(|t| Errors::at(t, &member.data.detections, decisions))
        .collect();
    let false_alarms = steps(&errors, |e| e.false_alarms);
    let missed_objects = steps(&errors, |e| e.missed_objects);
    let lines = vec![
        Line::new(FALSE_ALARMS, BLUE, false_alarms),
        Line::new(MISSED_OBJECTS, VERMILLION, missed_objects).dashed_if(true),
    ];
    let svg = lines::draw(&LineChart::of_counts(
        "threshold of the meta classifier",
        "count",
        0.0..1.0,
        lines,
    ))?;
    Ok(Some(Chart {
        file: format!("meta threshold {} {}", member.index, member.run.name),
        title: format!(
            "Errors over the threshold of the meta classifier, {}",
            member.run.name
        ),
        caption: "Segments are dropped if their predicted probability of being a false alarm exceeds the threshold. At 1, all segments are kept. Lower thresholds give fewer false alarms and more missed objects.".into(),
        svg,
    }))
}

impl Errors {
    fn at(threshold: f64, detections: &Detections, decisions: &[Decision]) -> Self {
        let probs = decisions.iter().map(|d| d.false_positive_prob);
        let kept: Vec<bool> = probs.map(|prob| prob <= threshold).collect();
        let errors = sample_errors(detections, &kept);
        Self {
            threshold,
            false_alarms: errors.iter().map(|e| e.false_positives).sum(),
            missed_objects: errors.iter().map(|e| e.false_negatives).sum(),
        }
    }
}

/// Counts over the threshold. A count stays the same up to the next threshold, and changes there at once.
fn steps(errors: &[Errors], count: impl Fn(&Errors) -> u64) -> Vec<Point> {
    let mut points = Vec::new();
    for pair in errors.windows(2) {
        let height = count(&pair[0]) as f64;
        points.extend([(pair[0].threshold, height), (pair[1].threshold, height)]);
    }
    points.extend(errors.last().map(|e| (e.threshold, count(e) as f64)));
    points
}
