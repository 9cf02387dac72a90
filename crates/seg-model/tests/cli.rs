//! The executable on tiny images: its logits, resuming after an interruption, and its errors for unusable inputs.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use artifacts::classes::{Channel, OtherChannel};
use artifacts::logits::Logits;
use artifacts::manifest::Manifest;
use candle_core::{Device, Tensor};
use common::{SAMPLES, Toy, enet, infer_folder, interrupt, picture, seg_model, top_files};
use seg_model::checkpoint::{Checkpoint, write_tensors};
use seg_model::nets::Network;
use stage_testing::command::{fail_quietly, succeed};
use stage_testing::data::real;

/// All values, by output row.
fn rows(logits: &Logits) -> Vec<Vec<f32>> {
    let mut reader = logits.row_reader();
    let row = |y| {
        let mut row = vec![0.0; logits.info.num_classes() * logits.info.output_width];
        reader.read(y, &mut row);
        row
    };
    (0..logits.info.output_height).map(row).collect()
}

#[test]
fn every_sample_gets_logits_of_its_size() -> Result<()> {
    let toy = Toy::new()?;
    succeed(&mut toy.infer("out", &[]))?;
    assert_eq!(top_files(&toy.path("out"))?.len(), SAMPLES.len());
    for (id, width, height) in SAMPLES {
        let logits = Logits::read(&toy.logits("out", id))?;
        assert_eq!(logits.info.sample_id, id);
        assert_eq!(logits.info.network, "enet");
        let size = (width as usize, height as usize);
        assert_eq!((logits.width, logits.height), size);
        assert_eq!((logits.info.output_width, logits.info.output_height), size);
        assert_eq!((logits.channels, logits.info.num_classes()), (19, 19));
    }
    let manifest = Manifest::read(&toy.path("out"))?;
    assert_eq!(manifest.counts["samples"], 4);
    assert_eq!(manifest.arguments["input_size"], serde_json::Value::Null);
    Ok(())
}

#[test]
fn another_input_size_keeps_the_output_size() -> Result<()> {
    let toy = Toy::new()?;
    succeed(&mut toy.infer("out", &["--input-size", "21x16"]))?;
    for (id, width, height) in SAMPLES {
        let logits = Logits::read(&toy.logits("out", id))?;
        assert_eq!((logits.width, logits.height), (21, 16));
        let size = (width as usize, height as usize);
        assert_eq!((logits.info.output_width, logits.info.output_height), size);
    }
    Ok(())
}

#[test]
fn a_finished_run_is_not_done_again() -> Result<()> {
    let toy = Toy::new()?;
    succeed(&mut toy.infer("out", &[]))?;
    let file = toy.logits("out", "a");
    let before = (
        fs::metadata(&file)?.modified()?,
        fs::read(toy.path("out/manifest.json"))?,
    );
    let text = succeed(&mut toy.infer("out", &["--threads", "2"]))?.stderr;
    assert!(text.contains("up to date"), "{text}");
    let after = (
        fs::metadata(&file)?.modified()?,
        fs::read(toy.path("out/manifest.json"))?,
    );
    assert!(before == after);
    let quiet = succeed(&mut toy.infer("out", &["-q"]))?;
    assert!(quiet.stderr.is_empty());
    let forced = succeed(&mut toy.infer("out", &["--force", "-q"]))?;
    assert_eq!(forced.stderr, "");
    assert!(fs::metadata(&file)?.modified()? > before.0);
    Ok(())
}

#[test]
fn one_and_three_threads_write_the_same_bytes() -> Result<()> {
    let toy = Toy::new()?;
    succeed(&mut toy.infer("one", &["--threads", "1"]))?;
    succeed(&mut toy.infer("three", &["--threads", "3"]))?;
    assert!(top_files(&toy.path("one"))? == top_files(&toy.path("three"))?);
    Ok(())
}

#[test]
fn shards_together_are_the_whole() -> Result<()> {
    let toy = Toy::new()?;
    succeed(&mut toy.infer("whole", &[]))?;
    let mut parts = BTreeMap::new();
    for i in 0..3 {
        let name = format!("part{i}");
        succeed(&mut toy.infer(&name, &["--shard", &format!("{i}/3")]))?;
        for (id, bytes) in top_files(&toy.path(&name))? {
            assert!(parts.insert(id, bytes).is_none(), "shards overlap");
        }
    }
    assert!(top_files(&toy.path("whole"))? == parts);
    succeed(&mut toy.infer("first", &["--limit", "1"]))?;
    assert_eq!(
        top_files(&toy.path("first"))?
            .into_keys()
            .collect::<Vec<_>>(),
        ["a.safetensors"]
    );
    succeed(&mut toy.infer("empty", &["--shard", "9/10"]))?;
    assert_eq!(Manifest::read(&toy.path("empty"))?.counts["samples"], 0);
    Ok(())
}

#[test]
fn half_precision_rounds_single_precision() -> Result<()> {
    let toy = Toy::new()?;
    succeed(&mut toy.infer("f16", &[]))?;
    succeed(&mut toy.infer("f32", &["--precision", "f32"]))?;
    let (half, single) = (toy.logits("f16", "b"), toy.logits("f32", "b"));
    assert!(fs::metadata(&single)?.len() > 3 * fs::metadata(&half)?.len() / 2);
    let (half, single) = (Logits::read(&half)?, Logits::read(&single)?);
    for (half, single) in rows(&half).iter().zip(rows(&single)) {
        for (h, s) in half.iter().zip(single) {
            // half the distance of neighboring f16 values, also of the subnormal ones
            assert!(
                (h - s).abs() <= (s.abs() / 2048.0).max(2f32.powi(-25)),
                "{h} {s}"
            );
        }
    }
    Ok(())
}

#[test]
fn weights_without_a_network_are_recognized() -> Result<()> {
    let toy = Toy::new()?;
    succeed(&mut toy.infer("named", &[]))?;
    // as PyTorch's data parallel training names tensors, with its counts of steps
    let mut tensors: BTreeMap<_, _> = enet(19)?
        .tensors
        .into_iter()
        .map(|(name, tensor)| (format!("module.{name}"), tensor))
        .collect();
    let count = Tensor::zeros((), candle_core::DType::F32, &Device::Cpu)?;
    tensors.insert(
        "module.initial_block.batch_norm.num_batches_tracked".into(),
        count,
    );
    write_tensors(&toy.path("plain.safetensors"), &BTreeMap::new(), &tensors)?;
    succeed(&mut toy.infer_with("plain.safetensors", "plain", &[]))?;
    assert!(top_files(&toy.path("named"))? == top_files(&toy.path("plain"))?);
    // those tensors identified the network; these do not
    tensors.retain(|name, _| !name.contains("transposed_conv"));
    write_tensors(&toy.path("part.safetensors"), &BTreeMap::new(), &tensors)?;
    toy.check_fails_with(
        "part.safetensors",
        &[],
        &[
            "part.safetensors",
            "pass --network NAME, one of erfnet, enet, ",
        ],
    )?;
    toy.check_fails(
        &["--network", "erfnet"],
        &["enet.safetensors", "for enet, not erfnet"],
    )
}

#[test]
fn void_channels_are_stored_too() -> Result<()> {
    let toy = Toy::new()?;
    enet(20)?.write(&toy.path("void.safetensors"))?;
    succeed(&mut toy.infer_with("void.safetensors", "out", &["--limit", "1"]))?;
    let logits = Logits::read(&toy.logits("out", "a"))?;
    assert_eq!((logits.channels, logits.info.num_classes()), (20, 19));
    Ok(())
}

impl Toy {
    /// Imports `weights` to `imported.safetensors`.
    fn import(&self, weights: &str, more: &[&str]) -> Command {
        let mut command = seg_model();
        command
            .arg("import")
            .arg(self.path(weights))
            .arg("--output")
            .arg(self.path("imported.safetensors"))
            .args(more);
        command
    }

    fn imported(&self) -> Result<Checkpoint> {
        Checkpoint::read(&self.path("imported.safetensors"), None)
    }
}

#[test]
fn an_imported_checkpoint_says_how_to_run_it() -> Result<()> {
    let toy = Toy::new()?;
    let wrapped = |name: &String| format!("module.model.{name}");
    let own = enet(20)?.tensors;
    let mut tensors: BTreeMap<_, _> = own.iter().map(|(n, t)| (wrapped(n), t.clone())).collect();
    write_tensors(&toy.path("plain.safetensors"), &BTreeMap::new(), &tensors)?;
    let colors = ["--mean", "0.5,0.25,0", "--std", "1,2,0.5"];
    let enet20 = [
        &[
            "--network",
            "enet",
            "--classes",
            "cityscapes",
            "--void",
            "last",
        ],
        &colors[..],
    ]
    .concat();
    succeed(&mut toy.import("plain.safetensors", &enet20))?;
    let bytes = fs::read(toy.path("imported.safetensors"))?;
    let imported = toy.imported()?;
    assert_eq!((imported.channels(), imported.classes().len()), (20, 19));
    assert_eq!(imported.normalization.mean, [0.5, 0.25, 0.0]);
    assert_eq!(imported.normalization.std, [1.0, 2.0, 0.5]);
    assert!(imported.source.starts_with("plain.safetensors, BLAKE3 "));
    for (name, tensor) in &own {
        let found = imported.tensors[name].flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(found, tensor.flatten_all()?.to_vec1::<f32>()?, "{name}");
    }
    succeed(&mut toy.infer_with("imported.safetensors", "out", &[]))?;
    succeed(&mut toy.import("plain.safetensors", &enet20))?;
    assert!(
        bytes == fs::read(toy.path("imported.safetensors"))?,
        "same bytes"
    );

    // tensors that do not fit are an error that names them, unless a flag allows them
    tensors.remove("module.model.initial_block.batch_norm.bias");
    tensors.insert(
        "aux.weight".into(),
        Tensor::zeros(2, candle_core::DType::F32, &Device::Cpu)?,
    );
    write_tensors(&toy.path("odd.safetensors"), &BTreeMap::new(), &tensors)?;
    fail_quietly(
        toy.import("odd.safetensors", &enet20).arg("-q"),
        &[
            "2 tensors",
            "batch_norm.bias [16] is missing",
            "aux.weight is unexpected",
        ],
    )?;
    let allowed = [&enet20[..], &["--allow-missing", "--allow-unexpected"]].concat();
    let text = succeed(&mut toy.import("odd.safetensors", &allowed))?.stdout;
    assert!(text.contains("ignored: aux.weight"), "{text}");
    assert!(
        text.contains("initialized: initial_block.batch_norm.bias"),
        "{text}"
    );
    let zeros = toy.imported()?.tensors["initial_block.batch_norm.bias"].to_vec1::<f32>()?;
    assert_eq!(zeros, [0.0; 16]);
    let bad = [
        "--classes",
        "cityscapes",
        "--void",
        "last",
        "--mean",
        "0,0,0",
        "--std",
        "0,1,1",
    ];
    fail_quietly(
        toy.import("plain.safetensors", &bad).arg("-q"),
        &["--mean and --std", "standard deviations positive"],
    )
}

/// A network with a void channel may have it first or last, so it must be said.
#[test]
fn channels_without_a_meaning_are_a_question() -> Result<()> {
    let toy = Toy::new()?;
    for (channels, words, flags) in [
        (
            20,
            ["20 output channels", "cityscapes (19)", "--void first"],
            &["--classes", "cityscapes", "--void", "last"][..],
        ),
        (
            66,
            [
                "66 output channels",
                "mapillary-vistas (65)",
                "--void first",
            ],
            &["--classes", "mapillary-vistas", "--void", "65"],
        ),
        (
            12,
            ["12 output channels", "camvid (11)", "--void first"],
            &["--classes", "camvid", "--void", "last"],
        ),
    ] {
        let tensors = enet(channels)?.tensors;
        write_tensors(&toy.path("plain.safetensors"), &BTreeMap::new(), &tensors)?;
        fail_quietly(&mut toy.import("plain.safetensors", &["-q"]), &words)?;
        toy.check_fails_with("plain.safetensors", &[], &words)?;
        let half = [&["-q"], &flags[..2]].concat();
        fail_quietly(
            &mut toy.import("plain.safetensors", &half),
            &["--void first or --void last"],
        )?;
        toy.check_fails_with(
            "plain.safetensors",
            &flags[2..],
            &["--void says", "pass --classes"],
        )?;
        let said = succeed(&mut toy.import("plain.safetensors", flags))?.stdout;
        let last = format!("channel {}: void", channels - 1);
        assert!(said.lines().any(|line| line == last), "{said}");
        assert_eq!(toy.imported()?.classes().name, flags[1]);
        succeed(&mut toy.infer_with("imported.safetensors", flags[1], &["--limit", "1"]))?;
        fs::remove_file(toy.path("imported.safetensors"))?;
    }
    Ok(())
}

/// The number alone is enough where a single class set has it, and that is said.
#[test]
fn a_number_of_channels_that_one_class_set_has_is_that_set() -> Result<()> {
    let toy = Toy::new()?;
    for (channels, name) in [(150, "ade20k-150"), (11, "camvid"), (19, "cityscapes")] {
        let tensors = enet(channels)?.tensors;
        write_tensors(&toy.path("plain.safetensors"), &BTreeMap::new(), &tensors)?;
        let said = succeed(&mut toy.import("plain.safetensors", &["--force"]))?;
        let words = format!("taken as the {channels} classes of {name}");
        assert!(said.stderr.contains(&words), "{}", said.stderr);
        assert_eq!(toy.imported()?.classes().name, name);
    }
    Ok(())
}

/// The same network with void first, as some trainings have it, gives the same logits.
#[test]
fn void_first_gives_the_logits_of_void_last() -> Result<()> {
    let toy = Toy::new()?;
    let mut tensors = enet(20)?.tensors;
    write_tensors(&toy.path("last.safetensors"), &BTreeMap::new(), &tensors)?;
    let head = &tensors["transposed_conv.weight"]; // [16, 20, 3, 3]
    let head = Tensor::cat(&[head.narrow(1, 19, 1)?, head.narrow(1, 0, 19)?], 1)?;
    tensors.insert("transposed_conv.weight".into(), head);
    write_tensors(&toy.path("first.safetensors"), &BTreeMap::new(), &tensors)?;
    for void in ["first", "last"] {
        let flags = ["--classes", "cityscapes", "--void", void, "--save-overlay"];
        succeed(&mut toy.infer_with(&format!("{void}.safetensors"), void, &flags))?;
    }
    assert!(top_files(&toy.path("first"))? == top_files(&toy.path("last"))?);
    // also through an import, which records the channels as classes, then void
    let flags = ["--classes", "cityscapes", "--void", "first"];
    succeed(&mut toy.import("first.safetensors", &flags))?;
    succeed(&mut toy.infer_with("imported.safetensors", "imported", &["--save-overlay"]))?;
    assert!(top_files(&toy.path("imported"))? == top_files(&toy.path("last"))?);
    toy.check_fails_with(
        "imported.safetensors",
        &["--void", "first"],
        &["they say that channel 19 is void, but --void says first"],
    )?;
    toy.check_fails_with(
        "imported.safetensors",
        &["--classes", "camvid"],
        &["their classes are \"cityscapes\", but --classes says \"camvid\""],
    )?;
    let shown = succeed(
        seg_model()
            .arg("inspect")
            .args(flags)
            .arg(toy.path("first.safetensors")),
    )?;
    for line in ["channel 0: void", "channel 1: road #804080"] {
        assert!(shown.stdout.lines().any(|l| l == line), "{}", shown.stdout);
    }
    let unknown = succeed(
        seg_model()
            .arg("inspect")
            .arg(toy.path("first.safetensors")),
    )?;
    assert!(
        unknown
            .stdout
            .contains("channels: nothing says what the 20 output channels are")
    );
    Ok(())
}

/// A class set of the user's own is a file.
#[test]
fn classes_can_be_those_of_a_file() -> Result<()> {
    let toy = Toy::new()?;
    let file = toy.path("own.toml");
    let classes = r##"name = "own"
classes = [{ name = "floor", color = "#0000FF" }, { name = "rest", color = "#00FF00" }]"##;
    fs::write(&file, classes)?;
    write_tensors(
        &toy.path("plain.safetensors"),
        &BTreeMap::new(),
        &enet(3)?.tensors,
    )?;
    let flags = [
        "--classes",
        file.to_str().context("a plain path")?,
        "--void",
        "1",
    ];
    let said = succeed(&mut toy.import("plain.safetensors", &flags))?.stdout;
    let end = [
        "channel 0: floor #0000FF",
        "channel 1: rest #00FF00",
        "channel 2: void",
    ];
    assert!(said.trim_end().ends_with(&end.join("\n")), "{said}");
    succeed(&mut toy.infer_with("imported.safetensors", "out", &["--limit", "1"]))?;
    let logits = Logits::read(&toy.logits("out", "a"))?;
    assert!(logits.info.classes.names().eq(["floor", "rest"]));
    fs::write(&file, "name = \"own\"\nclasses = []")?;
    let output = toy
        .infer_with("plain.safetensors", "out", &flags)
        .output()?;
    let text = std::str::from_utf8(&output.stderr)?;
    assert!(
        text.contains("own.toml is no class set") && text.contains("0 classes"),
        "{text}"
    );
    Ok(())
}

/// Files of version 1 say how many classes come first.
#[test]
fn weights_of_version_1_are_still_read() -> Result<()> {
    let toy = Toy::new()?;
    for (channels, n, name) in [
        (20, "19", "cityscapes"),
        (12, "11", "unnamed"),
        (150, "19", "cityscapes"),
    ] {
        let metadata = [
            ("format_version", "1"),
            ("network", "enet"),
            ("num_classes", n),
        ];
        let metadata = metadata.map(|(key, value)| (key, value.to_owned()));
        let file = toy.path("old.safetensors");
        write_tensors(&file, &BTreeMap::from(metadata), &enet(channels)?.tensors)?;
        let read = Checkpoint::read(&file, None)?;
        assert_eq!(
            (read.channels(), read.classes().name.as_str()),
            (channels, name)
        );
        let other = if channels == 150 {
            OtherChannel::Unused
        } else {
            OtherChannel::Void
        };
        assert_eq!(read.table.channels[channels - 1], Channel::Other(other));
    }
    // names can be given to classes that have none
    let metadata = [
        ("format_version", "1"),
        ("network", "enet"),
        ("num_classes", "11"),
    ];
    let metadata = metadata.map(|(key, value)| (key, value.to_owned()));
    write_tensors(
        &toy.path("old.safetensors"),
        &BTreeMap::from(metadata),
        &enet(12)?.tensors,
    )?;
    succeed(&mut toy.import("old.safetensors", &["--classes", "camvid"]))?;
    let imported = toy.imported()?;
    assert_eq!(
        (imported.channels(), imported.classes().name.as_str()),
        (12, "camvid")
    );
    Ok(())
}

/// A network sees much less at a size that it was not trained at, and nothing but a flag or the weights can tell that size.
#[test]
fn it_is_said_that_images_go_in_at_their_own_size() -> Result<()> {
    let toy = Toy::new()?;
    let at_import = "the file names no input size";
    let text = succeed(&mut toy.import("enet.safetensors", &[]))?.stderr;
    assert!(
        text.contains(at_import) && text.contains("--input-size WxH"),
        "{text}"
    );
    for size in ["image", "32x24"] {
        let flags = ["--input-size", size, "--force"];
        let text = succeed(&mut toy.import("enet.safetensors", &flags))?.stderr;
        assert!(!text.contains(at_import), "{text}");
    }

    let in_folder = "so images go in at their own (32x32 and 3 others): --input-size WxH";
    let says = |command: &mut Command| anyhow::Ok(succeed(command)?.stderr.contains(in_folder));
    assert!(says(&mut infer_folder(&toy, "images", "own", &[]))?);
    for size in ["image", "32x24"] {
        let flags = ["--input-size", size];
        assert!(!says(&mut infer_folder(&toy, "images", size, &flags))?);
    }
    assert!(!says(&mut toy.infer("labels-out", &[]))?);
    // those of the last import
    fs::copy(
        toy.path("imported.safetensors"),
        toy.path("enet.safetensors"),
    )?;
    let text = succeed(&mut infer_folder(&toy, "images", "recorded", &[]))?.stderr;
    assert!(!text.contains("go in at their own"), "{text}");
    assert!(text.contains("images are resized to 32x24"), "{text}");
    Ok(())
}

#[test]
fn an_import_replaces_only_imports() -> Result<()> {
    let toy = Toy::new()?;
    let output = toy.path("imported.safetensors");
    for foreign in [
        fs::read(toy.path("enet.safetensors"))?,
        b"my thesis".to_vec(),
    ] {
        fs::write(&output, &foreign)?;
        fail_quietly(
            &mut toy.import("enet.safetensors", &["-q"]),
            &["imported.safetensors exists", "--force"],
        )?;
        assert!(fs::read(&output)? == foreign);
        succeed(&mut toy.import("enet.safetensors", &["--force"]))?;
        succeed(&mut toy.import("enet.safetensors", &[]))?;
        toy.imported()?;
    }
    // not even --force replaces the input
    let before = fs::read(&output)?;
    for more in [&["-q"][..], &["-q", "--force"]] {
        fail_quietly(
            &mut toy.import("imported.safetensors", more),
            &["is the checkpoint itself"],
        )?;
    }
    assert!(fs::read(&output)? == before);
    fs::remove_file(&output)?;
    fs::create_dir(&output)?;
    fail_quietly(
        &mut toy.import("enet.safetensors", &["-q"]),
        &["imported.safetensors is a folder"],
    )
}

/// The weights of a teacher and a student in one file.
#[test]
fn a_choice_of_weights_is_said_and_recorded() -> Result<()> {
    let toy = Toy::new()?;
    let own = enet(19)?.tensors;
    let mut both = BTreeMap::new();
    for (name, tensor) in &own {
        both.insert(format!("student.{name}"), tensor.affine(2.0, 0.0)?);
        both.insert(format!("teacher.{name}"), tensor.clone());
    }
    write_tensors(&toy.path("both.safetensors"), &BTreeMap::new(), &both)?;
    let said = succeed(&mut toy.import("both.safetensors", &[]))?.stdout;
    assert!(
        said.contains("took the weights \"teacher\", not \"student\""),
        "{said}"
    );
    let imported = toy.imported()?;
    assert!(
        imported
            .source
            .ends_with("; its weights \"teacher\", not \"student\"")
    );
    let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
    let name = "transposed_conv.weight";
    assert_eq!(values(&imported.tensors[name])?, values(&own[name])?);
    succeed(&mut toy.import("both.safetensors", &["--key", "student"]))?;
    assert_eq!(
        values(&toy.imported()?.tensors[name])?,
        values(&both["student.transposed_conv.weight"])?
    );
    let said = succeed(&mut toy.infer_with("both.safetensors", "out", &["--limit", "1"]))?.stderr;
    assert!(said.contains("took the weights \"teacher\""), "{said}");
    fail_quietly(
        &mut toy.import("both.safetensors", &["-q", "--key", "ema"]),
        &[
            "no weights under the key \"ema\"",
            "\"student\" (",
            "\"teacher\" (",
        ],
    )
}

#[test]
fn a_new_head_has_the_classes_asked_for() -> Result<()> {
    let toy = Toy::new()?;
    let head = |seed| -> Result<_> {
        let flags = ["--reset-head", "--classes", "idd-lite", "--seed", seed];
        succeed(&mut toy.import("enet.safetensors", &flags))?;
        let imported = toy.imported()?;
        assert_eq!((imported.channels(), imported.classes().len()), (7, 7));
        let head = &imported.tensors["transposed_conv.weight"];
        assert_eq!(head.dims(), [16, 7, 3, 3]);
        let body = "regular4_1.ext_conv1.0.weight";
        let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        assert_eq!(
            values(&imported.tensors[body])?,
            values(&enet(19)?.tensors[body])?
        );
        Ok(values(head)?)
    };
    let first = head("1")?;
    assert!(first.iter().any(|&v| v != 0.0));
    assert_eq!(first, head("1")?);
    assert_ne!(first, head("2")?);
    fail_quietly(
        toy.import("enet.safetensors", &["--classes", "idd-lite"])
            .arg("-q"),
        &["their classes are \"cityscapes\"", "\"idd-lite\""],
    )
}

#[test]
fn a_folder_needs_no_labels() -> Result<()> {
    let toy = Toy::new()?;
    succeed(&mut toy.infer("indexed", &[]))?;
    // the output may lie inside of the folder
    let out = "images/out";
    let infer = |more: &[&str]| {
        let more = [&["--save-overlay"], more].concat();
        infer_folder(&toy, "images", out, &more)
    };
    succeed(&mut infer(&[]))?;
    assert!(top_files(&toy.path("indexed"))? == top_files(&toy.path(out))?);
    for (id, width, height) in SAMPLES {
        for kind in ["prediction", "entropy"] {
            let drawn = toy.path(&format!("{out}/overlays/{id}.{kind}.png"));
            assert_eq!(image::open(drawn)?.to_rgb8().dimensions(), (width, height));
        }
    }
    let text = succeed(&mut infer(&[]))?.stderr;
    assert!(text.contains("up to date"), "{text}");
    // pictures that were drawn into another output are no images either
    succeed(&mut infer_folder(&toy, "images", "other", &[]))?;
    assert!(top_files(&toy.path("indexed"))? == top_files(&toy.path("other"))?);

    // more images are more work; names become ids
    fs::create_dir(toy.path("images/more"))?;
    fs::write(toy.path("images/notes.txt"), "no image")?;
    fs::copy(toy.image("a"), toy.path("images/more/é 1.PNG"))?;
    succeed(&mut infer(&[]))?;
    let names: Vec<_> = top_files(&toy.path(out))?.into_keys().collect();
    assert!(
        names.contains(&"more___1.safetensors".to_owned()),
        "{names:?}"
    );
    assert_eq!(names.len(), 5);

    // names that differ only in their endings keep them; names that still become equal are an error
    fs::copy(toy.image("a"), toy.path("images/a.jpeg"))?;
    succeed(&mut infer(&[]))?;
    let names: Vec<_> = top_files(&toy.path(out))?.into_keys().collect();
    let first = ["a.jpeg.safetensors", "a.png.safetensors", "b.safetensors"];
    assert_eq!(names[..3], first);
    fs::copy(toy.image("a"), toy.path("images/more/é_1.PNG"))?;
    fail_quietly(
        &mut infer(&["-q"]),
        &["would both get the sample id more___1.PNG", "rename"],
    )
}

#[test]
fn pictures_alone_are_made_where_they_are_missing() -> Result<()> {
    let toy = Toy::new()?;
    let pictures = ["--precision", "none", "--save-overlay"];
    succeed(&mut toy.infer("out", &pictures))?;
    assert!(top_files(&toy.path("out"))?.is_empty());
    let whole = top_files(&toy.path("out/overlays"))?;
    assert_eq!(whole.len(), 2 * SAMPLES.len());
    let out = |name: &str| toy.path("out").join(name);
    interrupt(&toy.path("out"))?;
    fs::remove_file(out("in-progress/overlays/b.entropy.png"))?;
    let kept = fs::metadata(out("in-progress/overlays/a.entropy.png"))?.modified()?;
    succeed(&mut toy.infer("out", &pictures))?;
    assert!(whole == top_files(&toy.path("out/overlays"))?);
    assert_eq!(
        fs::metadata(out("overlays/a.entropy.png"))?.modified()?,
        kept
    );
    fail_quietly(
        &mut toy.infer("new", &["--precision", "none", "-q"]),
        &["nothing to write", "--save-overlay"],
    )
}

#[test]
fn batches_change_nothing() -> Result<()> {
    let toy = Toy::new()?;
    // two sizes, two images of each
    for (id, width, height) in [("a", 37, 35), ("b", 37, 35), ("c", 16, 40), ("d", 16, 40)] {
        picture(width, height).save(toy.image(id))?;
    }
    for more in [
        &["--precision", "f32"][..],
        &["--precision", "f32", "--flip", "--window", "16x24"],
    ] {
        let infer = |batch| {
            let more = [more, &["--batch", batch, "--force"]].concat();
            infer_folder(&toy, "images", batch, &more)
        };
        succeed(&mut infer("1"))?;
        succeed(&mut infer("3"))?;
        assert_eq!(top_files(&toy.path("1"))?.len(), 4);
        assert!(top_files(&toy.path("1"))? == top_files(&toy.path("3"))?);
    }
    Ok(())
}

#[test]
fn views_are_averaged_at_the_size_of_the_output() -> Result<()> {
    let toy = Toy::new()?;
    let logits = |name: &str, more: &[&str]| -> Result<Logits> {
        let more = [&["--precision", "f32", "--limit", "2"], more].concat();
        succeed(&mut toy.infer(name, &more))?;
        Logits::read(&toy.logits(name, "b"))
    };
    let (width, height) = (37, 35);
    let plain = rows(&logits("plain", &[])?);
    // one window that holds all is no window
    assert_eq!(rows(&logits("large", &["--window", "64x64"])?), plain);
    let half = logits("half", &["--scale", "0.5"])?;
    assert_eq!((half.width, half.height), (19, 18));
    let both = logits("both", &["--scales", "0.5,1"])?;
    assert_eq!((both.width, both.height), (width, height));
    for ((half, plain), both) in rows(&half).iter().zip(&plain).zip(rows(&both)) {
        for ((h, p), b) in half.iter().zip(plain).zip(both) {
            assert!(
                ((h + p) / 2.0 - b).abs() < 1e-4 * (1.0 + b.abs()),
                "{h} {p} {b}"
            );
        }
    }
    let windows = logits("windows", &["--window", "16x24", "--overlap", "0.5"])?;
    assert_eq!((windows.width, windows.height), (width, height));
    assert_ne!(rows(&windows), plain);

    // the mirror image of an image has the mirror image of its logits
    let flipped = rows(&logits("flipped", &["--flip"])?);
    let mirror = image::imageops::flip_horizontal(&picture(37, 35));
    mirror.save(toy.image("b"))?;
    toy.write_index()?;
    let mirrored = rows(&logits("mirrored", &["--flip"])?);
    for (row, mirrored) in flipped.iter().zip(mirrored) {
        for (class, mirrored) in row.chunks(width).zip(mirrored.chunks(width)) {
            for (value, mirrored) in class.iter().zip(mirrored.iter().rev()) {
                assert!((value - mirrored).abs() < 1e-5, "{value} {mirrored}");
            }
        }
    }
    Ok(())
}

#[test]
fn devices_that_are_not_built_in_are_named() -> Result<()> {
    let toy = Toy::new()?;
    if cfg!(not(feature = "cuda")) {
        toy.check_fails(
            &["--device", "cuda:1"],
            &["--device cuda:1", "seg-model/cuda"],
        )?;
    }
    if cfg!(not(feature = "metal")) {
        toy.check_fails(&["--device", "metal"], &["seg-model/metal"])?;
    }
    toy.check_fails(&["--dtype", "f16"], &["f16 is for GPUs"])
}

#[test]
fn bf16_on_the_cpu_changes_logits() -> Result<()> {
    let toy = Toy::new()?;
    let flags = ["--precision", "f32", "--dtype"];
    for dtype in ["f32", "bf16"] {
        succeed(&mut toy.infer(dtype, &[&flags[..], &[dtype]].concat()))?;
    }
    let [exact, rounded] =
        ["f32", "bf16"].map(|dtype| Logits::read(&toy.logits(dtype, SAMPLES[0].0)));
    let (exact, rounded) = (rows(&exact?).concat(), rows(&rounded?).concat());
    // how little is for `half_precision_is_close`: the toy's random weights amplify errors
    assert!(exact != rounded && rounded.iter().all(|v| v.is_finite()));
    Ok(())
}

#[test]
fn a_real_checkpoint_and_its_import_give_the_same_logits() -> Result<()> {
    let Some(weights) = real("weights") else {
        return Ok(());
    };
    let toy = Toy::new()?;
    let pth = weights.join("enet_yurnero14_zip.pth");
    let pth = pth.to_str().context("a plain path")?;
    let enet = [
        "--network",
        "enet",
        "--classes",
        "cityscapes",
        "--void",
        "last",
    ];
    succeed(&mut toy.import(pth, &enet))?;
    succeed(&mut toy.infer_with("imported.safetensors", "imported", &[]))?;
    succeed(&mut toy.infer_with(pth, "direct", &enet))?;
    let copy = weights.join("enet_yurnero14_city20.safetensors");
    let copy = copy.to_str().context("a plain path")?;
    succeed(&mut toy.infer_with(copy, "copy", &enet))?;
    let imported = top_files(&toy.path("imported"))?;
    assert!(imported == top_files(&toy.path("direct"))?);
    assert!(imported == top_files(&toy.path("copy"))?);
    assert_eq!(toy.imported()?.channels(), 20);
    Ok(())
}

#[test]
fn weights_of_another_version_are_refused() -> Result<()> {
    let toy = Toy::new()?;
    let metadata = BTreeMap::from([
        ("network", "enet".into()),
        ("format_version", "3".to_owned()),
    ]);
    write_tensors(&toy.path("new.safetensors"), &metadata, &enet(19)?.tensors)?;
    toy.check_fails_with(
        "new.safetensors",
        &[],
        &["format version 3 is neither 1 nor 2"],
    )
}

#[test]
fn inspect_lists_the_tensors() -> Result<()> {
    let toy = Toy::new()?;
    let file = toy.path("enet.safetensors");
    let text = succeed(seg_model().arg("inspect").arg(&file))?.stdout;
    for line in [
        "network: enet",
        "channels: 19, with the 19 classes of cityscapes",
        "channel 18: bicycle #770B20",
        "format: safetensors",
        "format_version: 2",
        "transposed_conv.weight  F32  [16, 19, 3, 3]  10944 bytes",
    ] {
        assert!(
            text.lines().any(|l| l == line),
            "{line:?} is not in: {text}"
        );
    }
    let last = text.lines().last().context("some lines")?;
    assert!(
        last.contains(" tensors, ") && last.ends_with(" MB"),
        "{last}"
    );
    let bytes = fs::read(&file)?;
    let damaged = toy.path("damaged.safetensors");
    for end in [0, 5, 100, bytes.len() - 1] {
        fs::write(&damaged, &bytes[..end])?;
        fail_quietly(
            seg_model().arg("inspect").arg(&damaged),
            &["damaged.safetensors", "neither safetensors"],
        )?;
        let output = seg_model().arg("inspect").arg(&damaged).output()?;
        assert!(output.stdout.is_empty());
    }
    fail_quietly(
        seg_model().arg("inspect").arg(toy.path("none")),
        &["do not exist", "none"],
    )
}

#[test]
fn unusable_weights_are_named() -> Result<()> {
    let toy = Toy::new()?;
    toy.check_fails_with(
        "none.safetensors",
        &[],
        &["none.safetensors", "do not exist", "ood-train"],
    )?;
    let bytes = fs::read(toy.path("enet.safetensors"))?;
    for end in [0, 5, 100, bytes.len() - 1] {
        fs::write(toy.path("cut.safetensors"), &bytes[..end])?;
        toy.check_fails_with(
            "cut.safetensors",
            &[],
            &["cut.safetensors", "damaged", "again"],
        )?;
    }
    assert!(
        !toy.path("out").exists(),
        "weights are read before the output is touched"
    );
    Ok(())
}

#[test]
fn tensors_that_do_not_fit_are_named() -> Result<()> {
    let toy = Toy::new()?;
    let fails = |change: &dyn Fn(&mut Checkpoint) -> Result<()>, words: &[&str]| {
        let mut weights = enet(19)?;
        change(&mut weights)?;
        let metadata = BTreeMap::from([("network", weights.network.name().to_owned())]);
        write_tensors(&toy.path("odd.safetensors"), &metadata, &weights.tensors)?;
        toy.check_fails_with(
            "odd.safetensors",
            &[],
            &[words, &["odd.safetensors"]].concat(),
        )
    };
    let zeros = |n: usize| Tensor::zeros(n, candle_core::DType::F32, &Device::Cpu);
    fails(
        &|weights| {
            weights.tensors.remove("stage9.weight");
            weights.tensors.remove("initial_block.batch_norm.bias");
            weights.tensors.insert("extra".into(), zeros(2)?);
            weights
                .tensors
                .insert("initial_block.batch_norm.weight".into(), zeros(3)?);
            Ok(())
        },
        &[
            "3 tensors do not fit",
            "initial_block.batch_norm.bias [16] is missing",
            "initial_block.batch_norm.weight has shape [3] instead of [16]",
            "extra is unexpected",
        ],
    )?;
    fails(
        &|weights| {
            weights.network = Network::Erfnet;
            Ok(())
        },
        &["decoder.output_conv.weight", "another network"],
    )?;
    fails(
        &|weights| {
            let slope = Tensor::new(&[f32::NAN], &Device::Cpu)?;
            weights
                .tensors
                .insert("initial_block.out_activation.weight".into(), slope);
            Ok(())
        },
        &["initial_block.out_activation.weight", "not finite"],
    )?;
    fails(
        &|weights| {
            let name = "module.initial_block.batch_norm.bias";
            weights.tensors.insert(name.into(), zeros(16)?);
            Ok(())
        },
        &["initial_block.batch_norm.bias twice, as", "\"module."],
    )?;
    toy.check_fails(
        &["--network", "erfnet"],
        &["enet.safetensors", "not erfnet"],
    )?;
    enet(5)?.write(&toy.path("five.safetensors"))?;
    succeed(&mut toy.infer_with("five.safetensors", "five", &["--limit", "1"]))?;
    let unnamed = enet(5)?.tensors;
    write_tensors(&toy.path("five.safetensors"), &BTreeMap::new(), &unnamed)?;
    toy.check_fails_with(
        "five.safetensors",
        &["--network", "enet"],
        &[
            "five.safetensors",
            "5 output channels",
            "pass --classes with a file",
        ],
    )
}

#[test]
fn unusable_indices_are_named() -> Result<()> {
    let toy = Toy::new()?;
    let file = toy.path("labels/index.json");
    let text = fs::read_to_string(&file)?;
    fs::write(&file, &text[..text.len() / 2])?;
    toy.check_fails(&[], &["index.json is damaged", "line"])?;
    fs::write(&file, text.replace("\"a.png\"", "\"../a.png\""))?;
    toy.check_fails(&[], &["index.json cannot be used", "../a.png"])?;
    fs::remove_file(&file)?;
    toy.check_fails(&[], &["index.json does not exist", "cityscapes-io prepare"])
}

#[test]
fn unusable_images_are_named() -> Result<()> {
    let toy = Toy::new()?;
    let bytes = fs::read(toy.image("b"))?;
    fs::write(toy.image("b"), &bytes[..bytes.len() / 2])?;
    toy.check_fails(
        &[],
        &["b.png", "when it was indexed", "prepare the data set again"],
    )?;
    toy.write_index()?;
    toy.check_fails(&[], &["b.png is damaged"])?;
    fs::write(toy.image("b"), "not an image")?;
    toy.write_index()?;
    toy.check_fails(&[], &["b.png is damaged or not an image"])?;
    fs::remove_file(toy.image("b"))?;
    toy.check_fails(&["--threads", "1"], &["image of b is missing", "b.png"])
}

#[test]
fn unusable_arguments_are_named() -> Result<()> {
    let toy = Toy::new()?;
    for (more, words) in [
        (["--input-size", "12"], ["--input-size", "WxH"]),
        (["--input-size", "0x8"], ["--input-size", "WxH"]),
        (["--input-size", "8x-8"], ["--input-size", "WxH"]),
        (
            ["--input-size", "32769x8"],
            ["--input-size", "from 1 to 32768"],
        ),
        (["--shard", "3/3"], ["--shard", "shard 3/3 does not exist"]),
        (["--shard", "1"], ["--shard", "I/N, for example"]),
        (["--network", "vgg"], ["--network", "vgg"]),
        (["--scales", "0.5,0"], ["--scales", "0.05 to 16"]),
        (["--overlap", "1"], ["--overlap", "0 to 0.9"]),
        (["--batch", "0"], ["--batch", "1..=256"]),
        (["--device", "gpu"], ["--device", "cpu, cuda, cuda:N"]),
        (["--folder", "x"], ["--labels", "--folder"]),
        (["--classes", "camvib"], ["camvib", "camvid"]),
        (["--void", "frist"], ["frist", "first, last, none"]),
    ] {
        let output = toy.infer("out", &more).output()?;
        assert_eq!(output.status.code(), Some(2));
        let text = std::str::from_utf8(&output.stderr)?;
        let first = text.lines().next().unwrap_or_default();
        assert!(words.iter().all(|word| first.contains(word)), "{text}");
    }
    write_tensors(
        &toy.path("plain.safetensors"),
        &BTreeMap::new(),
        &enet(5)?.tensors,
    )?;
    toy.check_fails_with(
        "plain.safetensors",
        &["--classes", "cityscapes"],
        &["5 output channels are neither the 19 classes"],
    )?;
    fs::create_dir(toy.path("mine"))?;
    fs::write(toy.path("mine/file"), "x")?;
    fail_quietly(
        &mut toy.infer("mine", &["--force", "-q"]),
        &["mine", "no stage wrote"],
    )?;
    assert!(toy.path("mine/file").exists());
    Ok(())
}
