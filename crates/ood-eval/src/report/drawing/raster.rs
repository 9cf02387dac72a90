//! Charts as PNG.

use anyhow::{Context, Result, anyhow};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::Tree;

/// Draws an SVG at its own size and encodes it as PNG.
///
/// # Errors
/// Returns an error if the drawing has no pixels.
pub(crate) fn png(tree: &Tree) -> Result<Vec<u8>> {
    let size = tree.size().to_int_size();
    let mut pixels = Pixmap::new(size.width(), size.height()).with_context(|| {
        format!(
            "could not draw a chart of {}x{} pixels",
            size.width(),
            size.height()
        )
    })?;
    resvg::render(tree, Transform::identity(), &mut pixels.as_mut());
    pixels
        .encode_png()
        .map_err(|e| anyhow!("could not encode a chart as PNG: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::drawing::tree::tree;

    fn pixels(text: &str) -> Result<image::RgbaImage> {
        let svg = format!(
            "<svg width=\"80\" height=\"40\" xmlns=\"http://www.w3.org/2000/svg\"><rect width=\"80\" height=\"40\" fill=\"#FFFFFF\"/><text x=\"4\" y=\"30\" font-family=\"system-ui, sans-serif\" font-size=\"24\">{text}</text></svg>"
        );
        Ok(image::load_from_memory(&png(&tree(&svg)?)?)?.to_rgba8())
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
