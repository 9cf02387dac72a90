//! `seg-model import` of folders as Hugging Face publishes networks.

mod common;

use std::collections::BTreeMap;
use std::fs;

use anyhow::Result;
use artifacts::logits::Logits;
use candle_core::{Device, Tensor};
use common::{Toy, seg_model, table, top_files};
use seg_model::checkpoint::{Checkpoint, write_tensors};
use seg_model::nets::Network;
use seg_model::params::Params;
use serde_json::{Value, json};
use stage_testing::command::{fail_quietly, succeed};

/// `config.json` as the library writes it, with these labels; sizes that are those of B0 are left out.
fn config(labels: &[&str]) -> Value {
    let labels = labels.iter().enumerate();
    let id2label: BTreeMap<_, _> = labels.map(|(id, label)| (id.to_string(), *label)).collect();
    json!({
        "architectures": ["SegformerForSemanticSegmentation"],
        "model_type": "segformer",
        "depths": [2, 2, 2, 2],
        "hidden_sizes": [32, 64, 160, 256],
        "decoder_hidden_size": 256,
        "id2label": id2label,
        "torch_dtype": "float32",
    })
}

/// Writes a folder of a SegFormer-B0 with this many output channels.
fn write_folder(toy: &Toy, channels: usize, config: &Value) -> Result<BTreeMap<String, Tensor>> {
    let folder = toy.path("hub");
    fs::create_dir_all(&folder)?;
    let params = Params::random(1, &Device::Cpu);
    Network::SegformerB0.build_trainable(channels, &params)?;
    let variables = params.variables().into_iter();
    let tensors: BTreeMap<_, _> = variables
        .map(|(name, variable)| (name, variable.as_detached_tensor()))
        .collect();
    let metadata = BTreeMap::from([("format", "pt".to_owned())]);
    write_tensors(&folder.join("model.safetensors"), &metadata, &tensors)?;
    fs::write(folder.join("config.json"), config.to_string())?;
    let preprocessor = json!({
        "do_normalize": true,
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "image_mean": [0.5, 0.25, 0.0],
        "image_std": [1.0, 0.5, 0.25],
        "size": { "height": 512, "width": 1024 },
    });
    fs::write(
        folder.join("preprocessor_config.json"),
        preprocessor.to_string(),
    )?;
    Ok(tensors)
}

fn import(toy: &Toy, file: &str, more: &[&str]) -> std::process::Command {
    let mut command = seg_model();
    command
        .arg("import")
        .arg(toy.path(file))
        .arg("--output")
        .arg(toy.path("imported.safetensors"))
        .args(more);
    command
}

fn imported(toy: &Toy) -> Result<Checkpoint> {
    Checkpoint::read(&toy.path("imported.safetensors"), None)
}

#[test]
fn a_folder_says_its_classes_and_how_images_are_prepared() -> Result<()> {
    let toy = Toy::new()?;
    write_folder(&toy, 3, &config(&["floor", "Wall", "door"]))?;
    let said = succeed(&mut import(&toy, "hub", &[]))?.stdout;
    for line in [
        "config.json: its 3 labels are the channels, with the classes of id2label",
        "preprocessor_config.json: mean [0.5, 0.25, 0.0], standard deviation [1.0, 0.5, 0.25]",
        "preprocessor_config.json: images of 1024x512 pixels, to which infer resizes them unless its --input-size says otherwise",
        "channel 1: Wall #28E628",
    ] {
        assert!(
            said.lines().any(|l| l == line),
            "{line:?} is not in: {said}"
        );
    }
    let shown = succeed(seg_model().arg("inspect").arg(toy.path("hub")))?.stdout;
    assert!(shown.contains("channel 0: floor #E62828"), "{shown}");
    let bytes = fs::read(toy.path("imported.safetensors"))?;
    let weights = imported(&toy)?;
    assert!(weights.classes().names().eq(["floor", "Wall", "door"]));
    assert_eq!(weights.normalization.mean, [0.5, 0.25, 0.0]);
    assert!(weights.source.starts_with("model.safetensors, BLAKE3 "));
    // the weights file itself says the same
    succeed(&mut import(&toy, "hub/model.safetensors", &[]))?;
    assert!(fs::read(toy.path("imported.safetensors"))? == bytes);
    // flags win
    let flags = ["--mean", "0,0,0", "--std", "1,1,1"];
    let said = succeed(&mut import(&toy, "hub", &flags))?.stdout;
    assert!(said.contains("not taken because of --mean"), "{said}");
    assert_eq!(imported(&toy)?.normalization.std, [1.0; 3]);
    fail_quietly(
        &mut import(&toy, "hub", &["-q", "--classes", "cityscapes"]),
        &["3 output channels", "19 classes"],
    )
}

#[test]
fn known_labels_are_the_class_set_of_their_names() -> Result<()> {
    let toy = Toy::new()?;
    let cityscapes = table(19)?.classes;
    let mut names: Vec<_> = cityscapes.names().collect();
    write_folder(&toy, 19, &config(&names))?;
    succeed(&mut import(&toy, "hub", &[]))?;
    assert_eq!(imported(&toy)?.classes(), &cityscapes);
    // another order of 19 labels is not that set, though their number is its own
    names.swap(0, 1);
    write_folder(&toy, 19, &config(&names))?;
    succeed(&mut import(&toy, "hub", &[]))?;
    assert!(imported(&toy)?.classes().names().eq(names.iter().copied()));
    Ok(())
}

/// Inference on the published files themselves takes the same from them, and notices when they change.
#[test]
fn inference_reads_the_files_beside_the_weights() -> Result<()> {
    let toy = Toy::new()?;
    let names = |output: &str| -> Result<Vec<String>> {
        let logits = Logits::read(&toy.logits(output, "a"))?;
        Ok(logits.info.classes.names().map(str::to_owned).collect())
    };
    write_folder(&toy, 3, &config(&["floor", "wall", "door"]))?;
    write_size(&toy, &json!({ "height": 32, "width": 64 }))?;
    let infer = || toy.infer_with("hub/model.safetensors", "out", &["--limit", "1"]);
    succeed(&mut infer())?;
    assert_eq!(names("out")?, ["floor", "wall", "door"]);
    let bytes = top_files(&toy.path("out"))?;
    succeed(&mut import(&toy, "hub", &[]))?;
    succeed(&mut toy.infer_with("imported.safetensors", "imported", &["--limit", "1"]))?;
    assert!(top_files(&toy.path("imported"))? == bytes);
    let other = config(&["floor", "wall", "window"]);
    fs::write(toy.path("hub/config.json"), other.to_string())?;
    succeed(&mut infer())?;
    assert_eq!(names("out")?, ["floor", "wall", "window"]);
    Ok(())
}

/// Replaces the size in `preprocessor_config.json`.
fn write_size(toy: &Toy, size: &Value) -> Result<()> {
    let path = toy.path("hub/preprocessor_config.json");
    let mut preprocessor: Value = serde_json::from_slice(&fs::read(&path)?)?;
    preprocessor["size"] = size.clone();
    Ok(fs::write(path, preprocessor.to_string())?)
}

/// Infers an image of 32x32 pixels; returns what is logged, and columns and rows of its logits.
fn infer_one(
    toy: &Toy,
    weights: &str,
    output: &str,
    more: &[&str],
) -> Result<(String, (usize, usize))> {
    let more = [&["--limit", "1"], more].concat();
    let text = succeed(&mut toy.infer_with(weights, output, &more))?.stderr;
    let logits = Logits::read(&toy.logits(output, "a"))?;
    let size = (logits.info.output_width, logits.info.output_height);
    assert_eq!(size, (32, 32));
    Ok((text, (logits.width, logits.height)))
}

/// Images get the size for which the network was published, also after an import, unless a flag says otherwise.
#[test]
fn images_are_resized_as_the_files_say() -> Result<()> {
    let toy = Toy::new()?;
    write_folder(&toy, 3, &config(&["floor", "wall", "door"]))?;
    write_size(&toy, &json!({ "height": 32, "width": 64 }))?;
    let own = (8, 8); // a quarter of 32x32
    let infer = |weights: &str, output: &str, more: &[&str]| infer_one(&toy, weights, output, more);
    let (text, size) = infer("hub/model.safetensors", "hub-out", &[])?;
    assert_eq!(size, (16, 8));
    assert!(text.contains("images are resized to 64x32"), "{text}");
    succeed(&mut import(&toy, "hub", &[]))?;
    let size = imported(&toy)?.input_size.map(|size| size.to_string());
    assert_eq!(size.as_deref(), Some("64x32"));
    assert_eq!(infer("imported.safetensors", "out", &[])?.1, (16, 8));
    for (flag, size) in [("image", own), ("48x32", (12, 8))] {
        let (text, found) = infer("imported.safetensors", flag, &["--input-size", flag])?;
        assert_eq!(found, size);
        assert!(!text.contains("are resized to"), "{text}");
    }
    // the import takes a flag of the same name
    succeed(&mut import(&toy, "hub", &["--input-size", "image"]))?;
    assert_eq!(infer("imported.safetensors", "none", &[])?.1, own);
    // one number is the side of a square; one side alone is no size
    write_size(&toy, &json!(40))?;
    assert_eq!(infer("hub/model.safetensors", "square", &[])?.1, (10, 10));
    write_size(&toy, &json!({ "shortest_edge": 16 }))?;
    assert_eq!(infer("hub/model.safetensors", "edge", &[])?.1, own);
    write_size(&toy, &json!({ "height": 0, "width": 16 }))?;
    fail_quietly(
        &mut import(&toy, "hub", &["-q"]),
        &["hub/preprocessor_config.json", "size", "16x0"],
    )
}

#[test]
fn a_label_that_may_be_void_is_a_question() -> Result<()> {
    let toy = Toy::new()?;
    let tensors = write_folder(&toy, 3, &config(&["unlabeled", "floor", "wall"]))?;
    fail_quietly(
        &mut import(&toy, "hub", &["-q"]),
        &["channel 0 \"unlabeled\"", "--void 0", "--void none"],
    )?;
    succeed(&mut import(&toy, "hub", &["--void", "first"]))?;
    let weights = imported(&toy)?;
    assert!(weights.classes().names().eq(["floor", "wall"]));
    let bias = |tensors: &BTreeMap<String, Tensor>| -> Result<Vec<Vec<f32>>> {
        let head = &tensors["decode_head.classifier.weight"];
        Ok(head.flatten_from(1)?.to_vec2()?)
    };
    let (before, after) = (bias(&tensors)?, bias(&weights.tensors)?);
    assert!([&before[1], &before[2], &before[0]].into_iter().eq(&after));
    succeed(&mut import(&toy, "hub", &["--void", "none"]))?;
    assert_eq!(imported(&toy)?.classes().len(), 3);
    Ok(())
}

#[test]
fn labels_without_a_meaning_say_nothing() -> Result<()> {
    let toy = Toy::new()?;
    write_folder(&toy, 3, &config(&["LABEL_0", "LABEL_1", "LABEL_2"]))?;
    fail_quietly(
        &mut import(&toy, "hub", &["-q"]),
        &["nothing says what the 3 output channels are"],
    )?;
    // nor do labels of another number of channels, as the backbone's own
    write_folder(&toy, 3, &config(&["cat", "dog"]))?;
    fail_quietly(
        &mut import(&toy, "hub", &["-q"]),
        &["labels for 2 output channels", "--classes"],
    )?;
    // a file of this name that is something else
    write_folder(&toy, 19, &json!({ "learning_rate": 0.1, "id2label": 3 }))?;
    succeed(&mut import(&toy, "hub", &[]))?;
    fs::write(toy.path("hub/config.json"), "{ // settings of a training")?;
    succeed(&mut import(&toy, "hub", &[]))?;
    assert_eq!(imported(&toy)?.classes().name, "cityscapes");
    Ok(())
}

#[test]
fn unusable_configurations_are_named() -> Result<()> {
    let toy = Toy::new()?;
    let mut odd = config(&["floor", "wall"]);
    odd["depths"] = json!([2, 2, 2, 9]);
    write_folder(&toy, 2, &odd)?;
    fail_quietly(
        &mut import(&toy, "hub", &["-q"]),
        &["hub/config.json", "none of B0 to B5"],
    )?;
    let mut odd = config(&["floor", "wall"]);
    odd["id2label"] = json!({ "0": "floor", "2": "wall" });
    write_folder(&toy, 2, &odd)?;
    fail_quietly(
        &mut import(&toy, "hub", &["-q"]),
        &["hub/config.json", "no label for 1"],
    )?;
    fs::write(toy.path("hub/config.json"), r#"{"model_type": "segformer""#)?;
    fail_quietly(
        &mut import(&toy, "hub", &["-q"]),
        &["config.json is damaged"],
    )?;
    fs::remove_file(toy.path("hub/config.json"))?;
    fail_quietly(
        &mut import(&toy, "hub", &["-q"]),
        &["are a folder", "(model.safetensors)"],
    )
}
