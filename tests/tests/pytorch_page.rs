//! The code of docs/PYTORCH.md does what the page says: Python writes logits, the stages read them, and pandas reads the tables.
//!
//! Python is the one that `OODSEG_PYTORCH` names, else that of `just race` or `python3`. It needs numpy and safetensors; the parts of
//! torch and pandas run where these are installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use artifacts::classes::ClassSet;
use artifacts::index::Index;
use artifacts::labels::MaskKind;
use artifacts::logits::Logits;
use artifacts::mask::Mask;
use clap::Parser;
use stage_testing::command::succeed;
use stage_testing::toy::{sample, stage_output};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Pixels of an image: columns and rows.
const SIZE: (usize, usize) = (32, 16);
const IDS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Images whose red is 1, but 0 on an unknown object and on a false alarm; a network that is sure where there is red.
const IMAGES: &str = r#"
def image(number):
    red = numpy.ones((16, 32), numpy.float32)
    red[2:6 + number % 3, 3:9] = 0
    red[9:13, 18:22 + number] = 0
    return numpy.stack([red + numpy.linspace(0, 0.1, 32, dtype="float32"), red, red])

images = [(sample_id, image(number)) for number, sample_id in enumerate("abcdefgh")]
"#;

/// The network where there is torch.
const TORCH_NETWORK: &str = r"
import torch
images = [(sample_id, torch.from_numpy(image)) for sample_id, image in images]
network = torch.nn.Conv2d(3, 11, 1, bias=False)
torch.nn.init.zeros_(network.weight)
network.weight.data[0, 0] = 9
";

/// The same without.
const NUMPY_NETWORK: &str = r"
for sample_id, image in images:
    logits = numpy.zeros((11, 16, 32), numpy.float32)
    logits[0] = 9 * image[0]
    write_logits(sample_id, logits, *image.shape[1:])
";

/// Runs a stage as its command line would.
macro_rules! stage {
    ($stage:ident $arguments:expr) => {{
        let arguments = [stringify!($stage), $arguments].join(" ");
        let args = $stage::Args::try_parse_from(arguments.split_whitespace())?;
        $stage::run(&args).with_context(|| format!("{arguments:?} failed"))?;
    }};
}

/// The blocks of Python in the page, in their order.
fn blocks(page: &str) -> Vec<&str> {
    let blocks = page.split("```python\n").skip(1);
    blocks.filter_map(|rest| rest.split("```").next()).collect()
}

/// The lines of each block of the page that calls stages.
fn stage_blocks(page: &str) -> Vec<Vec<&str>> {
    let shell = page.split("```sh\n").skip(1);
    let shell = shell.filter_map(|rest| rest.split("```").next());
    shell.map(|block| block.lines().collect()).collect()
}

fn has(python: &Path, modules: &str) -> bool {
    let mut import = Command::new(python);
    import.args(["-c", &format!("import {modules}")]);
    import.output().is_ok_and(|output| output.status.success())
}

/// A Python that has what the page needs; `None`, with a note on stderr, if there is none.
fn find_python() -> Result<Option<PathBuf>> {
    let needed = "numpy, safetensors, tomllib";
    if let Some(named) = std::env::var_os("OODSEG_PYTORCH").map(PathBuf::from) {
        ensure!(has(&named, needed), "{} has not {needed}", named.display());
        return Ok(Some(named));
    }
    let candidates = [
        Path::new(ROOT).join("target/pytorch/bin/python"),
        "python3".into(),
    ];
    let found = candidates.into_iter().find(|python| has(python, needed));
    if found.is_none() {
        eprintln!("skipped: python3 has not {needed}; OODSEG_PYTORCH may name a Python that has");
    }
    Ok(found)
}

/// Masks on which the first of the two squares of each image is an unknown object.
fn write_labels(dir: &Path) -> Result<()> {
    let (width, height) = SIZE;
    stage_output(dir, "cityscapes-io prepare", |dir| {
        let mut samples = Vec::new();
        for (number, id) in IDS.iter().enumerate() {
            let mut mask = Mask::filled(width, height, 0);
            for row in mask
                .labels
                .chunks_exact_mut(width)
                .take(6 + number % 3)
                .skip(2)
            {
                row[3..9].fill(1);
            }
            mask.write(&dir.join(format!("{id}.png")))?;
            let file = Some(format!("{id}.png").into());
            samples.push(sample(id, width as u32, height as u32, file));
        }
        let images = dir.join("no-images");
        Index::new("toy", "test", MaskKind::Eval, &images, samples)?.write(dir)
    })
}

fn run_python(python: &Path, dir: &Path, code: &[&str]) -> Result<String> {
    let mut command = Command::new(python);
    command.current_dir(dir).args(["-c", &code.concat()]);
    Ok(succeed(&mut command)?.stdout)
}

/// Makes paths of the page's command lines absolute below `dir`.
fn below(dir: &Path, line: &str) -> String {
    let words = line.split_whitespace().skip(1).map(|word| {
        let (name, path) = match word.split_once('=') {
            Some((name, path)) => (format!("{name}="), path),
            None => (String::new(), word),
        };
        let is_path = ["outputs", "scores", "labels/", "runs/"]
            .iter()
            .any(|p| path.starts_with(p));
        if is_path {
            format!("{name}{}", dir.join(path).display())
        } else {
            word.to_owned()
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn run_stages(dir: &Path, lines: &[&str]) -> Result<()> {
    for line in lines {
        let arguments = below(dir, line);
        match line.split_whitespace().next() {
            Some("seg-model") => stage!(seg_model & arguments),
            Some("segment-metrics") => stage!(segment_metrics & arguments),
            Some("meta-clf") => stage!(meta_clf & arguments),
            _ => stage!(ood_eval & arguments),
        }
    }
    Ok(())
}

/// A method whose score is highest where there is no red, with the `block` of the page that writes it.
fn scores(block: &str) -> String {
    let method = "for sample_id, image in images:\n    score = 1 - image[1]\n";
    block
        .lines()
        .fold(method.to_owned(), |code, line| code + "    " + line + "\n")
}

#[test]
fn the_code_of_the_page_runs() -> Result<()> {
    let Some(python) = find_python()? else {
        return Ok(());
    };
    let page = fs::read_to_string(Path::new(ROOT).join("docs/PYTORCH.md"))?;
    let blocks = blocks(&page);
    let [write, torch, save, save_scores, pandas] = blocks[..] else {
        anyhow::bail!("the page has {} blocks of Python, not five", blocks.len());
    };
    let stages = stage_blocks(&page);
    let [of_logits, of_scores] = &stages[..] else {
        anyhow::bail!("the page has {} blocks of stages, not two", stages.len());
    };
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    let classes = "data-manifests/classes";
    fs::create_dir_all(at.join(classes))?;
    let camvid = format!("{classes}/camvid.toml");
    fs::copy(Path::new(ROOT).join(&camvid), at.join(&camvid))?;
    if has(&python, "torch") {
        run_python(&python, at, &[write, IMAGES, TORCH_NETWORK, torch])?;
    } else {
        eprintln!("without torch: its lines are left out");
        run_python(&python, at, &[write, IMAGES, NUMPY_NETWORK])?;
    }
    let logits = Logits::read(&at.join("outputs/a.safetensors"))?;
    assert_eq!(logits.info.classes, ClassSet::open("camvid")?);
    assert_eq!((logits.info.output_width, logits.info.output_height), SIZE);

    write_labels(&at.join("labels/road-anomaly21"))?;
    run_stages(at, of_logits)?;
    run_python(&python, at, &[write, IMAGES, &scores(save_scores)])?;
    run_stages(at, of_scores)?;
    let report = fs::read_to_string(at.join("runs/rba/report/results.md"))?;
    // the score tells the unknown objects from everything but the false alarms
    assert!(report.contains("| RbA + meta, RbA |"), "{report}");
    let adopted = Logits::read(&at.join("runs/mine/logits/road-anomaly21/a.safetensors"))?;
    let (mut ours, mut theirs) = (vec![0.0; 11 * SIZE.0], vec![0.0; 11 * SIZE.0]);
    for y in 0..SIZE.1 {
        logits.row_reader().read(y, &mut ours);
        adopted.row_reader().read(y, &mut theirs);
        assert_eq!(ours, theirs, "row {y}");
    }
    if has(&python, "pandas, pyarrow") {
        let printed = run_python(&python, at, &[pandas, "print(len(rows), 'rows')"])?;
        assert!(printed.contains("16 rows"), "{printed}");
    } else {
        eprintln!("without pandas: its lines are left out");
    }

    // an array without metadata
    let array = "import numpy\nsample_id, logits = 'a', numpy.zeros((11, 4, 8), 'float32')\nlogits[0] = 5\n";
    fs::remove_dir_all(at.join("outputs"))?;
    fs::create_dir(at.join("outputs"))?;
    run_python(&python, at, &[array, save])?;
    let adopt =
        "seg-model adopt --from outputs --labels labels/road-anomaly21 --limit 1 --output runs/npy";
    stage!(seg_model & below(at, adopt));
    let adopted = Logits::read(&at.join("runs/npy/a.safetensors"))?;
    assert_eq!(adopted.info.classes, ClassSet::open("camvid")?);
    Ok(())
}
