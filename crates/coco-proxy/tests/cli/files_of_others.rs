//! Annotation files of other tools and data sets than COCO.

use std::fs;

use anyhow::Result;
use artifacts::index::Index;
use serde_json::{Value, json};
use stage_testing::command::succeed;

use crate::toy::{FEW, Toy, coco_proxy, dogs, n_proxies};

#[test]
fn what_masks_do_not_need_may_be_anything() -> Result<()> {
    let toy = Toy::new(&dogs(2))?;
    let text = dogs(2).to_string();
    let member = |more: &str| text.replace("\"iscrowd\":0", &format!("\"iscrowd\":0,{more}"));
    for text in [
        text.clone(),
        text.replacen('{', r#"{"info":{"year":""},"licenses":[{"id":"x"}],"#, 1),
        member(r#""bbox":[NaN,-Infinity,Infinity,NaN],"area":NaN"#),
        member(r#""bbox":[],"area":null"#),
        member(r#""keypoints":[[1,2,2]],"score":"0.9","attributes":{"a":["]}"]}"#),
        text.replace("\"license\":4", "\"license\":\"CC\",\"date_captured\":0"),
        format!("\u{feff}{text}"),
        text.replace("\"width\":64", "\"width\":null"),
        text.replace("\"width\":64", "\"width\":64.0")
            .replace("\"height\":48", "\"height\":\"48\""),
        text.replace("\"id\":1,", "\"id\":1.0,"),
    ] {
        toy.write(&text)?;
        assert_eq!(n_proxies(&toy)?, 2, "{text}");
    }
    let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(
        toy.annotations(),
        [&[0xFF, 0xFE], units.as_slice()].concat(),
    )?;
    assert_eq!(n_proxies(&toy)?, 2);
    Ok(())
}

#[test]
fn ids_may_be_texts_and_large_numbers() -> Result<()> {
    for (spelling, expected) in [
        (json!("0000001_02999_d_0000000"), "0000001_02999_d_0000000"),
        (json!("a b/ü"), "a_b__"),
        (json!("7"), "000000000007"),
    ] {
        let mut dataset = dogs(1);
        dataset["images"][0]["id"] = spelling.clone();
        dataset["annotations"][0]["image_id"] = spelling;
        let toy = Toy::new(&dataset)?;
        assert_eq!(n_proxies(&toy)?, 1);
        assert_eq!(
            Index::read(&toy.path("out"))?.samples[0].sample_id,
            expected
        );
    }
    let large = "340282366920938463463374607431768211455";
    let toy = Toy::new(&dogs(1))?;
    let text = dogs(1)
        .to_string()
        .replace("\"id\":1,", &format!("\"id\":{large},"));
    toy.write(&text.replace("\"image_id\":1,", &format!("\"image_id\":{large},")))?;
    assert_eq!(n_proxies(&toy)?, 1);
    Ok(())
}

#[test]
fn file_names_of_other_systems_and_of_lvis_are_found() -> Result<()> {
    let toy = Toy::new(&dogs(2))?;
    let mut dataset = dogs(2);
    fs::create_dir_all(toy.path("train2017/images/0"))?;
    for id in [1, 2] {
        let name = format!("{id:012}.png");
        fs::copy(
            toy.path("train2017").join(&name),
            toy.path("train2017/images/0").join(&name),
        )?;
        dataset["images"][id - 1]["file_name"] = json!(format!("images\\0\\{name}"));
    }
    toy.write(&dataset.to_string())?;
    assert_eq!(n_proxies(&toy)?, 2);
    for id in [1, 2] {
        let url = format!("http://images.cocodataset.org/train2017/{id:012}.png");
        dataset["images"][id - 1]["coco_url"] = json!(url);
        dataset["images"][id - 1]["file_name"] = Value::Null;
    }
    toy.write(&dataset.to_string())?;
    assert_eq!(n_proxies(&toy)?, 2);
    // LVIS keeps COCO's folders of images
    let lvis = toy.path("annotations/lvis_v1_train.json");
    fs::rename(toy.annotations(), &lvis)?;
    let mut command = coco_proxy(&["--annotations"]);
    succeed(
        command
            .arg(&lvis)
            .args(FEW)
            .arg("--output")
            .arg(toy.path("lvis")),
    )?;
    let index = Index::read(&toy.path("lvis"))?;
    assert!(
        index
            .image_path(&index.samples[1])?
            .ends_with("train2017/000000000002.png")
    );
    Ok(())
}

#[test]
fn other_kinds_of_files_are_named() -> Result<()> {
    let toy = Toy::new(&dogs(1))?;
    let with = |annotation: Value| {
        let mut dataset = dogs(1);
        dataset["annotations"] = json!([annotation]);
        dataset.to_string()
    };
    for (text, expected) in [
        (
            with(json!({"image_id": 1, "file_name": "1.png", "segments_info": []})),
            "panoptic",
        ),
        (
            with(json!({"id": 1, "image_id": 1, "caption": "a dog"})),
            "captions",
        ),
        (
            with(json!({"id": 1, "image_id": 1, "category_id": 18, "keypoints": [1, 2, 2]})),
            "keypoints",
        ),
        (
            with(
                json!({"id": 1, "image_id": 1, "category_id": 18, "bbox": [1, 2, 3, 4], "segmentation": []}),
            ),
            "boxes",
        ),
        (
            json!({"shapes": [], "imagePath": "1.png"}).to_string(),
            "LabelMe",
        ),
        (String::new(), "it is empty"),
        (
            "version https://git-lfs.github.com/spec/v1".to_owned(),
            "git lfs pull",
        ),
        (
            json!({"images": {}, "annotations": []}).to_string(),
            "not a list",
        ),
    ] {
        toy.write(&text)?;
        toy.fail(&FEW, &["instances_train2017.json", expected])?;
    }
    Ok(())
}

#[test]
fn known_classes_under_another_spelling_are_excluded() -> Result<()> {
    let proxies = |names: [&str; 3], more: &[&str]| -> Result<Vec<String>> {
        let mut dataset = dogs(3);
        for (i, name) in names.iter().enumerate() {
            dataset["categories"][i] = json!({"id": i, "name": name});
            dataset["annotations"][i]["category_id"] = json!(i);
        }
        let toy = Toy::new(&dataset)?;
        toy.succeed(&[&FEW[..], more].concat())?;
        let samples = Index::read(&toy.path("out"))?.samples.into_iter();
        Ok(samples
            .filter_map(|s| s.proxy)
            .flat_map(|p| p.categories)
            .collect())
    };
    assert_eq!(proxies(["Person", "Car", "dog"], &[])?, ["dog"]);
    assert_eq!(
        proxies(["dog", "car_(automobile)", "traffic_light"], &[])?,
        ["dog"]
    );
    assert_eq!(
        proxies(["motorbike", "TrafficLight", "sofa"], &[])?,
        ["sofa"]
    );
    assert_eq!(
        proxies(["sofa", "Dog", "cat"], &["--exclude", "couch,dogs"])?,
        ["cat"]
    );
    // similar to a class that the file does not have
    assert!(proxies(["sports car", "dog", "cat"], &[]).is_err());
    let allow = ["--allow-missing-categories"];
    assert_eq!(proxies(["sports car", "dog", "cat"], &allow)?.len(), 3);
    let toy = Toy::new(&dogs(1))?;
    let text = dogs(1).to_string().replace("\"car\"", "\"sports car\"");
    toy.write(&text)?;
    toy.fail(
        &FEW,
        &[
            "\"car\" (similar: sports car)",
            "--allow-missing-categories",
        ],
    )
}

#[test]
fn files_that_are_something_else_are_named() -> Result<()> {
    let toy = Toy::new(&dogs(2))?;
    let text = dogs(2).to_string();
    // latin-1, as some tools on Windows write it
    let latin_1 = text.replace("bird", "v\u{F6}gel");
    let bytes: Vec<u8> = latin_1.chars().map(|c| c as u8).collect();
    fs::write(toy.annotations(), bytes)?;
    toy.fail(&FEW, &["not UTF-8 at byte", "save it as UTF-8"])?;
    for (text, expected) in [
        (format!("{text}{text}"), "not JSON at byte"),
        (
            json!({"images": [], "annotations": []}).to_string(),
            "lists no images",
        ),
        (
            json!({"images": [{"id": 1}], "categories": []}).to_string(),
            "no annotations",
        ),
        ("<annotations><image/></annotations>".to_owned(), "XML"),
        (
            json!({"info": {}, "categories": {}, "items": []}).to_string(),
            "Datumaro",
        ),
        (
            json!({"imgWidth": 1, "imgHeight": 1, "objects": []}).to_string(),
            "Cityscapes",
        ),
    ] {
        toy.write(&text)?;
        toy.fail(&FEW, &["instances_train2017.json", expected])?;
    }
    Ok(())
}
