//! A chart as the paths and texts that its SVG stands for, with a font that comes with the program: the same on every machine,
//! whichever fonts it has.

use std::sync::Arc;

use anyhow::{Context, Result};
use resvg::usvg::fontdb::Database;
use resvg::usvg::{Options, Tree};

/// The font, reduced to the characters that charts contain; see `font/LICENSE`.
const FONT: &[u8] = include_bytes!("font/DejaVuSans.ttf");

/// Reads an SVG.
///
/// # Errors
/// Returns an error if `svg` is not an SVG.
pub(crate) fn tree(svg: &str) -> Result<Tree> {
    Tree::from_str(svg, &options()).context("could not read the SVG of a chart")
}

fn options() -> Options<'static> {
    let mut fonts = Database::new();
    fonts.load_font_data(FONT.to_vec());
    // the last family in the list of every chart
    fonts.set_sans_serif_family("DejaVu Sans");
    Options {
        fontdb: Arc::new(fonts),
        ..Options::default()
    }
}
