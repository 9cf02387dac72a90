//! Files that the release before class sets wrote are read and mean what they meant: the classes of Cityscapes.

use anyhow::Result;
use artifacts::classes::ClassSet;
use artifacts::index::Index;
use artifacts::logits::{Logits, Precision};
use artifacts::mask::Mask;

/// An index of version 1 as it was written, with masks of this kind.
fn index(kind: &str) -> String {
    format!(
        r#"{{
  "format_version": 1,
  "dataset": "cityscapes",
  "split": "val",
  "mask_kind": "{kind}",
  "image_root": "/data/cityscapes",
  "samples": [
    {{
      "sample_id": "a",
      "image": "a.png",
      "image_bytes": 123,
      "image_width": 2,
      "image_height": 1,
      "mask": "a.png",
      "width": 2,
      "height": 1
    }}
  ]
}}
"#
    )
}

/// A logits file of version 1 as it was written: one pixel, with the number of its channel as the logit of each.
fn logits(num_classes: usize, channels: usize) -> Vec<u8> {
    let n_bytes = 4 * channels;
    let mut header = format!(
        r#"{{"__metadata__":{{"align_corners":"false","format_version":"1","network":"erfnet","num_classes":"{num_classes}","output_height":"1","output_width":"1","sample_id":"a"}},"logits":{{"dtype":"F32","shape":[{channels},1,1],"data_offsets":[0,{n_bytes}]}}}}"#
    );
    header += &" ".repeat(header.len().next_multiple_of(8) - header.len());
    let values = (0..channels).flat_map(|channel| (channel as f32).to_le_bytes());
    let length = (header.len() as u64).to_le_bytes();
    length
        .into_iter()
        .chain(header.bytes())
        .chain(values)
        .collect()
}

#[test]
fn train_ids_of_an_index_are_those_of_cityscapes() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    std::fs::write(at.join("index.json"), index("train_id"))?;
    let read = Index::read(at)?;
    assert_eq!(read.classes()?, &ClassSet::cityscapes()?);
    let mut mask = Mask::filled(2, 1, 18);
    mask.write(&at.join("a.png"))?;
    assert_eq!(read.read_mask(at, &read.samples[0])?, mask);
    mask.labels[1] = 19;
    mask.write(&at.join("a.png"))?;
    assert!(read.read_mask(at, &read.samples[0]).is_err());
    Ok(())
}

#[test]
fn other_masks_of_an_index_have_no_classes() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for kind in ["eval", "proxy"] {
        std::fs::write(dir.path().join("index.json"), index(kind))?;
        assert_eq!(Index::read(dir.path())?.classes, None);
    }
    Ok(())
}

/// What version 2 asks for, version 1 did not have; so the version decides, not the field.
#[test]
fn an_index_of_today_must_say_its_classes() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let text = index("train_id").replace("\"format_version\": 1", "\"format_version\": 2");
    std::fs::write(dir.path().join("index.json"), text)?;
    let error = format!("{:#}", Index::read(dir.path()).expect_err("no classes"));
    assert!(
        error.contains("index.json") && error.contains("class set"),
        "{error}"
    );
    Ok(())
}

#[test]
fn logits_of_19_classes_are_those_of_cityscapes_and_void_stays_last() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("a.safetensors");
    for (num_classes, channels) in [(19, 19), (19, 20), (5, 7)] {
        std::fs::write(&path, logits(num_classes, channels))?;
        let read = Logits::read(&path)?;
        let expected = match num_classes {
            19 => ClassSet::cityscapes()?,
            _ => ClassSet::unnamed(num_classes)?,
        };
        assert_eq!((&read.info.classes, read.channels), (&expected, channels));
        let mut row = vec![0.0; num_classes];
        read.row_reader().read(0, &mut row);
        assert!(row.iter().enumerate().all(|(class, &v)| v == class as f32));

        // written again, it is of today's version and says the same
        read.write(&path, Precision::F32)?;
        assert!(
            String::from_utf8_lossy(&std::fs::read(&path)?).contains(r#""format_version":"2""#)
        );
        assert_eq!(Logits::read(&path)?.info, read.info);
    }
    Ok(())
}

#[test]
fn later_versions_are_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    let text = index("eval").replace("\"format_version\": 1", "\"format_version\": 3");
    std::fs::write(at.join("index.json"), text)?;
    let bytes = logits(19, 19);
    let at_version = bytes.windows(3).position(|three| three == b"\"1\"");
    let mut later = bytes;
    later[at_version.unwrap_or(0) + 1] = b'3';
    std::fs::write(at.join("a.safetensors"), later)?;
    let index = Index::read(at).map(drop);
    let logits = Logits::read(&at.join("a.safetensors")).map(drop);
    for result in [index, logits] {
        let error = format!("{:#}", result.expect_err("a later version"));
        assert!(error.contains("version 3"), "{error}");
    }
    Ok(())
}
