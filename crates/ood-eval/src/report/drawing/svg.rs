//! An SVG inside of a page, and as a file of its own.

use crate::colors::{INK, css};

/// The drawing inside of a page: as wide as the element around it, with the color of its text and axes replaced by that of the page, dark or light, and with a title for screen
/// readers.
pub(crate) fn inline(svg: &str, title: &str) -> String {
    let svg = svg.replace(&css(INK), "currentColor");
    let Some((tag, rest)) = svg.split_once('>') else {
        return svg;
    };
    let view_box = tag
        .split("viewBox=\"")
        .nth(1)
        .and_then(|t| t.split('"').next());
    let title = minijinja::HtmlEscape(title);
    let open = format!(
        "<svg viewBox=\"{}\" role=\"img\" aria-label=\"{title}\">",
        view_box.unwrap_or("")
    );
    open + rest
}

/// The drawing as a file of its own, on a white background.
pub(crate) fn stand_alone(svg: &str) -> String {
    match svg.split_once('>') {
        Some((tag, rest)) => {
            format!("{tag}>\n<rect width=\"100%\" height=\"100%\" fill=\"#FFFFFF\"/>{rest}")
        }
        None => svg.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawings_take_the_color_of_the_page() {
        let svg = format!(
            "<svg width=\"1\" viewBox=\"0 0 4 2\" xmlns=\"x\"><g fill=\"{}\"/></svg>",
            css(INK)
        );
        let inline = inline(&svg, "a \"b\"");
        assert!(
            inline.starts_with("<svg viewBox=\"0 0 4 2\" role"),
            "{inline}"
        );
        assert!(
            inline.contains("currentColor") && !inline.contains("\"b\""),
            "{inline}"
        );
        assert!(stand_alone(&svg).contains("xmlns"));
    }
}
