//! The networks against `PyTorch`: logits, loss, gradients and running statistics, with weights that are computed by a formula.
//!
//! Formats and tolerances: `tests/golden/nets/README.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use seg_model::layers::Mode;
use seg_model::nets::Network;
use seg_model::params::{Params, fnv1a64};
use seg_ops::{BatchNormMode, SoftTargets, soft_cross_entropy};
use serde_json::Value;
use stage_testing::data::golden;

/// Uniform number `i` in [0, 1) of the stream `key`.
fn uniform(key: u64, i: u64) -> f64 {
    let mut z = key.wrapping_add((i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 40) as f64 / (1u64 << 24) as f64
}

fn weight(name: &str, shape: &[usize]) -> Result<Tensor> {
    let key = fnv1a64(name);
    let fan_in = shape.iter().skip(1).product::<usize>() as f64;
    let value = |i: u64| {
        let u = uniform(key, i);
        let s = 2.0 * u - 1.0;
        let value = if name.ends_with("running_var") {
            0.5 + u
        } else if name.ends_with("running_mean") {
            0.1 * s
        } else if shape.len() >= 2 {
            s * (1.5 / fan_in).sqrt()
        } else if name.ends_with("weight") {
            0.5 + u
        } else {
            0.1 * s
        };
        value as f32
    };
    let n = shape.iter().product::<usize>() as u64;
    Ok(Tensor::from_vec(
        (0..n).map(value).collect::<Vec<_>>(),
        shape,
        &Device::Cpu,
    )?)
}

fn input(name: &str, shape: &[usize]) -> Result<Tensor> {
    let key = fnv1a64(name);
    let n = shape.iter().product::<usize>() as u64;
    let values: Vec<f32> = (0..n)
        .map(|i| (uniform(key, i) * 4.0 - 2.0) as f32)
        .collect();
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}

fn target(name: &str, shape: &[usize]) -> Result<Tensor> {
    let key = fnv1a64(name);
    let (n, h, w) = (shape[0], shape[2], shape[3]);
    let mut labels = vec![0u8; n * h * w];
    for (at, label) in labels.iter_mut().enumerate() {
        let (image, y, x) = (at / (h * w), at / w % h, at % w);
        let cell = (image * (h / 8) + y / 8) * (w / 8) + x / 8;
        *label = match (uniform(key, cell as u64) * 23.0) as u8 {
            21 | 22 => 255,
            19 | 20 => 254,
            class => class,
        };
    }
    Ok(Tensor::from_vec(labels, (n, h, w), &Device::Cpu)?)
}

fn shape(value: &Value) -> Result<Vec<usize>> {
    Ok(serde_json::from_value(value.clone())?)
}

fn number(value: &Value) -> Result<f64> {
    value
        .as_f64()
        .with_context(|| format!("{value} is no number"))
}

/// Median, 90 % quantile and maximum.
fn spread(mut errors: Vec<f64>) -> [f64; 3] {
    errors.sort_by(f64::total_cmp);
    let at = |q: f64| errors[((errors.len() - 1) as f64 * q).round() as usize];
    [at(0.5), at(0.9), at(1.0)]
}

struct Case {
    json: Value,
    dir: PathBuf,
    network: Network,
    params: Params,
    channels: usize,
}

impl Case {
    /// `None` if there is no such network here.
    fn open(dir: &Path) -> Result<Option<Self>> {
        let name = dir.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let Ok(network) = Network::from_name(&name.replace('_', "-")) else {
            eprintln!("skipped: no network {name}");
            return Ok(None);
        };
        let json: Value = serde_json::from_slice(&std::fs::read(dir.join("case.json"))?)?;
        let tensors = json["tensors"].as_object().context("no tensors")?;
        let tensors = tensors
            .iter()
            .map(|(name, entry)| {
                let dims = entry.get("shape").unwrap_or(entry);
                Ok((name.clone(), weight(name, &shape(dims)?)?))
            })
            .collect::<Result<BTreeMap<_, _>>>()?;
        Ok(Some(Self {
            channels: shape(&json["eval_logits_shape"])?[1],
            json,
            dir: dir.to_owned(),
            network,
            params: Params::from_tensors(&tensors, &Device::Cpu)?,
        }))
    }

    fn check_evaluation(&self) -> Result<()> {
        let net = self.network.build_frozen(self.channels, &self.params)?;
        let name = self.json["input_name"].as_str().context("no input_name")?;
        let logits = net.forward(
            &input(name, &shape(&self.json["input_shape"])?)?,
            &Mode::EVAL,
        )?;
        let expected = Tensor::read_npy(self.dir.join("eval_logits.npy"))?;
        let (_, _, h, w) = expected.dims4()?;
        let logits = self.upsampled(logits, (h, w))?;
        let error = (logits - expected)?
            .abs()?
            .flatten_all()?
            .max(0)?
            .to_scalar::<f32>()?;
        let limit = 1e-4 * number(&self.json["eval_std"])?;
        eprintln!(
            "{}: logits differ by at most {error:.2e}, limit {limit:.2e}",
            self.network.name()
        );
        ensure!(
            f64::from(error) < limit,
            "logits differ by {error}, more than {limit}"
        );
        Ok(())
    }

    /// Logits at `size`. Some of the original networks upsample themselves, others leave it to their caller.
    fn upsampled(&self, logits: Tensor, size: (usize, usize)) -> Result<Tensor> {
        let (_, _, h, w) = logits.dims4()?;
        if (h, w) == size {
            return Ok(logits);
        }
        let align_corners = self.network.align_corners();
        Ok(seg_ops::upsample_bilinear2d(&logits, size, align_corners)?)
    }

    /// The recorded quantile of `PyTorch`'s own f32 error, three times which is allowed here: the same quantile, with one exception.
    ///
    /// The training case of `WideResNet38` has batch norms over two values whose variance is below eps, so its gradients are ill-conditioned:
    /// in f64 they change by 1e-3 if the last bit of the input changes. The recorded run of `PyTorch` happened to have a median of 6e-5; the
    /// same run without oneDNN has 8e-4, and these kernels have 6e-4.
    fn allowed_quantile<'a>(&self, key: &str, quantile: &'a str) -> &'a str {
        let is_lucky = self.network == Network::Deeplabv3plusWrn38 && key == "grad_l2_relative";
        if is_lucky && quantile == "median" {
            "p90"
        } else {
            quantile
        }
    }

    fn check_training(&self) -> Result<()> {
        let train = &self.json["train"];
        let net = self.network.build_trainable(self.channels, &self.params)?;
        let dims = shape(&train["input_shape"])?;
        let images = input(train["input_name"].as_str().context("no name")?, &dims)?;
        let labels = target(train["target_name"].as_str().context("no name")?, &dims)?;
        let mode = Mode {
            batch_norm: BatchNormMode::Batch,
            dropout: None,
        };
        let logits = self.upsampled(net.forward(&images, &mode)?, (dims[2], dims[3]))?;
        let table = targets(number(&train["alpha"])?, self.channels);
        let loss = soft_cross_entropy(&logits, &labels, &table, logits.elem_count() as f64)?;
        let (value, expected) = (f64::from(loss.to_scalar::<f32>()?), number(&train["loss"])?);
        ensure!(
            (value / expected - 1.0).abs() < 1e-5,
            "loss {value} instead of {expected}"
        );
        let grads = loss.backward()?;

        let recorded = &train["pytorch_f32_error"];
        let floor = number(&recorded["norm_floor"])?;
        let (mut norm_errors, mut first_errors) = (Vec::new(), Vec::new());
        let variables = self.params.variables();
        for (name, golden) in train["grad"].as_object().context("no grad")? {
            let Some(l2) = golden["l2"].as_f64().filter(|&l2| l2 > floor) else {
                continue;
            };
            let grad = grads
                .get(&variables[name])
                .with_context(|| format!("{name} has no gradient"))?;
            let grad: Vec<f32> = grad.flatten_all()?.to_vec1()?;
            let norm = grad
                .iter()
                .map(|&g| f64::from(g).powi(2))
                .sum::<f64>()
                .sqrt();
            norm_errors.push((norm / l2 - 1.0).abs());
            let rms = l2 / (grad.len() as f64).sqrt();
            for (g, expected) in grad
                .iter()
                .zip(golden["first"].as_array().context("no first")?)
            {
                first_errors.push((f64::from(*g) - number(expected)?).abs() / rms);
            }
        }
        for (key, errors) in [
            ("grad_l2_relative", norm_errors),
            ("grad_first_over_rms", first_errors),
        ] {
            let found = spread(errors);
            for (i, quantile) in ["median", "p90", "max"].into_iter().enumerate() {
                let quantile_allowed = self.allowed_quantile(key, quantile);
                let limit = (3.0 * number(&recorded[key][quantile_allowed])?).max(1e-5);
                eprintln!(
                    "{}: {key} {quantile} {:.2e}, limit {limit:.2e}",
                    self.network.name(),
                    found[i]
                );
                ensure!(
                    found[i] <= limit,
                    "{key} {quantile} is {}, limit {limit}",
                    found[i]
                );
            }
        }
        for (name, golden) in train["running_stats_after_one_forward"]
            .as_object()
            .context("no statistics")?
        {
            // the original evaluates DualGCN's auxiliary head without using the result
            if name.starts_with("dsn.") {
                continue;
            }
            let values: Vec<f32> = variables[name].to_vec1()?;
            let norm = values
                .iter()
                .map(|&v| f64::from(v).powi(2))
                .sum::<f64>()
                .sqrt();
            let expected = number(&golden["l2"])?;
            ensure!(
                (norm / expected - 1.0).abs() < 1e-4,
                "{name} has norm {norm} instead of {expected}"
            );
        }
        Ok(())
    }
}

fn targets(alpha: f64, channels: usize) -> SoftTargets {
    let mut table = SoftTargets::default();
    for class in 0..channels {
        table.class[class] = Some(class as u8);
        table.class_weight[class] = (1.0 - alpha) as f32;
    }
    table.uniform_weight[254] = (alpha / channels as f64) as f32;
    table
}

#[test]
fn golden_networks_compute_what_pytorch_does() -> Result<()> {
    let folder = golden("nets");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(&folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    cases.retain(|path| path.join("case.json").exists());
    cases.sort();
    ensure!(!cases.is_empty(), "no cases in {}", folder.display());
    for dir in cases {
        let Some(case) = Case::open(&dir)? else {
            continue;
        };
        case.check_evaluation()
            .with_context(|| format!("{} in evaluation", dir.display()))?;
        if case.json["train"].is_null() {
            continue;
        }
        case.check_training()
            .with_context(|| format!("{} in training", dir.display()))?;
    }
    Ok(())
}
