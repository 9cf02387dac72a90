//! Color-coded masks, and palettes of Pascal VOC and CVAT.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::farm::{
    farm, indexed, mask, refused, rows, write, write_colors, write_manifest, write_values,
};
use crate::toy::{fail, run, succeed};

const GREEN: [u8; 3] = [0, 255, 0];
const BROWN: [u8; 3] = [128, 64, 0];
const BLACK: [u8; 3] = [0; 3];

/// Four rows of colors: field, cow, field and cow, and `last`.
fn colors(last: [u8; 3]) -> Vec<[u8; 3]> {
    [
        [GREEN; 8],
        [BROWN; 8],
        [GREEN, BROWN, GREEN, BROWN, GREEN, BROWN, GREEN, BROWN],
        [last; 8],
    ]
    .concat()
}

const MASKS: &str = "--images {id}.jpg --masks {id}_color.png";

#[test]
fn colors_become_classes_and_unknown_ones_are_listed() -> Result<()> {
    let dir = farm(&["a.jpg"])?;
    let at = dir.path();
    write_colors(at, "set/a_color.png", &colors(BLACK))?;
    let expected = rows(&["00000000", "11111111", "01010101", "........"]);
    for values in [
        "#00FF00=0,#804000=1,#000000=255",
        "#00ff00=field,#804000=cow,#000000=void",
        "class-colors --void #000000",
        "class-colors --void others",
        "#00FF00=field --void #000000 --values #804000=cow",
    ] {
        let masks = indexed(at, &format!("{MASKS} --values {values}"), "a")?;
        assert_eq!(masks, expected, "{values}");
    }
    let mut wrong = colors(BLACK);
    wrong[9] = [128, 64, 1];
    write_colors(at, "set/a_color.png", &wrong)?;
    let error = refused(at, &format!("{MASKS} --values class-colors"))?;
    for part in [
        "a_color.png has colors without a meaning",
        "#000000 (8 pixels, the first at row 3, column 0)",
        "#804001 (1 pixels, the first at row 1, column 1)",
        "--void others",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
    for (values, reason) in [
        ("#00FF0=field", "is not a color"),
        ("#00FF00=dragon", "neither a class of \"farm\" nor void"),
        ("#00FF00=7", "the value 7 does not exist"),
        ("#00FF00=0 --void #00FF00", "given twice"),
        ("class-names", "pictures hold no names"),
        ("class-colours", "there is no table"),
    ] {
        let error = refused(at, &format!("{MASKS} --values {values}"))?;
        assert!(error.contains(reason), "{error}");
    }
    Ok(())
}

#[test]
fn palettes_count_as_colors_and_jpegs_do_not() -> Result<()> {
    let dir = farm(&["a.jpg"])?;
    let at = dir.path();
    let file = fs::File::create(at.join("set/a_color.png"))?;
    let mut encoder = png::Encoder::new(file, 8, 4);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette([BLACK, BROWN, GREEN].concat());
    let indices = [[2; 8], [1; 8], [2, 1, 2, 1, 2, 1, 2, 1], [0; 8]].concat();
    encoder.write_header()?.write_image_data(&indices)?;
    let labels = indexed(
        at,
        &format!("{MASKS} --values class-colors --void #000000"),
        "a",
    )?;
    assert_eq!(
        labels,
        rows(&["00000000", "11111111", "01010101", "........"])
    );
    let jpeg = image::RgbImage::new(8, 4);
    jpeg.save_with_format(at.join("set/a_color.png"), image::ImageFormat::Jpeg)?;
    let error = refused(at, &format!("{MASKS} --values class-colors"))?;
    assert!(
        error.contains("it is a JPEG, which mixes colors at their borders"),
        "{error}"
    );
    Ok(())
}

#[test]
fn check_adds_up_colors_without_a_meaning() -> Result<()> {
    let dir = farm(&["images/a.jpg", "images/b.jpg", "images/c.jpg"])?;
    let at = dir.path();
    for (id, last) in [("a", BLACK), ("b", [9; 3]), ("c", BLACK)] {
        write_colors(at, &format!("set/masks/{id}.png"), &colors(last))?;
    }
    let masks = r##"path = "masks/{id}.png"
values = { "#00FF00" = "field", "#804000" = 1 }"##;
    write_manifest(at, "images/{id}.jpg", masks)?;
    let (success, lines, _) = run(at, "check --manifest manifest.toml --root set")?;
    assert!(!success);
    for line in [
        "the color #000000 has no meaning: 16 pixels in 2 images, the first at row 3, column 0 of set/masks/a.png",
        "the color #090909 has no meaning: 8 pixels in 1 images, the first at row 3, column 0 of set/masks/b.png",
    ] {
        assert!(lines.contains(line), "{line} in {lines}");
    }
    write_manifest(
        at,
        "images/{id}.jpg",
        &format!("{masks}\nvoid = \"others\""),
    )?;
    succeed(at, "check --manifest manifest.toml --root set")?;
    succeed(
        at,
        "prepare --manifest manifest.toml --root set --output out",
    )?;
    assert_eq!(mask(&at.join("out"), "b")?[3], [255; 8]);
    Ok(())
}

/// The folder of Pascal VOC, with three images, of which two belong to the split.
fn write_voc(at: &Path) -> Result<()> {
    for id in ["2007_000032", "2007_000033", "2007_000039"] {
        let values = [[0; 8], [15; 8], [20; 8], [255; 8]].concat();
        write_values(at, &format!("set/SegmentationClass/{id}.png"), &values)?;
        fs::create_dir_all(at.join("set/JPEGImages"))?;
        image::RgbImage::new(8, 4).save(at.join(format!("set/JPEGImages/{id}.jpg")))?;
    }
    write(
        at,
        "set/ImageSets/Segmentation/val.txt",
        "2007_000033\n2007_000039\n",
    )
}

#[test]
fn pascal_voc_has_the_images_of_its_split() -> Result<()> {
    let dir = farm(&[])?;
    let at = dir.path();
    write_voc(at)?;
    succeed(
        at,
        "prepare --dataset pascal-voc-2012-val --root set --output out",
    )?;
    let labels = mask(&at.join("out"), "2007_000039")?;
    assert_eq!(labels, [[0; 8], [15; 8], [20; 8], [255; 8]]);
    let index = artifacts::index::Index::read(&at.join("out"))?;
    assert_eq!(index.samples.len(), 2);
    assert_eq!(index.classes()?.classes[15].name, "person");
    fs::remove_file(at.join("set/JPEGImages/2007_000039.jpg"))?;
    let prepare = "prepare --dataset pascal-voc-2012-val --root set --output new";
    let error = fail(at, prepare)?;
    let expected = "val.txt lists 2007_000039, which is not among";
    assert!(error.contains(expected), "{error}");
    fs::remove_file(at.join("set/ImageSets/Segmentation/val.txt"))?;
    let error = fail(at, prepare)?;
    let expected = "val.txt does not exist, which lists the samples";
    assert!(error.contains(expected), "{error}");
    Ok(())
}

#[test]
fn masks_of_cvat_are_read_by_their_label_map() -> Result<()> {
    let dir = farm(&["JPEGImages/a.png"])?;
    let at = dir.path();
    write_colors(at, "set/SegmentationClass/a.png", &colors(BLACK))?;
    let map =
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncow:128,64,0::\nfield:0,255,0::\n";
    write(at, "set/labelmap.txt", map)?;
    let flags =
        "--images JPEGImages/{id}.png --masks SegmentationClass/{id}.png --legend labelmap.txt";
    let error = refused(at, flags)?;
    let expected = "labelmap.txt has categories without a meaning: \"background\"";
    assert!(error.contains(expected), "{error}");
    let labels = indexed(at, &format!("{flags} --void background"), "a")?;
    assert_eq!(
        labels,
        rows(&["00000000", "11111111", "01010101", "........"])
    );
    write(at, "set/labelmap.txt", &map.replace("128,64,0", "128,64,1"))?;
    let error = refused(at, &format!("{flags} --void background"))?;
    assert!(
        error.contains("#804000 (12 pixels, the first at row 1, column 0)"),
        "{error}"
    );
    fs::remove_file(at.join("set/labelmap.txt"))?;
    let error = refused(at, flags)?;
    assert!(
        error.contains("has no legend: labelmap.txt does not exist"),
        "{error}"
    );
    Ok(())
}

#[test]
fn masks_of_roboflow_are_read_by_their_list_of_classes() -> Result<()> {
    let dir = farm(&["train/a_jpg.rf.0f.jpg", "train/b_jpg.rf.1e.jpg"])?;
    let at = dir.path();
    let values = [[0; 8], [1; 8], [2; 8], [1; 8]].concat();
    for id in ["a_jpg.rf.0f", "b_jpg.rf.1e"] {
        write_values(at, &format!("set/train/{id}_mask.png"), &values)?;
    }
    write(
        at,
        "set/train/_classes.csv",
        "Pixel Value, Class\n0, background\n1, cow\n2, field\n",
    )?;
    let flags = "--images train/{id}.jpg --masks train/{id}_mask.png --legend train/_classes.csv";
    let labels = indexed(at, &format!("{flags} --void background"), "a_jpg.rf.0f")?;
    assert_eq!(
        labels,
        rows(&["........", "11111111", "00000000", "11111111"])
    );
    write(at, "set/train/_classes.csv", "id,name\n0,background\n")?;
    let error = refused(at, &format!("{flags} --void background"))?;
    assert!(error.contains("not Pixel Value, Class"), "{error}");
    Ok(())
}
