//! The tensors of a network by name: parameters and running statistics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};
use candle_core::{DType, Device, Shape, Tensor, Var};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seg_ops::Precision;

/// The named variables of one network. Clones share them, so that the network and the code that trains or saves it see the same values.
///
/// A network is built from [`Params::builder`] and asks for every tensor by name and shape. [`Params::check_complete`] checks that it asked
/// for exactly the tensors that exist.
#[derive(Clone, Debug)]
pub struct Params {
    device: Device,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    variables: BTreeMap<String, Var>,
    /// Names that a network asked for.
    used: BTreeSet<String>,
    /// Names that a network asked for without success, with the shape asked for last.
    missing: BTreeMap<String, Vec<usize>>,
    /// Names that exist in another shape than asked for: the shape that exists, and the shape asked for.
    misshapen: BTreeMap<String, (Vec<usize>, Vec<usize>)>,
    /// Seed from which missing tensors are initialized; without a seed they are recorded as missing.
    seed: Option<u64>,
    /// Names of tensors that are not trained; `None` trains all.
    frozen: Option<fn(&str) -> bool>,
    /// Prefixes of the names that are trained; an empty list trains all.
    trained: Vec<String>,
    /// Precision in which layers multiply.
    precision: Precision,
}

impl Params {
    /// Parameters that are initialized from `seed` with the distributions of `PyTorch`'s layers.
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

    /// Parameters with the values of a checkpoint's tensors, converted to f32.
    ///
    /// # Errors
    /// Returns an error if the device has no memory for them.
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

    /// Device of the parameters.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// From now on, tensors that a network asks for and that do not exist are initialized from `seed`.
    pub fn initialize_missing(&self, seed: u64) {
        self.lock().seed = Some(seed);
    }

    /// Names and shapes of tensors that a network asked for and that do not exist.
    pub fn missing(&self) -> BTreeMap<String, Vec<usize>> {
        self.lock().missing.clone()
    }

    /// Excludes tensors from training by their names: they get no gradient and are not [`Params::trainable`].
    pub fn freeze(&self, is_frozen: fn(&str) -> bool) {
        self.lock().frozen = Some(is_frozen);
    }

    /// Excludes all tensors from training, as [`Params::freeze`] does, except those whose names start with one of `prefixes`.
    pub fn train_only(&self, prefixes: Vec<String>) {
        self.lock().trained = prefixes;
    }

    /// From now on, networks that are built multiply in this precision; the tensors stay f32.
    ///
    /// The builders tell their layers so by their number format.
    pub fn multiply_in(&self, precision: Precision) {
        self.lock().precision = precision;
    }

    /// A builder for training: it hands out variables, so that gradients reach all tensors except frozen ones.
    pub fn builder(&self) -> VarBuilder<'static> {
        self.make_builder(false)
    }

    /// A builder for inference: it hands out tensors without gradients. Layers may combine them once when they are built (a batch norm
    /// is folded into its convolution), so later changes of the variables have no effect on the network.
    pub fn frozen_builder(&self) -> VarBuilder<'static> {
        self.make_builder(true)
    }

    fn make_builder(&self, detached: bool) -> VarBuilder<'static> {
        let backend = Backend {
            params: self.clone(),
            detached,
        };
        let precision = self.lock().precision;
        let format = match precision {
            Precision::F32 => DType::F32,
            Precision::Bf16 => DType::BF16,
        };
        VarBuilder::from_backend(Box::new(backend), format, self.device.clone())
    }

    /// All variables by name, running statistics included.
    pub fn variables(&self) -> BTreeMap<String, Var> {
        self.lock().variables.clone()
    }

    /// The variables that an optimizer updates: all except running statistics and frozen ones.
    pub fn trainable(&self) -> BTreeMap<String, Var> {
        let inner = self.lock();
        let trains = |name: &str| !is_running_statistic(name) && !inner.is_frozen(name);
        let variables = inner.variables.iter().filter(|(name, _)| trains(name));
        variables.map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// Checks that the network asked for exactly the tensors that exist.
    ///
    /// # Errors
    /// Returns an error that names all missing, unexpected and misshapen tensors.
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
        let has_prefix = |prefix: &String| name.starts_with(prefix.as_str());
        self.frozen.is_some_and(|is_frozen| is_frozen(name))
            || !(self.trained.is_empty() || self.trained.iter().any(has_prefix))
    }
}

/// Whether a tensor is a running statistic of a batch norm, and not a parameter.
pub fn is_running_statistic(name: &str) -> bool {
    name.ends_with(".running_mean") || name.ends_with(".running_var")
}

/// Hands out the tensors to candle's `VarBuilder`.
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
                // a placeholder until `check_complete` reports all faults at once
                return placeholder(shape, device);
            }
            None => {
                let Some(seed) = inner.seed else {
                    inner.missing.insert(name.to_owned(), shape.dims().to_vec());
                    // A placeholder until the names are compared. For training it must be a variable, because layers take anything else as
                    // built for inference and start to compute with it, which would touch all of its memory: zeros from the system
                    // cost nothing until then.
                    return Ok(if self.detached {
                        Tensor::zeros(shape, DType::F32, device)?
                    } else {
                        Var::zeros(shape, DType::F32, device)?.into_inner()
                    });
                };
                let values = initialize(&shape, name, init, seed, device)?;
                let variable = Var::from_tensor(&values)?;
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

/// Zeros of any shape that take the memory of a single value.
fn placeholder(shape: Shape, device: &Device) -> candle_core::Result<Tensor> {
    Tensor::zeros((), DType::F32, device)?.broadcast_as(shape)
}

/// Initial values of a tensor. They depend on its name and the seed only, not on the order in which tensors are asked for.
fn initialize(
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
        other => candle_core::bail!(
            "tensor {name} needs the initialization {other:?}, which does not exist here"
        ),
    }
}

/// 64-bit FNV-1a hash of a name.
pub fn fnv1a64(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
