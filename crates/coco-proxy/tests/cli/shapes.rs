//! Shapes that cover nothing, and all spellings of shapes and sizes.

use std::fs;

use anyhow::{Context, Result};
use artifacts::mask::Mask;
use serde_json::{Value, json};
use stage_testing::command::{fail, succeed};

use crate::toy::{FEW, Toy, annotation, check, dogs, n_proxies};

#[test]
fn shapes_that_cover_no_pixel_are_no_proxies() -> Result<()> {
    let normalized = json!([[0.5, 0.5, 0.6, 0.5, 0.6, 0.6]]);
    let mut dataset = dogs(3);
    dataset["annotations"][1]["segmentation"] = normalized.clone();
    let toy = Toy::new(&dataset)?;
    let stdout = toy.succeed(&FEW)?;
    assert!(stdout.contains("2 proxies") && stdout.contains("1 whose shapes cover no pixel"));
    assert!(!toy.path("out/masks/000000000002.png").exists());
    let (success, lines, _) = check(&toy)?;
    assert!(
        !success && lines[0].contains("annotation 101 of image 2 covers no pixel"),
        "{lines:?}"
    );
    for i in 0..3 {
        dataset["annotations"][i]["segmentation"] = normalized.clone();
    }
    toy.write(&dataset.to_string())?;
    fail(
        &mut toy.command(&FEW),
        &["there are no proxies", "cover no pixel", "in pixels"],
    )?;
    Ok(())
}

#[test]
fn spellings_of_shapes_and_sizes_are_read() -> Result<()> {
    // pycocotools: encode of the mask that the polygon of `dogs` gives
    let text = DOG_RUNS;
    let toy = Toy::new(&dogs(1))?;
    let plain: Vec<f64> = runs_of(&toy)?;
    for (member, value) in [
        ("segmentation", json!({"size": [48, 64], "counts": text})),
        (
            "segmentation",
            json!({"counts": text, "size": [48.0, 64.0], "x": [1]}),
        ),
        ("segmentation", json!({"size": [48, 64], "counts": plain})),
        ("id", json!("a")),
        ("id", Value::Null),
        ("iscrowd", json!("no")),
        ("bbox", json!({"x": 1})),
    ] {
        let mut dataset = dogs(1);
        dataset["annotations"][0][member] = value;
        toy.write(&dataset.to_string())?;
        assert_eq!(n_proxies(&toy)?, 1, "{dataset}");
    }
    for (member, value) in [
        ("width", json!(0)),
        ("height", json!("48")),
        ("file_name", json!("./000000000001.png")),
        ("license", json!([])),
        ("coco_url", json!(7)),
    ] {
        let mut dataset = dogs(1);
        if member == "width" {
            dataset["images"][0]["height"] = value.clone();
        }
        dataset["images"][0][member] = value;
        toy.write(&dataset.to_string())?;
        assert_eq!(n_proxies(&toy)?, 1, "{dataset}");
    }
    let units: Vec<u8> = dogs(1)
        .to_string()
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    fs::write(
        toy.annotations(),
        [&[0xFE, 0xFF], units.as_slice()].concat(),
    )?;
    assert_eq!(n_proxies(&toy)?, 1);
    Ok(())
}

/// The compressed run lengths of the shape in [`dogs`].
const DOG_RUNS: &str = "h`0`0P19G000000000000O10001O0000000000000000000O100000000000002N5K6J6JTm0";

/// Run lengths of the mask that the shape in [`dogs`] gives.
fn runs_of(toy: &Toy) -> Result<Vec<f64>> {
    n_proxies(toy)?;
    let mask = Mask::read_raw(&toy.path("out/masks/000000000001.png"))?;
    let mut runs = vec![0.0];
    let mut last = false;
    for x in 0..mask.width {
        for y in 0..mask.height {
            let is_object = mask.labels[y * mask.width + x] == 254;
            if is_object != last {
                runs.push(0.0);
                last = is_object;
            }
            *runs.last_mut().context("a run")? += 1.0;
        }
    }
    Ok(runs)
}

#[test]
fn shapes_of_another_place_beside_good_ones_are_reported() -> Result<()> {
    let mut dataset = dogs(1);
    let outside = json!([[100, 10, 120, 10, 120, 30]]);
    let annotations = dataset["annotations"].as_array_mut().context("a list")?;
    annotations.push(annotation(7, 1, 18, &outside));
    let toy = Toy::new(&dataset)?;
    let printed = succeed(&mut toy.command(&FEW))?;
    assert!(
        printed.stdout.starts_with("1 proxies"),
        "{}",
        printed.stdout
    );
    let expected = "1 shapes cover no pixel, for example of annotation 7: ";
    assert!(printed.stderr.contains(expected), "{}", printed.stderr);
    let (success, lines, _) = check(&toy)?;
    assert!(!success && lines[0].contains("annotation 7 of image 1 covers no pixel"));
    Ok(())
}
