//! Dropout with a counter-based generator, so that equal seeds drop the same numbers for any number of threads.

use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use crate::{
    kernels::{
        isa::{Isa, kernel},
        memory::{Chunk, Filled, par_fill},
    },
    relu::{ELEMENTS, part},
    storage::{is_native, slice, with_slices},
};

/// The random numbers of [`dropout`]: Philox 4x32-10 (Salmon et al. 2011).
///
/// Philox is a function of a key, here the seed, and a counter, so each thread can compute any part of the stream by itself. Each call of
/// dropout takes the next part of the stream: calls in the same order give the same masks. [`DropoutRng::state`] can be stored in a
/// checkpoint and restored.
///
/// # Example
/// ```
/// # use candle_core::{DType, Device, Result, Tensor};
/// # use seg_ops::{DropoutRng, dropout};
/// # fn main() -> Result<()> {
/// let ones = Tensor::ones(1000, DType::F32, &Device::Cpu)?;
/// let rng = DropoutRng::new(7);
/// let first = dropout(&ones, 0.5, &rng)?.to_vec1::<f32>()?;
/// assert!(first.iter().all(|&v| v == 0.0 || v == 2.0)); // the rest is divided by 1 - p
///
/// let state = rng.state();
/// let second = dropout(&ones, 0.5, &rng)?.to_vec1::<f32>()?;
/// assert_ne!(first, second);
/// let resumed = DropoutRng::restore(state);
/// assert_eq!(dropout(&ones, 0.5, &resumed)?.to_vec1::<f32>()?, second);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DropoutRng {
    seed: u64,
    /// Index of the first block of four numbers that no call has used.
    next: AtomicU64,
}

impl DropoutRng {
    /// A generator at the start of the stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Self::restore((seed, 0))
    }

    /// The seed, and the number of blocks that have been used.
    pub fn state(&self) -> (u64, u64) {
        (self.seed, self.next.load(Ordering::SeqCst))
    }

    /// A generator that continues from a stored [`DropoutRng::state`].
    pub fn restore((seed, next): (u64, u64)) -> Self {
        Self {
            seed,
            next: AtomicU64::new(next),
        }
    }

    /// Takes the next `n` numbers of the stream.
    fn take(&self, n: usize) -> Stream {
        let first = self.next.fetch_add(n.div_ceil(4) as u64, Ordering::SeqCst);
        Stream {
            key: [self.seed as u32, (self.seed >> 32) as u32],
            first,
        }
    }
}

/// Dropout: each number of `x`, of any shape, becomes 0 with probability `p` and is divided by `1 - p` otherwise.
///
/// # Errors
/// Returns an error if `p` is not between 0 and 1.
pub fn dropout(x: &Tensor, p: f64, rng: &DropoutRng) -> Result<Tensor> {
    drop_runs(x, p, rng, 1)
}

/// Dropout of whole channels: each plane of `x` `[N, C, H, W]` becomes 0 with probability `p` and is divided by `1 - p` otherwise.
///
/// # Errors
/// Returns an error if `p` is not between 0 and 1, or `x` does not have rank 4.
pub fn dropout2d(x: &Tensor, p: f64, rng: &DropoutRng) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    drop_runs(x, p, rng, (h * w).max(1))
}

/// Dropout in which each `run` neighboring numbers are dropped together.
fn drop_runs(x: &Tensor, p: f64, rng: &DropoutRng, run: usize) -> Result<Tensor> {
    if !(0.0..=1.0).contains(&p) {
        bail!("dropout: the probability must be between 0 and 1, got {p}");
    }
    if p == 0.0 {
        return Ok(x.clone());
    }
    let op = Dropout {
        isa: Isa::selected()?,
        stream: rng.take(x.elem_count() / run),
        run,
        threshold: (p * 4_294_967_296.0).round() as u64,
        scale: if p < 1.0 {
            (1.0 / (1.0 - p)) as f32
        } else {
            0.0
        },
    };
    if is_native(x) {
        return x.contiguous()?.apply_op1(op);
    }
    // for other devices and types the factors are computed here and multiplied there
    let factors = op.scaled(&vec![1.0; x.elem_count()]);
    x * Tensor::from_vec(factors, x.shape(), x.device())?.to_dtype(x.dtype())?
}

/// A part of a generator's stream.
#[derive(Clone, Copy)]
struct Stream {
    key: [u32; 2],
    first: u64,
}

impl Stream {
    /// The four numbers of a block.
    #[inline(always)]
    fn block(self, index: usize) -> [u32; 4] {
        let counter = self.first.wrapping_add(index as u64);
        philox([counter as u32, (counter >> 32) as u32, 0, 0], self.key)
    }
}

/// Ten rounds of Philox 4x32.
#[inline(always)]
fn philox(mut c: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let a = u64::from(c[0]) * 0xD251_1F53;
        let b = u64::from(c[2]) * 0xCD9E_8D57;
        c = [
            (b >> 32) as u32 ^ c[1] ^ key[0],
            b as u32,
            (a >> 32) as u32 ^ c[3] ^ key[1],
            a as u32,
        ];
        key = [
            key[0].wrapping_add(0x9E37_79B9),
            key[1].wrapping_add(0xBB67_AE85),
        ];
    }
    c
}

struct Dropout {
    isa: Isa,
    stream: Stream,
    /// Neighboring numbers that are dropped together.
    run: usize,
    /// Random numbers below this drop.
    threshold: u64,
    /// Factor of numbers that are not dropped.
    scale: f32,
}

impl Dropout {
    fn factor(&self, random: u32) -> f32 {
        if u64::from(random) < self.threshold {
            0.0
        } else {
            self.scale
        }
    }

    /// Multiplies `x`, or a gradient, by the factors.
    fn scaled(&self, x: &[f32]) -> Vec<f32> {
        if self.run == 1 {
            return par_fill(x.len(), ELEMENTS, |i, out| {
                let x = part(x, i);
                self.isa.run(DropEach {
                    op: self,
                    out,
                    x,
                    first: i * ELEMENTS / 4,
                })
            });
        }
        par_fill(x.len(), self.run, |i, out| {
            let factor = self.factor(self.stream.block(i / 4)[i % 4]);
            // not 0 times x, which would be NaN for infinite x and NaN
            out.map(&x[i * self.run..][..self.run], |x| {
                if factor == 0.0 { 0.0 } else { x * factor }
            })
        })
    }
}

kernel! {
    /// Drops each number by itself. The first number of `x` belongs to the first random number of block `first`.
    DropEach<'o, 'a> { op: &'a Dropout, out: Chunk<'o>, x: &'a [f32], first: usize } -> Filled<'o> {
        let (out, filled) = out.zeroed();
        for (i, (out, x)) in out.chunks_mut(4).zip(x.chunks(4)).enumerate() {
            let random = op.stream.block(first + i);
            for ((out, &x), random) in out.iter_mut().zip(x).zip(random) {
                *out = if u64::from(random) < op.threshold { 0.0 } else { x * op.scale };
            }
        }
        filled
    }
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((
            CpuStorage::F32(self.scaled(slice(x, layout)?)),
            layout.shape().clone(),
        ))
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let dx = with_slices([&grad.contiguous()?], |[grad]| Ok(self.scaled(grad)))?;
        Tensor::from_vec(dx, grad.shape(), grad.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of the Random123 distribution, `kat_vectors`: philox4x32 10.
    #[test]
    fn philox_gives_the_published_numbers() {
        assert_eq!(
            philox([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
    }
}
