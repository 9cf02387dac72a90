//! Tables of classes for people: those of a class set, the shipped class sets, and all labels of Cityscapes.

use anyhow::Result;
use artifacts::cityscapes::LABELS;
use artifacts::classes::ClassSet;
use comfy_table::{Table, presets};

/// The class sets that are compiled in.
///
/// # Errors
/// Returns an error if a description that is compiled in is damaged.
pub(crate) fn shipped() -> Result<Table> {
    let mut table = table(&["name", "classes", "title", "web page"]);
    for set in ClassSet::shipped()? {
        let number = set.len().to_string();
        table.add_row([set.name, number, set.title, set.url]);
    }
    Ok(table)
}

/// The classes of a set, and the values in the data set's own label files that are void.
pub(crate) fn classes(set: &ClassSet) -> Table {
    let mut table = table(&["name", "train id", "id", "color", "category"]);
    for (train_id, class) in set.classes.iter().enumerate() {
        let id = class.id.map_or(train_id, usize::from);
        table.add_row([
            class.name.clone(),
            train_id.to_string(),
            id.to_string(),
            class.color.into(),
            class.category.clone().unwrap_or_default(),
        ]);
    }
    let void = set.void_ids.iter().map(u8::to_string);
    let void = void.chain(["255".to_owned()]).collect::<Vec<_>>().join(" ");
    table.add_row(["(void)", "255", &void, "", ""]);
    table
}

/// The labels of Cityscapes as cityscapesScripts lists them.
pub(crate) fn cityscapes_labels() -> Table {
    let mut table = table(&[
        "name",
        "id",
        "train id",
        "category",
        "instances",
        "ignored",
        "color",
    ]);
    for label in LABELS {
        let [r, g, b] = label.color;
        table.add_row([
            label.name.to_owned(),
            label.id.to_string(),
            label.train_id.to_string(),
            label.category.to_owned(),
            label.has_instances.to_string(),
            label.ignore_in_eval.to_string(),
            format!("{r},{g},{b}"),
        ]);
    }
    table
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(header);
    table
}
