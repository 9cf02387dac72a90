//! Which of a checkpoint's tensors are taken as the weights.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};

use super::*;
use crate::checkpoint::{Checkpoint, Read, ReadOptions};
use crate::nets::Network;
use crate::params::Params;

/// Random weights of `ENet`, each tensor of which has another name `rename(name)`.
pub(super) fn tensors(network: Network, seed: u64) -> Result<BTreeMap<String, Tensor>> {
    let params = Params::random(seed, &Device::Cpu);
    network.build_trainable(19, &params)?;
    let variables = params.variables().into_iter();
    Ok(variables
        .map(|(name, variable)| (name, variable.as_detached_tensor()))
        .collect())
}

/// A pickle of nested dictionaries with tensors, and their storages.
pub(super) struct Builder {
    pub(super) pickler: Pickler,
    storages: Vec<(String, u64, Vec<u8>)>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            pickler: Pickler::new().op(b"}"),
            storages: Vec::new(),
        }
    }

    fn edit(mut self, edit: impl FnOnce(Pickler) -> Pickler) -> Self {
        self.pickler = edit(self.pickler);
        self
    }

    /// Adds the tensors to the current dictionary.
    pub(super) fn tensors(mut self, tensors: &BTreeMap<String, Tensor>) -> Result<Self> {
        for (name, tensor) in tensors {
            let key = self.storages.len().to_string();
            let values = tensor.flatten_all()?.to_vec1::<f32>()?;
            let shape: Vec<i64> = tensor.dims().iter().map(|&d| d as i64).collect();
            let strides: Vec<i64> = tensor.stride().iter().map(|&d| d as i64).collect();
            let view = View {
                name,
                key: &key,
                numel: values.len() as i64,
                shape: &shape,
                strides: &strides,
                ..PLAIN
            };
            self.pickler = self.pickler.text(name).tensor(&view).op(b"s");
            self.storages
                .push((key, values.len() as u64, bytes(&values)));
        }
        Ok(self)
    }

    /// Adds a dictionary with these tensors to the current one.
    pub(super) fn nest(self, key: &str, tensors: &BTreeMap<String, Tensor>) -> Result<Self> {
        let inner = self.edit(|p| p.text(key).op(b"}")).tensors(tensors)?;
        Ok(inner.edit(|p| p.op(b"s")))
    }

    pub(super) fn read(self, key: Option<&str>) -> Result<Read> {
        let storages: Vec<_> = self
            .storages
            .iter()
            .map(|(key, n, bytes)| (key.as_str(), *n, bytes.clone()))
            .collect();
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("w.pth");
        fs::write(&path, zip(&self.pickler.end(), &storages)?)?;
        let options = ReadOptions {
            key: key.map(str::to_owned),
            ..ReadOptions::strict(None)
        };
        Checkpoint::read_with(&path, &options)
    }
}

fn one(name: &str, values: &[f32]) -> Result<BTreeMap<String, Tensor>> {
    let tensor = Tensor::new(values, &Device::Cpu)?;
    Ok(BTreeMap::from([(name.to_owned(), tensor)]))
}

pub(super) fn renamed(
    tensors: &BTreeMap<String, Tensor>,
    name: impl Fn(&str) -> String,
) -> BTreeMap<String, Tensor> {
    tensors.iter().map(|(n, t)| (name(n), t.clone())).collect()
}

pub(super) fn check_equal(read: &Read, expected: &BTreeMap<String, Tensor>) -> Result<()> {
    let found = &read.checkpoint.tensors;
    assert!(found.keys().eq(expected.keys()));
    for (name, tensor) in expected {
        let values = |t: &Tensor| t.flatten_all()?.to_vec1::<f32>();
        assert_eq!(values(&found[name])?, values(tensor)?, "{name}");
    }
    Ok(())
}

/// Scores, losses, class weights, random states and optimizers, at the top and inside of other dictionaries.
#[test]
fn tensors_beside_the_weights_do_not_hide_them() -> Result<()> {
    let weights = tensors(Network::Enet, 1)?;
    let scores = ["best_acc1", "loss", "rng_state", "class_weights"];
    let with_scores = || {
        scores.iter().try_fold(Builder::new(), |builder, name| {
            builder.tensors(&one(name, &[1.0, 2.0])?)
        })
    };
    let read = with_scores()?.nest("state_dict", &weights)?.read(None)?;
    check_equal(&read, &weights)?;
    assert_eq!((read.key.as_str(), read.choice()), ("state_dict", None));
    // an optimizer with as many tensors
    let state = renamed(&weights, |name| format!("{name}.exp_avg"));
    let read = with_scores()?
        .nest("optimizer", &state)?
        .nest("my_weights", &renamed(&weights, |n| format!("module.{n}")))?
        .read(None)?;
    check_equal(&read, &weights)?;
    assert_eq!(read.key, "my_weights");
    // in the same dictionary
    let mut flat = weights.clone();
    flat.extend(one("best_acc1", &[1.0])?);
    flat.extend(one("criterion.weight", &[1.0; 19])?);
    flat.extend(one("val_iou.confmat", &[1.0; 19])?);
    let read = Builder::new().tensors(&flat)?.read(None)?;
    check_equal(&read, &weights)?;
    let ignored: Vec<_> = read.ignored.iter().map(String::as_str).collect();
    assert_eq!(
        ignored,
        ["best_acc1", "criterion.weight", "val_iou.confmat"]
    );
    Ok(())
}

#[test]
fn names_of_wrappers_are_understood() -> Result<()> {
    let weights = tensors(Network::Enet, 1)?;
    for prefix in [
        "module.",
        "model.",
        "net.",
        "network.",
        "_orig_mod.",
        "module._orig_mod.",
        "_orig_mod.module.model.",
        "generator.",
        "student.",
        "segmentation_model.encoder_decoder.",
    ] {
        let named = renamed(&weights, |name| format!("{prefix}{name}"));
        check_equal(&Builder::new().tensors(&named)?.read(None)?, &weights)?;
    }
    let compiled = renamed(&weights, |name| match name.split_once('.') {
        Some((first, rest)) if first.starts_with("regular") => {
            format!("model.{first}._orig_mod.{rest}")
        }
        _ => format!("model.module.{name}"),
    });
    check_equal(&Builder::new().tensors(&compiled)?.read(None)?, &weights)
}

#[test]
fn weights_are_found_under_many_keys() -> Result<()> {
    let weights = tensors(Network::Enet, 1)?;
    for key in [
        "ema",
        "model_ema",
        "student",
        "teacher",
        "state_dict_ema",
        "net",
        "network",
        "generator",
        "anything",
    ] {
        let read = Builder::new().nest(key, &weights)?.read(None)?;
        check_equal(&read, &weights)?;
        assert_eq!((read.key.as_str(), read.choice()), (key, None));
    }
    Ok(())
}

#[test]
fn of_several_weights_the_choice_is_said() -> Result<()> {
    let (first, second) = (tensors(Network::Enet, 1)?, tensors(Network::Enet, 2)?);
    let builder = || -> Result<Builder> {
        let builder = Builder::new().nest("student", &first)?;
        builder
            .nest("teacher", &second)?
            .tensors(&one("loss", &[1.0])?)
    };
    let read = builder()?.read(None)?;
    check_equal(&read, &second)?;
    let said = read.choice().unwrap_or_default();
    assert!(
        said.contains("took the weights \"teacher\", not \"student\""),
        "{said}"
    );
    check_equal(&builder()?.read(Some("student"))?, &first)?;
    let error = builder()?.read(Some("ema"));
    let error = error.map_or_else(|e| format!("{e:#}"), |_| "no error".into());
    for word in ["\"ema\"", "\"student\" (", "\"teacher\" (", "tensors)"] {
        assert!(error.contains(word), "{error}");
    }
    // as prefixes in one dictionary
    let mut both = renamed(&first, |name| format!("model.{name}"));
    both.extend(renamed(&second, |name| format!("ema_model.{name}")));
    let builder = || Builder::new().nest("state_dict", &both);
    let read = builder()?.read(None)?;
    check_equal(&read, &first)?;
    assert_eq!(read.key, "state_dict.model");
    assert_eq!(read.other_keys, ["state_dict.ema_model"]);
    for key in ["state_dict.ema_model", "ema_model"] {
        check_equal(&builder()?.read(Some(key))?, &second)?;
    }
    // inside of another dictionary
    let nested = || -> Result<Builder> {
        let builder = Builder::new().edit(|p| p.text("models").op(b"}"));
        let builder = builder.nest("a", &first)?.nest("b", &second)?;
        Ok(builder.edit(|p| p.op(b"s")))
    };
    check_equal(&nested()?.read(Some("models.b"))?, &second)?;
    assert_eq!(nested()?.read(None)?.other_keys, ["models.b"]);
    Ok(())
}

#[test]
fn a_weight_that_depends_on_an_object_is_an_error() -> Result<()> {
    let mut weights = tensors(Network::Enet, 1)?;
    weights.remove("stage9.weight");
    let name = "regular4_1.ext_conv1.0.weight";
    weights.remove(name).context("a weight")?;
    let builder = Builder::new().tensors(&weights)?;
    let foreign = builder.edit(|p| {
        let p = p.text(name).global("torch._utils", "_rebuild_qtensor");
        let p = p.op(b")Rs").text("history").global("mine", "History");
        p.op(b")Rs")
    });
    let error = foreign.read(None);
    let error = error.map_or_else(|e| format!("{e:#}"), |_| "no error".into());
    assert!(error.contains(name), "{error}");
    assert!(
        error.contains("\"torch._utils._rebuild_qtensor\""),
        "{error}"
    );
    assert!(!error.contains("History"), "{error}");
    Ok(())
}

/// A file of a few bytes with many ways to the same dictionary.
#[test]
fn dictionaries_that_are_reached_by_many_ways_are_visited_once() -> Result<()> {
    let mut p = Pickler::new().op(b"}q\0");
    for level in 1..6_u8 {
        p = p.op(b"}(");
        for i in 0..300 {
            p = p.text(&format!("k{i}")).op([b'h', level - 1]);
        }
        p = p.op(b"u").op([b'q', level]);
    }
    check_fails(&zip(&p.end(), &[])?, "no dictionary of tensors");
    Ok(())
}
