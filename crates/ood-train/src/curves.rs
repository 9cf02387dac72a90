//! `curves.svg`: losses and validation figures over the steps.

use anyhow::{Result, anyhow};
use artifacts::look::colors;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::log::Row;
use crate::validation::Figures;

type Points = Vec<(f64, f64)>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const SIZE: (u32, u32) = (900, 420);
const KEY_WIDTH: u32 = 170;
const FONT: (&str, u32) = ("sans-serif", 16);

/// Draws the parts of the loss, and below them the validation figures if there are any.
pub(crate) fn draw(rows: &[Row], looks: &[(u32, Figures)]) -> Result<String> {
    let losses = |part: fn(&Row) -> f64| -> Points {
        rows.iter().map(|r| (f64::from(r.step), part(r))).collect()
    };
    let mut parts = vec![
        ("loss in", losses(|r| r.losses.known)),
        ("loss out", losses(|r| r.losses.unknown)),
        ("loss distilled", losses(|r| r.losses.distilled)),
    ];
    parts.retain(|(_, points)| points.iter().any(|p| p.1 > 0.0));
    let mut figures = Vec::new();
    for (i, (name, _)) in Figures::default().named().into_iter().enumerate() {
        let value = |(step, f): &(u32, Figures)| Some((f64::from(*step), f.named()[i].1?));
        figures.push((name, looks.iter().filter_map(value).collect::<Points>()));
    }
    figures.retain(|(_, points)| !points.is_empty());

    let panels: Vec<_> = [parts, figures]
        .into_iter()
        .filter(|p| !p.is_empty())
        .collect();
    let mut svg = String::new();
    {
        let size = (SIZE.0, SIZE.1 * panels.len().max(1) as u32);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let failed = |e| anyhow!("the learning curves cannot be drawn: {e:?}");
        root.fill(&WHITE).map_err(failed)?;
        let areas = root.split_evenly((panels.len().max(1), 1));
        for (area, lines) in areas.iter().zip(&panels) {
            panel(area, lines).map_err(failed)?;
        }
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

fn panel<'a>(
    area: &Area<'a>,
    lines: &[(&str, Points)],
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let last = points().map(|p| p.0).fold(1.0, f64::max);
    let top = points().map(|p| p.1).fold(f64::MIN_POSITIVE, f64::max);
    // the keys stand beside the lines: inside they would lie over some of them
    let (left, right) = area.split_horizontally(SIZE.0 - KEY_WIDTH);
    let mut chart = ChartBuilder::on(&left)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..last, 0.0..1.05 * top)?;
    chart
        .configure_mesh()
        .x_desc("step")
        .label_style(FONT)
        .axis_desc_style(FONT)
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (i, (name, points)) in lines.iter().enumerate() {
        let [r, g, b] = colors::line(i);
        let style = RGBColor(r, g, b).stroke_width(2);
        chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
        let y = 24 * (i as i32 + 1);
        right.draw(&PathElement::new([(0, y), (18, y)], style))?;
        right.draw(&Text::new(*name, (26, y - FONT.1 as i32 / 2), FONT))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::Losses;

    #[test]
    fn what_there_is_is_drawn() -> Result<()> {
        let row = |step| Row {
            step,
            epoch: 0,
            losses: Losses {
                known: 1.0 / f64::from(step),
                unknown: 0.5,
                distilled: 0.0,
            },
            learning_rate: 1e-5,
        };
        let rows: Vec<_> = (1..5).map(row).collect();
        let alone = draw(&rows, &[])?;
        assert!(alone.contains("loss out") && !alone.contains("distilled"));
        let figures = Figures {
            auprc: Some(0.5),
            ..Figures::default()
        };
        let both = draw(&rows, &[(2, figures), (4, figures)])?;
        assert!(both.contains("auprc") && !both.contains("mean_iou"));
        assert!(draw(&[], &[])?.contains("<svg"));
        Ok(())
    }
}
