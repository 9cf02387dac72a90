//! One chart of the report, and where it is written to.

use std::path::Path;

use anyhow::Result;
use artifacts::atomic::write_bytes;
use serde::Serialize;

use super::drawing::tree::tree;
use super::drawing::{pdf, raster, svg};

/// One chart of the report.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Chart {
    /// Name of its files in `figures/`, without the extension.
    pub(super) file: String,
    /// What is shown.
    pub(super) title: String,
    /// Explains how to read the chart.
    pub(super) caption: String,
    /// The drawing.
    pub(super) svg: String,
}

impl Chart {
    /// Writes the drawing as SVG and as PNG on a white background, and as PDF without one.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written.
    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        let file = |extension: &str| dir.join(format!("{}.{extension}", self.file));
        let svg = svg::stand_alone(&self.svg);
        write_bytes(&file("svg"), svg.as_bytes())?;
        write_bytes(&file("png"), &raster::png(&tree(&svg)?)?)?;
        write_bytes(&file("pdf"), &pdf::pdf(&tree(&self.svg)?)?)
    }

    /// The chart with a drawing that fits into the page.
    pub(super) fn inlined(self) -> Self {
        Self {
            svg: svg::inline(&self.svg, &self.title),
            ..self
        }
    }
}
