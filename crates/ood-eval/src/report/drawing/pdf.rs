//! Charts as PDF, because LaTeX cannot include SVG: lines stay lines, and texts stay texts in an embedded font.

use anyhow::{Result, anyhow};
use resvg::usvg::Tree;
use svg2pdf::{ConversionOptions, PageOptions, to_pdf};

/// Pixels to an inch. Drawings are twice as large as they are shown, and a pixel of CSS is 1/96 inch.
const DPI: f32 = 192.0;

/// A drawing on a transparent page of its own size.
///
/// # Errors
/// Returns an error if the font cannot be embedded.
pub(crate) fn pdf(tree: &Tree) -> Result<Vec<u8>> {
    let page = PageOptions { dpi: DPI };
    to_pdf(tree, ConversionOptions::default(), page)
        .map_err(|e| anyhow!("could not write a chart as PDF: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::drawing::tree::tree;

    #[test]
    fn pages_have_the_size_of_the_drawing_and_an_embedded_font() -> Result<()> {
        let svg = "<svg width=\"384\" height=\"96\" xmlns=\"http://www.w3.org/2000/svg\"><text x=\"4\" y=\"30\" font-family=\"system-ui, sans-serif\" font-size=\"24\">AUROC</text></svg>";
        let drawn = pdf(&tree(svg)?)?;
        assert!(drawn.starts_with(b"%PDF-"));
        let text = String::from_utf8_lossy(&drawn);
        // 384 pixels are two inches of 72 points
        for part in ["/MediaBox [0 0 144 36]", "DejaVuSans", "/FontFile"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(drawn, pdf(&tree(svg)?)?);
        Ok(())
    }
}
