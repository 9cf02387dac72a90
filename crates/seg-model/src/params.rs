//! A network's tensors by name: parameters to be trained and running statistics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};
use candle_core::{DType, Device, Shape, Tensor, Var};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Named variables of one network, shared between the network and whoever trains or saves it.
///
/// A network is built from [`Params::builder`]; it asks for every tensor by name and shape. What it asks for and
/// what the checkpoint held must match both ways, which [`Params::check_complete`] tells.
#[derive(Clone, Debug)]
pub struct Params {
    device: Device,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    variables: BTreeMap<String, Var>,
    /// Tensors that were asked for.
    used: BTreeSet<String>,
    /// Absent, and how often they were asked for in which shape.
    missing: BTreeMap<String, Vec<usize>>,
    /// Present in another shape than asked for.
    misshapen: BTreeMap<String, (Vec<usize>, Vec<usize>)>,
    /// Seed for tensors that are absent; without one they are missing.
    seed: Option<u64>,
    /// Which tensors training leaves as they are; without one, none.
    frozen: Option<fn(&str) -> bool>,
    /// Beginnings of the names that training moves; without any, all.
    trained: Vec<String>,
}

impl Params {
    /// Parameters to be drawn from `seed` as `PyTorch` initializes its layers.
    pub fn random(seed: u64, device: &Device) -> Self {
        let inner = Inner {
            seed: Some(seed),
            ..Inner::default()
        };
        Self {
            device: device.clone(),
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// Parameters from a checkpoint's tensors.
    pub fn from_tensors(tensors: &BTreeMap<String, Tensor>, device: &Device) -> Result<Self> {
        let variables = tensors
            .iter()
            .map(|(name, tensor)| {
                let tensor = tensor.to_device(device)?.to_dtype(DType::F32)?;
                Ok((name.clone(), Var::from_tensor(&tensor)?))
            })
            .collect::<Result<_>>()?;
        let inner = Inner {
            variables,
            ..Inner::default()
        };
        Ok(Self {
            device: device.clone(),
            inner: Arc::new(Mutex::new(inner)),
        })
    }

    /// Where the parameters are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Lets networks that are built from now on have what is absent drawn from `seed`.
    pub fn draw_missing(&self, seed: u64) {
        self.lock().seed = Some(seed);
    }

    /// Names and shapes that a network asked for in vain.
    pub fn missing(&self) -> BTreeMap<String, Vec<usize>> {
        self.lock().missing.clone()
    }

    /// Keeps the tensors of these names out of training: they get no gradient and are not [`Params::trainable`].
    pub fn freeze(&self, is_frozen: fn(&str) -> bool) {
        self.lock().frozen = Some(is_frozen);
    }

    /// Keeps tensors out of training, as [`Params::freeze`] does, whose names begin with none of `beginnings`.
    pub fn train_only(&self, beginnings: Vec<String>) {
        self.lock().trained = beginnings;
    }

    /// Gives a network its tensors as variables, so that gradients reach them, but for frozen ones.
    pub fn builder(&self) -> VarBuilder<'static> {
        self.make_builder(false)
    }

    /// Gives a network its tensors detached from any gradient, for inference: layers may combine them once for all, so that later
    /// changes of the variables do not count.
    pub fn frozen_builder(&self) -> VarBuilder<'static> {
        self.make_builder(true)
    }

    fn make_builder(&self, detached: bool) -> VarBuilder<'static> {
        let backend = Backend {
            params: self.clone(),
            detached,
        };
        VarBuilder::from_backend(Box::new(backend), DType::F32, self.device.clone())
    }

    /// All variables by name, running statistics included.
    pub fn variables(&self) -> BTreeMap<String, Var> {
        self.lock().variables.clone()
    }

    /// The variables that an optimizer moves: all but running statistics and frozen ones.
    pub fn trainable(&self) -> BTreeMap<String, Var> {
        let inner = self.lock();
        let trains = |name: &str| !is_running_statistic(name) && !inner.is_frozen(name);
        let variables = inner.variables.iter().filter(|(name, _)| trains(name));
        variables.map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// Checks that the network asked for exactly the tensors that there are.
    ///
    /// # Errors
    /// With the names of all missing, unexpected and misshapen tensors.
    pub fn check_complete(&self) -> Result<()> {
        let inner = self.lock();
        let mut faults: Vec<String> = Vec::new();
        for (name, shape) in &inner.missing {
            faults.push(format!("{name} {shape:?} is missing"));
        }
        for (name, (found, wanted)) in &inner.misshapen {
            faults.push(format!("{name} has shape {found:?} instead of {wanted:?}"));
        }
        for name in inner.variables.keys() {
            if !inner.used.contains(name) {
                faults.push(format!("{name} is unexpected"));
            }
        }
        ensure!(
            faults.is_empty(),
            "{} tensors do not fit the network: {}",
            faults.len(),
            faults.join("; ")
        );
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_frozen(&self, name: &str) -> bool {
        let is_chosen = |beginning: &String| name.starts_with(beginning.as_str());
        self.frozen.is_some_and(|is_frozen| is_frozen(name))
            || !(self.trained.is_empty() || self.trained.iter().any(is_chosen))
    }
}

/// Whether `name` is a buffer of a batch norm rather than a parameter.
pub fn is_running_statistic(name: &str) -> bool {
    name.ends_with(".running_mean") || name.ends_with(".running_var")
}

struct Backend {
    params: Params,
    detached: bool,
}

impl SimpleBackend for Backend {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        _: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let mut inner = self.params.lock();
        inner.used.insert(name.to_owned());
        let variable = match inner.variables.get(name) {
            Some(variable) if *variable.shape() == shape => variable.clone(),
            Some(variable) => {
                let shapes = (variable.dims().to_vec(), shape.dims().to_vec());
                inner.misshapen.insert(name.to_owned(), shapes);
                // stands in until `check_complete` reports all faults at once
                return stand_in(shape, device);
            }
            None => {
                let Some(seed) = inner.seed else {
                    inner.missing.insert(name.to_owned(), shape.dims().to_vec());
                    // a variable where one was asked for: then nothing is folded, and the memory stays untouched
                    return Ok(if self.detached {
                        Tensor::zeros(shape, DType::F32, device)?
                    } else {
                        Var::zeros(shape, DType::F32, device)?.into_inner()
                    });
                };
                let variable = Var::from_tensor(&draw(&shape, name, init, seed, device)?)?;
                inner.variables.insert(name.to_owned(), variable.clone());
                variable
            }
        };
        Ok(if self.detached || inner.is_frozen(name) {
            variable.as_detached_tensor()
        } else {
            variable.as_tensor().clone()
        })
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        match self.params.lock().variables.get(name) {
            Some(variable) => Ok(variable.as_tensor().clone()),
            None => candle_core::bail!("tensor {name} is missing"),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.params.lock().variables.contains_key(name)
    }
}

/// Zeros of any shape in the memory of one number.
fn stand_in(shape: Shape, device: &Device) -> candle_core::Result<Tensor> {
    Tensor::zeros((), DType::F32, device)?.broadcast_as(shape)
}

/// Initial values that depend on seed and name only, not on the order in which tensors are asked for.
fn draw(
    shape: &Shape,
    name: &str,
    init: Init,
    seed: u64,
    device: &Device,
) -> candle_core::Result<Tensor> {
    match init {
        Init::Const(value) => Tensor::full(value as f32, shape, device),
        Init::Uniform { lo, up } => {
            let mut rng = ChaCha8Rng::seed_from_u64(seed ^ fnv1a64(name));
            let values: Vec<f32> = (0..shape.elem_count())
                .map(|_| (lo + (up - lo) * rng.random::<f64>()) as f32)
                .collect();
            Tensor::from_vec(values, shape, device)
        }
        other => candle_core::bail!("tensor {name} asks for the initialization {other:?}"),
    }
}

/// 64-bit FNV-1a hash of a name.
pub fn fnv1a64(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
