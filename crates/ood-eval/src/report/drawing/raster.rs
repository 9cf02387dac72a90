//! Charts as PNG, drawn from their SVG with a font that comes with the program: the same pixels on every machine, whichever fonts
//! it has.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::Database;
use resvg::usvg::{Options, Tree};

/// The font, reduced to the characters that charts contain; see `font/LICENSE`.
const FONT: &[u8] = include_bytes!("font/DejaVuSans.ttf");

/// Draws an SVG at its own size and encodes it as PNG.
///
/// # Errors
/// Returns an error if `svg` is not an SVG.
pub(crate) fn png(svg: &str) -> Result<Vec<u8>> {
    let tree = Tree::from_str(svg, &options()).context("could not read the SVG of a chart")?;
    let size = tree.size().to_int_size();
    let mut pixels = Pixmap::new(size.width(), size.height()).with_context(|| {
        format!(
            "could not draw a chart of {}x{} pixels",
            size.width(),
            size.height()
        )
    })?;
    resvg::render(&tree, Transform::identity(), &mut pixels.as_mut());
    pixels
        .encode_png()
        .map_err(|e| anyhow!("could not encode a chart as PNG: {e}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(text: &str) -> Result<image::RgbaImage> {
        let svg = format!(
            "<svg width=\"80\" height=\"40\" xmlns=\"http://www.w3.org/2000/svg\"><rect width=\"80\" height=\"40\" fill=\"#FFFFFF\"/><text x=\"4\" y=\"30\" font-family=\"system-ui, sans-serif\" font-size=\"24\">{text}</text></svg>"
        );
        Ok(image::load_from_memory(&png(&svg)?)?.to_rgba8())
    }

    #[test]
    fn texts_are_drawn_without_fonts_of_the_machine() -> Result<()> {
        let empty = pixels("")?;
        assert_eq!(empty.dimensions(), (80, 40));
        assert!(empty.pixels().all(|p| p.0 == [255; 4]));
        for text in ["a", "ln Ω", "10⁻⁴", "–", "↑", "ё"] {
            let drawn = pixels(text)?;
            assert!(drawn.pixels().any(|p| p.0[0] < 64), "{text}");
            assert!(
                drawn != pixels("\u{4e00}")?,
                "{text} is drawn as what the font lacks"
            );
        }
        Ok(())
    }
}
