//! Shapes of annotation tools: COCO instances and panoptic, labelme, CVAT.

use anyhow::Result;
use serde_json::{Value, json};

use crate::farm::{farm, indexed, mask, refused, rows, write, write_colors, write_manifest};
use crate::toy::{fail, run, succeed};

/// COCO instances of the images `a.png`, with a field, a cow on it, and a cow as run lengths, and `b.png`, with a barn.
fn coco() -> Value {
    let annotation = |id: u64, image: u64, category: u64, segmentation: Value| json!({"id": id, "image_id": image, "category_id": category, "iscrowd": 0, "segmentation": segmentation});
    json!({
        "images": [
            {"id": 1, "file_name": "a.png", "width": 8, "height": 4},
            {"id": 2, "file_name": "b.png", "width": 8, "height": 4},
        ],
        "annotations": [
            annotation(1, 1, 5, json!([[2, 0, 4, 0, 4, 2, 2, 2]])),
            annotation(2, 1, 3, json!([[0, 0, 6, 0, 6, 4, 0, 4]])),
            annotation(3, 1, 5, json!({"size": [4, 8], "counts": [28, 2, 2]})),
            annotation(4, 2, 9, json!([[1, 1, 7, 1, 7, 3, 1, 3]])),
        ],
        "categories": [
            {"id": 3, "name": "field"}, {"id": 5, "name": "cow"}, {"id": 9, "name": "barn"},
            {"id": 0, "name": "farm-things", "supercategory": "none"},
        ],
    })
}

const COCO: &str = "--images train/{id}.png --masks train/_annotations.coco.json --format coco";

#[test]
fn instances_of_coco_become_classes() -> Result<()> {
    let dir = farm(&["train/a.png", "train/b.png"])?;
    let at = dir.path();
    write(at, "set/train/_annotations.coco.json", &coco().to_string())?;
    for (more, expected) in [
        ("", ["000000.1", "000000.1", "000000..", "000000.."]),
        (
            "--overlaps smaller",
            ["001100.1", "001100.1", "000000..", "000000.."],
        ),
        (
            "--overlaps void",
            ["00..00.1", "00..00.1", "000000..", "000000.."],
        ),
        (
            "--background barn",
            ["00000021", "00000021", "00000022", "00000022"],
        ),
        (
            "--values cow=2,barn=2 --void field",
            [".......2", ".......2", "........", "........"],
        ),
        (
            "--values cow=barn --void others",
            [".......2", ".......2", "........", "........"],
        ),
    ] {
        assert_eq!(
            indexed(at, &format!("{COCO} {more}"), "a")?,
            rows(&expected),
            "{more}"
        );
    }
    assert_eq!(mask(&at.join("out"), "b")?[1], [255; 8]);
    let error = refused(at, &format!("{COCO} --values field=field,barn=barn"))?;
    for part in [
        "categories without a meaning",
        "\"cow\" (2 shapes, the first at annotation 1)",
        "--void others",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let eval = "index --root set --output eval --images train/{id}.png --masks train/_annotations.coco.json --format coco";
    let error = fail(at, &format!("{eval} --values cow=out --void others"))?;
    assert!(
        error.contains("say what pixels without a shape are"),
        "{error}"
    );
    succeed(
        at,
        &format!("{eval} --values cow=out --void others --background in"),
    )?;
    assert_eq!(
        mask(&at.join("eval"), "a")?[0],
        [255, 255, 255, 255, 255, 255, 0, 1]
    );
    Ok(())
}

#[test]
fn annotations_and_images_of_coco_have_to_fit() -> Result<()> {
    let dir = farm(&["train/a.png", "train/b.png", "train/c.png"])?;
    let at = dir.path();
    let file = "set/train/_annotations.coco.json";
    write(at, file, &coco().to_string())?;
    let error = refused(at, COCO)?;
    assert!(
        error.contains("c.png is not among the images of"),
        "{error}"
    );
    std::fs::remove_file(at.join("set/train/c.png"))?;
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut coco = coco();
        change(&mut coco);
        coco.to_string()
    };
    for (text, reason) in [
        (
            changed(&|c| c["images"][1]["width"] = 9.into()),
            "says 9x4 pixels of b.png",
        ),
        (
            changed(&|c| c["annotations"][3]["category_id"] = 77.into()),
            "category 77, which is not listed",
        ),
        (
            changed(&|c| c["annotations"][3]["segmentation"] = json!([[1, 1]])),
            "no valid shape",
        ),
        (
            changed(&|c| c["images"][1]["file_name"] = "a.png".into()),
            "same file_name",
        ),
        ("{".to_owned(), "it ends at byte"),
    ] {
        write(at, file, &text)?;
        let error = refused(at, COCO)?;
        assert!(
            error.contains(reason) && error.contains("_annotations.coco.json"),
            "{error}"
        );
    }
    write(at, file, &coco().to_string())?;
    std::fs::remove_file(at.join("set/train/b.png"))?;
    let masks =
        "path = \"train/_annotations.coco.json\"\nformat = \"coco\"\nvalues = \"class-names\"";
    write_manifest(at, "train/{id}.png", masks)?;
    let (success, lines, _) = run(at, "check --manifest manifest.toml --root set")?;
    assert!(
        !success && lines.contains("has labels of b.png, but no such image"),
        "{lines}"
    );
    succeed(at, "check --manifest manifest.toml --root set --partial")?;
    Ok(())
}

#[test]
fn panoptic_segments_become_classes() -> Result<()> {
    let dir = farm(&["val2017/000000000139.jpg"])?;
    let at = dir.path();
    let id = |id: u32| [(id & 255) as u8, (id >> 8 & 255) as u8, (id >> 16) as u8];
    let (road, person) = (70_000, 300);
    let png = [[id(road); 8], [id(person); 8], [id(0); 8], [id(road); 8]].concat();
    write_colors(
        at,
        "set/annotations/panoptic_val2017/000000000139.png",
        &png,
    )?;
    let file = |segments: Value| {
        json!({
            "images": [],
            "annotations": [{"image_id": 139, "file_name": "000000000139.png", "segments_info": segments}],
            "categories": [{"id": 1, "name": "person"}, {"id": 149, "name": "road"}],
        })
        .to_string()
    };
    let good = file(json!([{"id": road, "category_id": 149}, {"id": person, "category_id": 1}]));
    let json = "set/annotations/panoptic_val2017.json";
    write(at, json, &good)?;
    let prepare = "prepare --dataset coco-panoptic-val2017 --root set --force --output out";
    succeed(at, prepare)?;
    let road_id = artifacts::classes::ClassSet::open("coco-panoptic")?.position("road");
    let road_id = road_id.map_or(255, |position| position as u8);
    let labels = mask(&at.join("out"), "000000000139")?;
    assert_eq!(labels, [[road_id; 8], [0; 8], [255; 8], [road_id; 8]]);
    succeed(
        at,
        &format!("{prepare} --class-map coco-panoptic-to-cityscapes"),
    )?;
    let labels = mask(&at.join("out"), "000000000139")?;
    assert_eq!(labels, [[0; 8], [11; 8], [255; 8], [0; 8]]);
    for (text, reason) in [
        (
            file(json!([{"id": road, "category_id": 149}])),
            "has the segment 300 at row 1, column 0",
        ),
        (
            file(json!([{"id": road, "category_id": 2}])),
            "with the category 2",
        ),
        (good.replace("000000000139.png", "1.png"), "says nothing of"),
        (coco().to_string(), "is not a file of COCO panoptic"),
    ] {
        write(at, json, &text)?;
        let error = fail(at, prepare)?;
        assert!(error.contains(reason), "{error}");
    }
    Ok(())
}

/// A file of labelme with these shapes.
fn labelme(shapes: &Value) -> String {
    json!({
        "version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": "a.jpg", "imageData": null,
        "imageHeight": 4, "imageWidth": 8,
    })
    .to_string()
}

#[test]
fn shapes_of_labelme_become_classes() -> Result<()> {
    let dir = farm(&["a.jpg"])?;
    let at = dir.path();
    let shape = |label: &str, kind: &str, points: Value| json!({"label": label, "points": points, "group_id": null, "shape_type": kind, "flags": {}});
    let mut bitmap = shape("barn", "mask", json!([[0, 2], [1, 3]]));
    // a PNG of 2x2 pixels of 1 bit: white and black, black and white
    bitmap["mask"] = json!(bits()?);
    let shapes = json!([
        shape("field", "rectangle", json!([[0, 0], [7, 3]])),
        shape("cow", "polygon", json!([[2, 0], [4, 0], [4, 1], [2, 1]])),
        bitmap,
        shape("__ignore__", "circle", json!([[7, 3], [7.8, 3]])),
    ]);
    write(at, "set/a.json", &labelme(&shapes))?;
    let flags = "--masks {id}.json --format labelme";
    let labels = indexed(at, flags, "a")?;
    assert_eq!(
        labels,
        rows(&["00111000", "00111000", "200000..", "020000.."])
    );
    for (shapes, reason) in [
        (
            json!([shape("dragon", "polygon", json!([[0, 0], [1, 0], [1, 1]]))]),
            "\"dragon\" (1 shapes, the first at shape 1)",
        ),
        (
            json!([shape("cow", "linestrip", json!([[0, 0], [1, 0], [1, 1]]))]),
            "is a linestrip, which covers no area",
        ),
        (
            json!([shape("cow", "polygon", json!([[0, 0], [1, 0]]))]),
            "has 2 corners",
        ),
        (
            json!([shape("cow", "rectangle", json!([[0, 0]]))]),
            "is a rectangle of 1 points",
        ),
        (
            json!([shape("cow", "mask", json!([[0, 0], [1, 1]]))]),
            "has no mask",
        ),
        (
            json!([shape("cow", "blob", json!([[0, 0], [1, 1]]))]),
            "kind \"blob\", which is not known",
        ),
    ] {
        write(at, "set/a.json", &labelme(&shapes))?;
        let error = refused(at, flags)?;
        assert!(
            error.contains(reason) && error.contains("a.json"),
            "{error}"
        );
    }
    write(
        at,
        "set/a.json",
        &labelme(&shapes).replace("\"imageWidth\":8", "\"imageWidth\":9"),
    )?;
    let error = refused(at, flags)?;
    assert!(
        error.contains("is for 9x4 pixels, but its image has 8x4"),
        "{error}"
    );
    Ok(())
}

/// Base64 of a PNG of 2x2 pixels: 1 and 0, 0 and 1.
fn bits() -> Result<String> {
    use base64::Engine;
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, 2, 2);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    encoder
        .write_header()?
        .write_image_data(&[0b1000_0000, 0b0100_0000])?;
    Ok(base64::prelude::BASE64_STANDARD.encode(png))
}

/// An `annotations.xml` of "CVAT for images" with these shapes of the image `a.png`.
fn cvat(shapes: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><labels><label><name>cow</name></label></labels></task></meta>
  <image id="0" name="images/a.png" width="8" height="4">
    {shapes}
  </image>
</annotations>
"#
    )
}

#[test]
fn shapes_of_cvat_become_classes() -> Result<()> {
    let dir = farm(&["images/a.png"])?;
    let at = dir.path();
    let shapes = r#"
    <polygon label="cow" source="manual" occluded="0" points="2.0,0.0;4.0,0.0;4.0,2.0;2.0,2.0" z_order="2">
      <attribute name="breed">Holstein</attribute>
    </polygon>
    <box label="field" source="manual" occluded="0" xtl="0.0" ytl="0.0" xbr="6.0" ybr="4.0" z_order="0"/>
    <mask label="barn" source="manual" occluded="0" rle="1, 2, 1" left="6" top="2" width="2" height="2" z_order="1"/>
    <ellipse label="cow" source="manual" occluded="0" cx="7.0" cy="1.0" rx="1.0" ry="1.0" z_order="0"/>
    <tag label="sunny" source="manual"/>"#;
    write(at, "set/annotations.xml", &cvat(shapes))?;
    let flags = "--images images/{id}.png --masks annotations.xml --format cvat";
    let labels = indexed(at, flags, "a")?;
    assert_eq!(
        labels,
        rows(&["00110011", "00110011", "000000.2", "0000002."])
    );
    for (shapes, reason) in [
        (
            r#"<box label="dragon" xtl="0" ytl="0" xbr="1" ybr="1"/>"#,
            "\"dragon\" (1 shapes, the first at shape 1 of images/a.png)",
        ),
        (
            r#"<polyline label="cow" points="0,0;1,1"/>"#,
            "kind polyline, which covers no area",
        ),
        (
            r#"<cuboid label="cow"/>"#,
            "kind \"cuboid\", which is not known",
        ),
        (
            r#"<polygon label="cow" points="0,0;1,1"/>"#,
            "has 2 corners",
        ),
        (
            r#"<polygon label="cow" points="0,0;1,x;2,2"/>"#,
            "not numbers in the form",
        ),
        (
            r#"<mask label="cow" rle="1, 2" left="0" top="0" width="2" height="2"/>"#,
            "does not add up",
        ),
        (
            r#"<mask label="cow" rle="4" left="7" top="0" width="2" height="2"/>"#,
            "outside of the image",
        ),
        ("</image>", "it is not XML"),
    ] {
        write(at, "set/annotations.xml", &cvat(shapes))?;
        let error = refused(at, flags)?;
        assert!(
            error.contains(reason) && error.contains("annotations.xml"),
            "{error}"
        );
    }
    let video = "<annotations><track id=\"0\" label=\"cow\"/></annotations>";
    write(at, "set/annotations.xml", video)?;
    let error = refused(at, flags)?;
    assert!(error.contains("\"CVAT for video\": export"), "{error}");
    write(
        at,
        "set/annotations.xml",
        &cvat("").replace("width=\"8\"", "width=\"9\""),
    )?;
    let error = refused(at, flags)?;
    assert!(error.contains("says 9x4 pixels of images/a.png"), "{error}");
    Ok(())
}
