//! Distributions of the entropy over known and over unknown pixels.

use anyhow::Result;
use artifacts::score::Score;
use measures::pixel_counts::totals;

use crate::colors::{BLUE, VERMILLION};
use crate::read::pixel_counts::entropy_shares;
use crate::report::chart::Chart;
use crate::report::drawing::lines::{self, Line, LineChart, Point};
use crate::report::member::Member;

/// Number of bins that are drawn.
const BINS: usize = 50;

/// Lower end of the logarithmic axis; smaller shares are drawn there.
const LOWEST: f64 = 1e-5;

/// The chart of a run; `None` if its pixels were not counted.
pub(super) fn chart(member: &Member<'_>) -> Result<Option<Chart>> {
    let Some(histogram) = member.data.pixels.get(&Score::Entropy) else {
        return Ok(None);
    };
    let (n_in, n_out) = totals(histogram);
    let (known, unknown): (Vec<u64>, Vec<u64>) =
        entropy_shares(histogram, BINS).into_iter().unzip();
    let mut lines = vec![Line::new("known", BLUE, steps(&known, n_in)).filled()];
    if n_out > 0 {
        lines.push(Line::new("unknown", VERMILLION, steps(&unknown, n_out)).filled());
    }
    let svg = lines::draw(&LineChart {
        y: LOWEST..1.0,
        is_log_y: true,
        ..LineChart::of_rates("entropy / ln C", "share of pixels", lines)
    })?;
    Ok(Some(Chart {
        file: format!("entropy {} {}", member.index, member.run.name),
        title: format!("Entropy of known and unknown pixels, {}", member.run.name),
        caption: "Share of the known and of the unknown pixels in each bin of the softmax entropy, divided by ln C for C classes: 0 means that the network is certain of one class, 1 that all classes are equally likely. The less the two distributions overlap, the better. The vertical axis is logarithmic.".into(),
        svg,
    }))
}

/// Outline of the bars of a histogram, whose heights are shares of `total` pixels.
fn steps(counts: &[u64], total: u64) -> Vec<Point> {
    let mut corners = Vec::new();
    for (i, &count) in counts.iter().enumerate() {
        let height = (count as f64 / total.max(1) as f64).max(LOWEST);
        let edge = |i: usize| i as f64 / BINS as f64;
        corners.extend([(edge(i), height), (edge(i + 1), height)]);
    }
    corners
}
