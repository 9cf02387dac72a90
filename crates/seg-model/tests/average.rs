//! `seg-model average`: the mean of weights, and the weights that have none.

mod common;

use std::fs;
use std::process::Command;

use anyhow::Result;
use candle_core::Tensor;
use common::{Toy, enet, seg_model};
use seg_model::checkpoint::Checkpoint;
use stage_testing::command::{fail_quietly, succeed};

/// Random weights, and the same times `factor`.
fn toy_with(factor: f64) -> Result<Toy> {
    let toy = Toy::new()?;
    let mut other = enet(19)?;
    for tensor in other.tensors.values_mut() {
        *tensor = (&*tensor * factor)?;
    }
    other.write(&toy.path("other.safetensors"))?;
    Ok(toy)
}

fn average(toy: &Toy, weights: [&str; 2], more: &[&str]) -> Command {
    let files = weights.map(|name| toy.path(name).display().to_string());
    let mut command = seg_model();
    command
        .arg("average")
        .arg("--weights")
        .arg(files.join(","))
        .arg("--output")
        .arg(toy.path("mean.safetensors"))
        .args(more);
    command
}

#[test]
fn the_mean_is_that_of_every_tensor_with_the_shares() -> Result<()> {
    let toy = toy_with(1.2)?;
    let pair = ["enet.safetensors", "other.safetensors"];
    let first = enet(19)?.tensors;
    for (shares, factor) in [
        (&[][..], 1.1),
        (&["--shares", "3,1"], 1.05),
        (&["--shares", "0,2"], 1.2),
    ] {
        succeed(&mut average(&toy, pair, shares))?;
        let mean = Checkpoint::read(&toy.path("mean.safetensors"), None)?;
        assert_eq!(mean.tensors.len(), first.len());
        for (name, tensor) in &first {
            let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
            for (value, mean) in values(tensor)?.iter().zip(values(&mean.tensors[name])?) {
                let wanted = f64::from(*value) * factor;
                assert!(
                    (f64::from(mean) - wanted).abs() <= 1e-6 * wanted.abs(),
                    "{name}"
                );
            }
        }
        let parts: Vec<_> = mean.source.split("; ").collect();
        assert!(
            parts[0].contains(" of enet.safetensors, BLAKE3 "),
            "{}",
            mean.source
        );
        assert!(
            parts[1].contains(" of other.safetensors, BLAKE3 "),
            "{}",
            mean.source
        );
    }
    // a network like any other
    succeed(&mut toy.infer_with("mean.safetensors", "out", &["--limit", "1"]))?;
    Ok(())
}

#[test]
fn weights_without_a_mean_are_refused() -> Result<()> {
    let toy = toy_with(1.2)?;
    enet(20)?.write(&toy.path("void.safetensors"))?;
    let mut colors = enet(19)?;
    colors.normalization.mean = [0.5, 0.0, 0.0];
    colors.write(&toy.path("colors.safetensors"))?;
    let own = "enet.safetensors";
    for (other, words) in [
        (
            "void.safetensors",
            &["void.safetensors", "output channels are not the same"][..],
        ),
        ("colors.safetensors", &["normalized differently"]),
        ("absent.safetensors", &["absent.safetensors"]),
    ] {
        fail_quietly(average(&toy, [own, other], &[]).arg("-q"), words)?;
    }
    for (shares, words) in [
        ("1", &["--shares has 1 values, --weights has 2 files"][..]),
        ("0,0", &["not all 0"]),
        ("1,-1", &["0 or more"]),
        ("1,nan", &["0 or more"]),
    ] {
        let shares = format!("--shares={shares}");
        let mut command = average(&toy, [own, "other.safetensors"], &[&shares, "-q"]);
        fail_quietly(&mut command, words)?;
    }
    assert!(!toy.path("mean.safetensors").exists());
    Ok(())
}

#[test]
fn only_what_was_made_of_other_weights_is_replaced() -> Result<()> {
    let toy = toy_with(1.2)?;
    let pair = ["enet.safetensors", "other.safetensors"];
    fs::write(toy.path("mean.safetensors"), "something else")?;
    fail_quietly(average(&toy, pair, &[]).arg("-q"), &["exists", "--force"])?;
    succeed(&mut average(&toy, pair, &["--force"]))?;
    succeed(&mut average(&toy, pair, &["--shares", "1,3"]))?;
    let with_itself = ["enet.safetensors", "mean.safetensors"];
    fail_quietly(
        &mut average(&toy, with_itself, &["--force", "-q"]),
        &["would be lost"],
    )
}
