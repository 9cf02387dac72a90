//! The code of docs/PYTORCH.md does what the page says, with the Python module and without it, and both ways have the same results.
//!
//! Python is the one that `OODSEG_PYTHON` names, else one of those that the recipes install, or `python3`. It needs numpy, Pillow and
//! pyarrow. A few lines stand for torch, and the tables are left out without pandas, where these are not installed.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use image::{GrayImage, Luma, Rgb, RgbImage};
use stage_testing::command::succeed;
use stage_testing::folder::files;

use common::{ROOT, find_python, has, with_module};

/// As many as the data set has.
const IDS: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
/// Where the page has the data set.
const DATA: &str = "/data/RoadAnomaly21";

/// A network that is sure where there is red, and a method whose score is highest where there is none.
const NETWORK: &str = r"
def network(batch):
    logits = torch.zeros((1, 11) + tuple(batch.shape[2:]))
    logits[0, 0] = 9 * batch[0, 0]
    return logits

def score(image):
    return 1 - image[0]
";

/// What the page needs of torch.
const TORCH: &str = r"
import contextlib
import numpy

class Tensor(numpy.ndarray):
    def detach(self):
        return self

    def cpu(self):
        return self

    def float(self):
        return self

    def numpy(self, force=False):
        return numpy.asarray(self)

def from_numpy(array):
    return array.view(Tensor)

def zeros(shape):
    return from_numpy(numpy.zeros(shape, numpy.float32))

def inference_mode():
    return contextlib.nullcontext()
";

/// The blocks of a language in the page, in their order.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("```{language}\n");
    let rests = page.split(&*opening).skip(1);
    rests.filter_map(|rest| rest.split("```").next()).collect()
}

/// Draws the data set: red images, but for an unknown object and a false alarm in each.
fn draw(root: &Path) -> Result<()> {
    for folder in ["images", "labels_masks"] {
        fs::create_dir_all(root.join(folder))?;
    }
    for (number, id) in (0..).zip(IDS) {
        let is_object = |x, y| (3..9).contains(&x) && (2..6 + number % 3).contains(&y);
        let is_alarm = |x, y| (18..22 + number % 5).contains(&x) && (9..13).contains(&y);
        let image = RgbImage::from_fn(32, 16, |x, y| {
            let red = if is_object(x, y) || is_alarm(x, y) {
                0
            } else {
                225
            };
            Rgb([red + x as u8 / 2, 200, 200])
        });
        let mask = GrayImage::from_fn(32, 16, |x, y| Luma([u8::from(is_object(x, y))]));
        let name = format!("{id}.png");
        image.save(root.join("images").join(&name))?;
        mask.save(root.join("labels_masks").join(&name))?;
    }
    Ok(())
}

/// Runs the commands of a block in `dir`.
fn run_stages(dir: &Path, block: &str) -> Result<()> {
    for line in block.lines() {
        let words = line.strip_prefix("oodseg ");
        let words = words.with_context(|| format!("not a command of oodseg: {line}"))?;
        let data = dir.join("data");
        let words = words.split(' ').map(|word| match word {
            DATA => data.as_os_str(),
            word => word.as_ref(),
        });
        let mut command = Command::new(env!("CARGO_BIN_EXE_oodseg"));
        succeed(command.current_dir(dir).args(words)).with_context(|| line.to_owned())?;
    }
    Ok(())
}

/// The parts of the page in one of its two ways.
struct Way<'a> {
    python: &'a Path,
    has_module: bool,
    /// Images, logits, scores, tables, stages.
    code: [&'a str; 5],
    /// What lists the images, goes on from logits, and from scores.
    stages: [&'a str; 3],
}

impl Way<'_> {
    /// Follows the page in the folder `dir`.
    fn follow(&self, dir: &Path) -> Result<()> {
        let [images, logits, scores, tables, call] = self.code;
        let [list, of_logits, of_scores] = self.stages;
        draw(&dir.join("data"))?;
        run_stages(dir, list)?;
        self.run_python(dir, &[images, NETWORK, logits, scores])?;
        run_stages(dir, of_logits)?;
        run_stages(dir, of_scores)?;
        self.run_python(dir, &[call])?;
        ensure!(dir.join("runs/mine/found/segments.parquet").exists());
        if has(self.python, "pandas") {
            let count = "print(len(segments), len(decisions), 'rows')";
            let printed = self.run_python(dir, &[tables, count])?;
            ensure!(printed.contains("20 20 rows"), "{printed}");
        } else {
            eprintln!("without pandas: its lines are left out");
        }
        Ok(())
    }

    fn run_python(&self, dir: &Path, code: &[&str]) -> Result<String> {
        let mut command = with_module(self.python);
        let mut path: Vec<PathBuf> = Vec::new();
        if !has(self.python, "torch") {
            let stand_in = dir.join("stand-in");
            fs::create_dir_all(&stand_in)?;
            fs::write(stand_in.join("torch.py"), TORCH)?;
            path.push(stand_in);
        }
        if self.has_module {
            path.push(Path::new(ROOT).join("python"));
        }
        command.env("PYTHONPATH", std::env::join_paths(path)?);
        let bin = Path::new(env!("CARGO_BIN_EXE_oodseg")).parent();
        let mut programs: Vec<PathBuf> = bin.into_iter().map(Path::to_owned).collect();
        programs.extend(std::env::split_paths(
            &std::env::var_os("PATH").unwrap_or_default(),
        ));
        command.env("PATH", std::env::join_paths(programs)?);
        Ok(succeed(command.current_dir(dir).args(["-c", &code.concat()]))?.stdout)
    }
}

#[test]
fn both_ways_of_the_page_have_the_same_results() -> Result<()> {
    let Some(python) = find_python("numpy, PIL, pyarrow")? else {
        return Ok(());
    };
    let page = fs::read_to_string(Path::new(ROOT).join("docs/PYTORCH.md"))?;
    let code = blocks(&page, "python");
    let stages = blocks(&page, "sh");
    ensure!(code.len() == 10, "{} blocks of Python", code.len());
    let stages =
        <[&str; 3]>::try_from(&stages[..]).context("the page has not three shell blocks")?;
    let dir = tempfile::tempdir()?;
    for (first, name) in ["with", "without"].into_iter().enumerate() {
        let way = Way {
            python: &python,
            has_module: first == 0,
            code: std::array::from_fn(|part| code[2 * part + first]),
            stages,
        };
        let at = dir.path().join(name);
        way.follow(&at)
            .with_context(|| format!("{name} the module"))?;
        let report = fs::read_to_string(at.join("runs/rba/report/results.md"))?;
        // the score tells the unknown objects from everything but the false alarms
        ensure!(report.contains("| RbA + meta |"), "{report}");
    }
    for folder in ["mine/logits", "rba/scores"] {
        for id in IDS {
            let name = format!("runs/{folder}/road-anomaly21/{id}.safetensors");
            let [with, without] = ["with", "without"].map(|way| dir.path().join(way).join(&name));
            ensure!(fs::read(&with)? == fs::read(&without)?, "{name} differs");
        }
    }
    let found = files(
        &dir.path()
            .join("with/runs/mine/segments/road-anomaly21/components"),
    )?;
    ensure!(found.len() == IDS.len());
    Ok(())
}
