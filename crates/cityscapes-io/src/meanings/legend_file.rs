//! Files that name the labels of pictures: `labelmap.txt` of CVAT and `_classes.csv` of Roboflow.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::classes::Color;

/// The names of the labels of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Legend {
    /// By color, as CVAT and other tools for Pascal VOC write them.
    Colors(Vec<(Color, String)>),
    /// By value, as Roboflow writes them.
    Values(Vec<(u8, String)>),
}

/// Reads a legend; `.csv` is that of Roboflow.
///
/// # Errors
/// Returns an error with the line that cannot be read.
pub(crate) fn read(path: &Path) -> Result<Legend> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("could not read {}", path.display()))?;
    let text = text.trim_start_matches('\u{FEFF}');
    let is_csv = path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("csv"));
    let legend = if is_csv {
        classes_csv(text)
    } else {
        labelmap(text)
    };
    legend.with_context(|| format!("{} cannot be used", path.display()))
}

/// Lines `name:red,green,blue:parts:actions`; those that begin with `#` are comments.
fn labelmap(text: &str) -> Result<Legend> {
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let colors = lines.map(|(n, line)| {
        let form = || {
            format!(
                "line {}: {line:?} has not the form name:red,green,blue:parts:actions",
                n + 1
            )
        };
        let mut fields = line.split(':');
        let (name, color) = fields.next().zip(fields.next()).with_context(form)?;
        let color = color.split(',').map(|v| v.trim().parse().ok());
        let color: Option<Vec<u8>> = color.collect();
        let color = color.and_then(|color| color.try_into().ok());
        Ok((Color(color.with_context(form)?), name.trim().to_owned()))
    });
    let colors = colors.collect::<Result<Vec<_>>>()?;
    ensure!(!colors.is_empty(), "it names no colors");
    Ok(Legend::Colors(colors))
}

/// The header `Pixel Value, Class`, and a row for each class.
fn classes_csv(text: &str) -> Result<Legend> {
    let mut reader = csv::ReaderBuilder::new();
    let mut reader = reader.trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().context("line 1")?;
    ensure!(
        header.iter().eq(["Pixel Value", "Class"]),
        "line 1: its columns are {}, and not Pixel Value, Class",
        header.iter().collect::<Vec<_>>().join(", ")
    );
    let rows = reader.into_deserialize::<(u8, String)>().zip(2..);
    let rows = rows.map(|(row, line)| row.with_context(|| format!("line {line}")));
    Ok(Legend::Values(rows.collect::<Result<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legends_are_read_and_others_refused() -> Result<()> {
        let text = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:128, 0,64::\n";
        let expected = [(Color([0; 3]), "background"), (Color([128, 0, 64]), "car")];
        let expected = expected.map(|(color, name)| (color, name.to_owned()));
        assert_eq!(labelmap(text)?, Legend::Colors(expected.to_vec()));
        let text = "Pixel Value, Class\n0, background\n7,\"car, parked\"\n";
        let expected = [(0, "background"), (7, "car, parked")];
        let expected = expected.map(|(value, name)| (value, name.to_owned()));
        assert_eq!(classes_csv(text)?, Legend::Values(expected.to_vec()));
        for (text, reason) in [
            ("car", "line 1"),
            ("a:0,0,0::\n\ncar:300,0,0::", "line 3"),
            ("car:1,2::", "line 1"),
            ("# nothing", "names no colors"),
        ] {
            let error = labelmap(text).expect_err(reason);
            assert!(error.to_string().contains(reason), "{error}");
        }
        for (text, reason) in [
            ("name,id\ncar,1\n", "Pixel Value"),
            ("Pixel Value,Class\n300,a\n", "line 2"),
        ] {
            let error = classes_csv(text).expect_err(reason);
            assert!(error.to_string().contains(reason), "{error}");
        }
        Ok(())
    }
}
