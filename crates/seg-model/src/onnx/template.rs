//! A description of an ONNX file, with what its declaration says filled in and the rest explained.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use artifacts::classes::ChannelTable;

use super::layout::Layout;
use super::port::{Number, Port};

/// The text of `FILE.toml` for a file with these inputs and outputs.
///
/// # Errors
/// Returns an error if it has no input or no output.
pub(super) fn text(file: &Path, inputs: &[Port], outputs: &[Port]) -> Result<String> {
    let input = Port::find(inputs, first_name(inputs), "input")?;
    let output = Port::find(outputs, first_name(outputs), "output")?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mut text = format!(
        "# How `seg-model infer --onnx {name}` runs the network: complete it and save it as {name}.toml beside the file.\n# Lines that begin with # are the defaults, or still to be said.\n"
    );
    for (what, ports) in [("input", inputs), ("output", outputs)] {
        for port in ports {
            let _ = writeln!(text, "# {what} {}", port.describe());
        }
    }
    text.push_str(&about_input(input));
    text.push_str(&about_output(output, layout(input)));
    Ok(text)
}

fn first_name(ports: &[Port]) -> Option<&str> {
    ports.first().map(|port| port.name.as_str())
}

/// The layout that the shape of the input tells.
fn layout(input: &Port) -> Option<Layout> {
    let colors = |layout: &Layout| input.shape.get(layout.channels()) == Some(&Some(3));
    [Layout::Nchw, Layout::Nhwc].into_iter().find(colors)
}

fn about_input(input: &Port) -> String {
    let mut text = format!("\ninput = {}\n", quoted(&input.name));
    let layout = layout(input);
    let is_known = layout.is_some();
    let shown = layout.unwrap_or(Layout::Nchw);
    text.push_str(if is_known { "" } else { "# " });
    let _ = writeln!(
        text,
        "layout = {:?} # or \"nhwc\": order of the axes",
        shown.name()
    );
    text.push_str("# color_order = \"rgb\" # or \"bgr\"\n");
    if input.number == Number::U8 {
        text.push_str("# no normalization: it takes bytes\n");
    } else {
        text.push_str(
            "# (value - mean) / std for red, green and blue in [0, 1]. ImageNet's; for values from 0 to 255 as they are: mean 0, std 1/255\n# mean = [0.485, 0.456, 0.406]\n# std = [0.229, 0.224, 0.225]\n",
        );
    }
    let (rows, columns) = shown.sides();
    let side = |axis: usize| input.shape.get(axis).copied().flatten();
    match (side(columns), side(rows)) {
        (Some(width), Some(height)) => {
            let _ = writeln!(text, "size = \"{width}x{height}\" # columns x rows; fixed by the file");
        }
        _ => text.push_str(
            "# size = \"1024x512\" # columns x rows to which images are resized; without it their own\n# size_multiple = 1 # both sides are padded to a multiple of so many pixels\n",
        ),
    }
    text
}

fn about_output(output: &Port, layout: Option<Layout>) -> String {
    let mut text = format!(
        "\noutput = {}\n# output_layout = \"nchw\" # if it is not that of the input\nkind = \"logits\" # or \"probabilities\", \"log-probabilities\", \"score\"\n# negate = false # true for a score that is smaller where pixels are more suspicious\n# align_corners = false # as in the interpolation to the size of the image that follows\n",
        quoted(&output.name)
    );
    let channels = layout.and_then(|layout| output.shape.get(layout.channels()).copied().flatten());
    let table = channels.and_then(|channels| ChannelTable::of_count(channels).ok());
    match table {
        Some(table) => {
            let _ = writeln!(
                text,
                "classes = {} # the only known set of {} classes; or a file that describes another",
                quoted(&table.classes.name),
                table.classes.len()
            );
        }
        None => text.push_str(
            "# classes = \"cityscapes\" # the classes of the channels in their order: the name of a set, or a file beside this one\n",
        ),
    }
    text.push_str("# void = \"last\" # or \"first\", or its number from 0 on: a channel that is none of the classes\n# name = \"\" # of the network, for people; without it that of the file\n");
    text
}

/// A string in TOML, which has the escapes of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::description::Description;
    use super::*;

    fn port(name: &str, shape: &[Option<usize>]) -> Port {
        Port {
            name: name.to_owned(),
            number: Number::F32,
            shape: shape.to_vec(),
        }
    }

    #[test]
    fn a_template_is_a_description() -> Result<()> {
        let fixed = port("im\"age", &[Some(1), Some(16), Some(24), Some(3)]);
        let free = port("image", &[None, Some(3), None, None]);
        let nineteen = port("out", &[None, Some(19), None, None]);
        let four = port("out", &[Some(1), Some(16), Some(24), Some(4)]);
        for (input, output, layout, size, classes) in [
            (&free, &nineteen, Layout::Nchw, None, Some("cityscapes")),
            (&fixed, &four, Layout::Nhwc, Some("24x16"), None),
        ] {
            let ports = (std::slice::from_ref(input), std::slice::from_ref(output));
            let text = text(Path::new("a/net.onnx"), ports.0, ports.1)?;
            assert!(text.contains("net.onnx.toml"), "{text}");
            let said: Description = artifacts::toml_file::parse(&text)?;
            assert_eq!(said.input.as_ref(), Some(&input.name));
            assert_eq!(said.layout, Some(layout));
            assert_eq!(said.size.as_deref(), size);
            assert_eq!(said.classes.as_deref(), classes);
            // the lines that are left to be said are valid, too
            let said = text
                .replace("\n# mean", "\nmean")
                .replace("\n# std", "\nstd");
            let said: Description = artifacts::toml_file::parse(&said)?;
            assert!(said.mean.is_some() && said.std.is_some());
        }
        Ok(())
    }
}
