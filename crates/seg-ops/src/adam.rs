//! Steps of the Adam optimizer, in place.

use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result, Tensor, Var, bail};
use rayon::prelude::*;

use crate::{
    kernels::isa::{Isa, kernel},
    relu::ELEMENTS,
    storage::{is_native, slice},
};

/// Constants of [`AdamState::step`]; the defaults are those of `torch.optim.Adam`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// Decay rate of the first moment, from 0 to 1.
    pub beta1: f64,
    /// Decay rate of the second moment, from 0 to 1.
    pub beta2: f64,
    /// Number that is added to the square root of the second moment.
    pub eps: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
        }
    }
}

/// The moments of the gradients of one variable, in its shape.
#[derive(Clone, Debug)]
pub struct AdamState {
    first: Var,
    second: Var,
}

impl AdamState {
    /// Moments that are 0, for the first step.
    ///
    /// # Errors
    /// Returns an error if the device has no memory for them.
    pub fn new(variable: &Var) -> Result<Self> {
        Ok(Self {
            first: Var::from_tensor(&variable.zeros_like()?)?,
            second: Var::from_tensor(&variable.zeros_like()?)?,
        })
    }

    /// Moments that were saved; both must have the shape of the variable.
    ///
    /// # Errors
    /// Returns an error if their shapes differ.
    pub fn from_moments(first: &Tensor, second: &Tensor) -> Result<Self> {
        if first.shape() != second.shape() {
            bail!(
                "Adam's moments have the shapes {:?} and {:?}",
                first.shape(),
                second.shape()
            );
        }
        Ok(Self {
            first: Var::from_tensor(first)?,
            second: Var::from_tensor(second)?,
        })
    }

    /// The first and the second moment. The tensors share their memory with this state, so later steps change them.
    pub fn moments(&self) -> (Tensor, Tensor) {
        (
            self.first.as_detached_tensor(),
            self.second.as_detached_tensor(),
        )
    }

    /// Updates `variable` with its `gradient`, as `torch.optim.Adam` does (Kingma and Ba 2015, algorithm 1). `step` counts from 1.
    ///
    /// # Errors
    /// Returns an error if the shapes of variable, gradient and moments differ.
    pub fn step(
        &self,
        variable: &Var,
        gradient: &Tensor,
        config: AdamConfig,
        learning_rate: f64,
        step: usize,
    ) -> Result<()> {
        let shape = self.first.shape();
        if variable.shape() != shape || gradient.shape() != shape {
            bail!(
                "Adam with moments {shape:?} got the variable {:?} and the gradient {:?}",
                variable.shape(),
                gradient.shape()
            );
        }
        let update = Update {
            isa: Isa::selected()?,
            rate: (learning_rate / (1.0 - config.beta1.powf(step as f64))) as f32,
            root: (1.0 - config.beta2.powf(step as f64)).sqrt() as f32,
            eps: config.eps as f32,
        };
        if !(is_native(variable) && is_native(gradient)) {
            return self.step_composed(variable, gradient, config, &update);
        }
        let gradient = gradient.detach().contiguous()?;
        let isa = update.isa;
        let first = Moment {
            isa,
            keep: config.beta1 as f32,
            take: (1.0 - config.beta1) as f32,
            squared: false,
        };
        let second = Moment {
            isa,
            keep: config.beta2 as f32,
            take: (1.0 - config.beta2) as f32,
            squared: true,
        };
        self.first.inplace_op2(&gradient, &first)?;
        self.second.inplace_op2(&gradient, &second)?;
        variable.inplace_op3(&self.first, &self.second, &update)
    }

    /// The same with candle's operations, for other devices and types.
    fn step_composed(
        &self,
        variable: &Var,
        gradient: &Tensor,
        config: AdamConfig,
        update: &Update,
    ) -> Result<()> {
        let gradient = gradient.detach();
        let (first, second) = self.moments();
        let first = ((first * config.beta1)? + (&gradient * (1.0 - config.beta1))?)?;
        let second = ((second * config.beta2)? + (gradient.sqr()? * (1.0 - config.beta2))?)?;
        let denominator = ((second.sqrt()? / f64::from(update.root))? + config.eps)?;
        let change = ((&first / denominator)? * f64::from(update.rate))?;
        variable.set(&(variable.as_detached_tensor() - change)?)?;
        self.first.set(&first)?;
        self.second.set(&second)
    }
}

/// The operation that moves a moment towards the gradient or its square.
struct Moment {
    isa: Isa,
    keep: f32,
    /// `1 - keep`, computed in f64 and rounded once. In f32 the relative error of the difference would be 1e-5 for the second moment.
    take: f32,
    squared: bool,
}

impl InplaceOp2 for Moment {
    fn name(&self) -> &'static str {
        "moment"
    }

    fn cpu_fwd(
        &self,
        moment: &mut CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<()> {
        let gradient = slice(gradient, gradient_layout)?;
        slice_mut(moment, layout)?
            .par_chunks_mut(ELEMENTS)
            .zip(gradient.par_chunks(ELEMENTS))
            .for_each(|(moment, gradient)| {
                let &Self {
                    isa,
                    keep,
                    take,
                    squared,
                } = self;
                isa.run(MoveMoment {
                    moment,
                    gradient,
                    keep,
                    take,
                    squared,
                });
            });
        Ok(())
    }
}

/// The operation that updates a parameter by the ratio of its moments.
struct Update {
    isa: Isa,
    rate: f32,
    root: f32,
    eps: f32,
}

impl InplaceOp3 for Update {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(
        &self,
        variable: &mut CpuStorage,
        layout: &Layout,
        first: &CpuStorage,
        first_layout: &Layout,
        second: &CpuStorage,
        second_layout: &Layout,
    ) -> Result<()> {
        let first = slice(first, first_layout)?;
        let second = slice(second, second_layout)?;
        slice_mut(variable, layout)?
            .par_chunks_mut(ELEMENTS)
            .zip(first.par_chunks(ELEMENTS))
            .zip(second.par_chunks(ELEMENTS))
            .for_each(|((variable, first), second)| {
                let &Self {
                    isa,
                    rate,
                    root,
                    eps,
                } = self;
                isa.run(MoveVariable {
                    variable,
                    first,
                    second,
                    rate,
                    root,
                    eps,
                });
            });
        Ok(())
    }
}

fn slice_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(numbers), Some((start, end))) => Ok(&mut numbers[start..end]),
        _ => bail!("internal: a variable of Adam is not contiguous f32"),
    }
}

kernel! {
    MoveMoment<'m, 'g> { moment: &'m mut [f32], gradient: &'g [f32], keep: f32, take: f32, squared: bool } -> () {
        for (m, &g) in moment.iter_mut().zip(gradient) {
            *m = keep * *m + take * if squared { g * g } else { g };
        }
    }
}

kernel! {
    MoveVariable<'p, 'm> {
        variable: &'p mut [f32], first: &'m [f32], second: &'m [f32], rate: f32, root: f32, eps: f32,
    } -> () {
        for ((p, &m), &v) in variable.iter_mut().zip(first).zip(second) {
            *p -= rate * m / (v.sqrt() / root + eps);
        }
    }
}
