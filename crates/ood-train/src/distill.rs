//! Distillation towards the network before the training, on all pixels but those of unknown objects.

use std::ops::Range;

use artifacts::labels::OOD_PROXY;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// Pixels that are computed together, so that their logits of all classes stay in the cache.
const BLOCK: usize = 512;

/// Mean KL divergence of the softmax of `logits` from the softmax of `original`, a scalar that gradients flow through to `logits`.
///
/// Both are `[N, C, H, W]` f32, `labels` is `[N, H, W]` u8, and `factors` has a factor for each of the N images. With p the softmax
/// of `original` and q that of `logits`, each pixel has the divergence Σ p·(log p − log q) times the factor of its image, except
/// those of unknown objects (label 254), which have none; the sum is divided by N·C·H·W, as the objective is. Its gradient with
/// respect to a logit is factor·(q − p) / (N·C·H·W), which is computed in the same pass.
///
/// Source: Li and Hoiem, "Learning without Forgetting", ECCV 2016; here on the pixels of the new task.
///
/// # Errors
/// Returns an error if the shapes do not match.
pub(crate) fn distillation(
    logits: &Tensor,
    original: &Tensor,
    labels: &Tensor,
    factors: &[f32],
) -> Result<Tensor> {
    let (n, c, h, w) = logits.dims4()?;
    if original.dims() != logits.dims() || labels.dims() != [n, h, w] || factors.len() != n {
        bail!(
            "distillation of {:?} from {:?} with labels {:?} and {} factors",
            logits.shape(),
            original.shape(),
            labels.shape(),
            factors.len()
        );
    }
    if !logits.device().is_cpu() {
        return composed(logits, original, labels, factors);
    }
    let values = |t: &Tensor| t.detach().flatten_all()?.to_vec1::<f32>();
    let (student, teacher) = (values(logits)?, values(original)?);
    let labels = labels.flatten_all()?.to_vec1::<u8>()?;
    let (plane, divisor) = (h * w, logits.elem_count() as f64);
    let mut gradient = vec![0f32; student.len()];
    // one sum per image, added in their order: the result does not depend on the number of threads
    let sums: Vec<f64> = gradient
        .par_chunks_mut(c * plane)
        .zip(student.par_chunks(c * plane))
        .zip(teacher.par_chunks(c * plane))
        .zip(labels.par_chunks(plane))
        .zip(factors)
        .map(|((((gradient, student), teacher), labels), &factor)| {
            let blocks = (0..plane).step_by(BLOCK);
            let mut sum = 0.0;
            for block in blocks.map(|first| first..(first + BLOCK).min(plane)) {
                let student = LogSoftmax::of(student, plane, &block);
                let teacher = LogSoftmax::of(teacher, plane, &block);
                let labels = &labels[block.clone()];
                for (k, gradient) in gradient.chunks_exact_mut(plane).enumerate() {
                    let gradient = &mut gradient[block.clone()];
                    for i in (0..labels.len()).filter(|&i| labels[i] != OOD_PROXY) {
                        let ((p, log_p), (q, log_q)) = (teacher.at(k, i), student.at(k, i));
                        sum += f64::from(p * (log_p - log_q));
                        gradient[i] = (f64::from(factor * (q - p)) / divisor) as f32;
                    }
                }
            }
            f64::from(factor) * sum
        })
        .collect();
    logits.apply_op1(KnownGradient {
        value: (sums.iter().sum::<f64>() / divisor) as f32,
        gradient: Tensor::from_vec(gradient, logits.shape(), logits.device())?,
    })
}

/// The same divergence, composed of candle's operations, for devices other than the CPU.
fn composed(
    logits: &Tensor,
    original: &Tensor,
    labels: &Tensor,
    factors: &[f32],
) -> Result<Tensor> {
    let log_p = log_softmax(&original.detach())?;
    let divergence = (log_p.exp()? * (log_p - log_softmax(logits)?)?)?;
    let is_known = labels.ne(OOD_PROXY)?.to_dtype(logits.dtype())?;
    let factors = Tensor::from_slice(factors, (factors.len(), 1, 1, 1), logits.device())?;
    divergence
        .broadcast_mul(&is_known.unsqueeze(1)?)?
        .broadcast_mul(&factors)?
        .mean_all()
}

/// Log softmax over the channels of `[N, C, H, W]`.
fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    let shifted = logits.broadcast_sub(&logits.max_keepdim(1)?.detach())?;
    shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(1)?.log()?)
}

/// Log softmax of a block of pixels.
struct LogSoftmax {
    /// Number of pixels.
    len: usize,
    /// Logarithms of the probabilities, `[C, len]`.
    logs: Vec<f32>,
}

impl LogSoftmax {
    /// `logits` are those of one image, `[C, plane]`; `block` is the range of pixels.
    fn of(logits: &[f32], plane: usize, block: &Range<usize>) -> Self {
        let len = block.len();
        let mut logs: Vec<f32> = logits
            .chunks_exact(plane)
            .flat_map(|row| &row[block.clone()])
            .copied()
            .collect();
        let mut max = vec![f32::NEG_INFINITY; len];
        for row in logs.chunks_exact(len) {
            for (max, z) in max.iter_mut().zip(row) {
                *max = max.max(*z);
            }
        }
        let mut sum = vec![0f32; len];
        for row in logs.chunks_exact(len) {
            for ((sum, max), z) in sum.iter_mut().zip(&max).zip(row) {
                *sum += (z - max).exp();
            }
        }
        for row in logs.chunks_exact_mut(len) {
            for ((z, max), sum) in row.iter_mut().zip(&max).zip(&sum) {
                *z -= max + sum.ln();
            }
        }
        Self { len, logs }
    }

    /// Probability of class `k` at pixel `i` of the block, and its logarithm.
    fn at(&self, k: usize, i: usize) -> (f32, f32) {
        let log = self.logs[k * self.len + i];
        (log.exp(), log)
    }
}

/// A scalar whose gradient with respect to the logits was computed together with its value.
struct KnownGradient {
    value: f32,
    gradient: Tensor,
}

impl CustomOp1 for KnownGradient {
    fn name(&self) -> &'static str {
        "distillation"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![self.value]), Shape::from(())))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = f64::from(grad.to_scalar::<f32>()?);
        Ok(Some((&self.gradient * grad)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    /// Against the definition in f64 and finite differences of it.
    #[test]
    fn value_and_gradient_are_those_of_the_divergence() -> anyhow::Result<()> {
        let (n, c, h, w) = (2, 3, 5, 7);
        let count = n * c * h * w;
        let noise = |seed: usize| -> Vec<f64> {
            let value = |i: usize| ((i * 7919 + seed * 104_729) % 1009) as f64 / 200.0 - 2.5;
            (0..count).map(value).collect()
        };
        let (student, teacher) = (noise(1), noise(2));
        let labels: Vec<u8> = (0..n * h * w).map(|i| [3, 254, 255][i % 3]).collect();
        let factors = [1.0, 0.25];
        let divergence = |student: &[f64]| -> f64 {
            let mut sum = 0.0;
            for pixel in (0..n * h * w).filter(|&i| labels[i] != 254) {
                let (image, place) = (pixel / (h * w), pixel % (h * w));
                let at = |k: usize| (image * c + k) * h * w + place;
                let log_softmax = |z: &[f64], k: usize| {
                    z[at(k)] - (0..c).map(|j| z[at(j)].exp()).sum::<f64>().ln()
                };
                for k in 0..c {
                    let (p, q) = (log_softmax(&teacher, k), log_softmax(student, k));
                    sum += f64::from(factors[image]) * p.exp() * (p - q);
                }
            }
            sum / count as f64
        };
        let tensor = |values: &[f64]| {
            let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
            Tensor::from_vec(values, (n, c, h, w), &Device::Cpu)
        };
        let original = tensor(&teacher)?;
        let labels = Tensor::from_vec(labels.clone(), (n, h, w), &Device::Cpu)?;
        for distillation in [distillation, composed] {
            let logits = Var::from_tensor(&tensor(&student)?)?;
            let loss = distillation(&logits, &original, &labels, &factors)?;
            let expected = divergence(&student);
            assert!((f64::from(loss.to_scalar::<f32>()?) - expected).abs() < 1e-6 * expected);
            let grads = (loss * 2.0)?.backward()?;
            let grad = grads.get(&logits).expect("the variable has a gradient");
            let grad: Vec<f32> = grad.flatten_all()?.to_vec1()?;
            for i in 0..count {
                let moved = |by: f64| {
                    let mut student = student.clone();
                    student[i] += by;
                    divergence(&student)
                };
                let expected = 2.0 * (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!(
                    (f64::from(grad[i]) - expected).abs() < 1e-6,
                    "{i}: {} instead of {expected}",
                    grad[i]
                );
            }
            let same = distillation(&original, &original, &labels, &factors)?;
            assert!(same.to_scalar::<f32>()?.abs() < 1e-6);
        }
        Ok(())
    }
}
