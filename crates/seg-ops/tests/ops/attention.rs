use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor, Var};
use seg_ops::scaled_dot_product_attention as attention;

use crate::support::{assert_error, check_both, compare, tensor, values};

/// Sizes of one attention: images, heads, channels of queries and keys and of values in each head, and sizes of the images of queries and keys.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    n: usize,
    heads: usize,
    d: usize,
    dv: usize,
    queries: (usize, usize),
    keys: (usize, usize),
}

impl Sizes {
    fn inputs(&self) -> Result<[Tensor; 3]> {
        let c = self.heads * self.d;
        let (h, w) = self.keys;
        Ok([
            tensor((self.n, c, self.queries.0, self.queries.1), 1)?,
            tensor((self.n, c, h, w), 2)?,
            tensor((self.n, self.heads * self.dv, h, w), 3)?,
        ])
    }

    /// The attention, as a double loop over queries and keys.
    fn define(&self, t: &[Vec<f64>]) -> Vec<f64> {
        let (n, m) = (self.queries.0 * self.queries.1, self.keys.0 * self.keys.1);
        let mut y = vec![0.0; self.n * self.heads * self.dv * n];
        for job in 0..self.n * self.heads {
            let query = &t[0][job * self.d * n..];
            let key = &t[1][job * self.d * m..];
            let value = &t[2][job * self.dv * m..];
            for i in 0..n {
                let score = |j: usize| -> f64 {
                    let products = (0..self.d).map(|c| query[c * n + i] * key[c * m + j]);
                    products.sum::<f64>() / (self.d as f64).sqrt()
                };
                let scores: Vec<f64> = (0..m).map(score).collect();
                let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
                let sum: f64 = weights.iter().sum();
                for c in 0..self.dv {
                    let products = weights.iter().zip(&value[c * m..]).map(|(w, v)| w * v);
                    y[(job * self.dv + c) * n + i] = products.sum::<f64>() / sum;
                }
            }
        }
        y
    }
}

#[test]
fn agrees_with_its_definition() -> Result<()> {
    let one = Sizes {
        n: 1,
        heads: 1,
        d: 1,
        dv: 1,
        queries: (1, 1),
        keys: (1, 1),
    };
    let cases = [
        one,
        Sizes {
            d: 3,
            keys: (1, 5),
            ..one
        },
        Sizes {
            n: 2,
            heads: 3,
            d: 2,
            dv: 5,
            queries: (2, 3),
            keys: (3, 3),
        },
        // more keys than a block, more queries than a panel, and more channels than a tile
        Sizes {
            heads: 2,
            d: 2,
            dv: 1,
            queries: (1, 3),
            keys: (1, 127),
            ..one
        },
        Sizes {
            d: 1,
            queries: (5, 27),
            keys: (1, 2),
            ..one
        },
        Sizes {
            d: 17,
            dv: 15,
            queries: (1, 2),
            keys: (1, 3),
            ..one
        },
    ];
    for sizes in cases {
        check_both(
            &sizes.inputs()?,
            |t| attention(&t[0], &t[1], &t[2], sizes.heads),
            |t| sizes.define(t),
        )
        .with_context(|| format!("{sizes:?}"))?;
    }
    Ok(())
}

/// The result and the gradients of all inputs, computed in `dtype`.
fn with_gradients(inputs: &[Tensor], heads: usize, dtype: DType) -> Result<Vec<Tensor>> {
    let vars = inputs
        .iter()
        .map(|t| Var::from_tensor(&t.to_dtype(dtype)?))
        .collect::<candle_core::Result<Vec<_>>>()?;
    let y = attention(&vars[0], &vars[1], &vars[2], heads)?;
    let weights = tensor(y.shape().clone(), 9)?.to_dtype(dtype)?;
    let grads = (&y * weights)?.sum_all()?.backward()?;
    let grads = vars.iter().map(|var| grads.get(var).cloned());
    let mut all = vec![y];
    all.extend(grads.map(|grad| grad.expect("every variable is used")));
    Ok(all)
}

/// Several blocks and panels of several jobs, none of them whole, beside candle's operations in f64.
#[test]
fn large_sizes_agree_with_the_composed_operations() -> Result<()> {
    let sizes = Sizes {
        n: 2,
        heads: 2,
        d: 32,
        dv: 40,
        queries: (13, 57),
        keys: (17, 31),
    };
    // scores up to some hundred: a single key has nearly all the weight of many queries, and the maxima grow from block to block
    for factor in [0.5, 8.0] {
        let mut inputs = sizes.inputs()?;
        inputs[0] = (&inputs[0] * factor)?;
        let native = with_gradients(&inputs, sizes.heads, DType::F32)?;
        let double = with_gradients(&inputs, sizes.heads, DType::F64)?;
        for (i, (native, double)) in native.iter().zip(&double).enumerate() {
            let expected = double.flatten_all()?.to_vec1::<f64>()?;
            compare(&format!("tensor {i}"), &values(native)?, &expected, 2e-4)?;
        }
    }
    Ok(())
}

#[test]
fn gradients_that_are_not_needed_are_left_out() -> Result<()> {
    let sizes = Sizes {
        n: 1,
        heads: 2,
        d: 4,
        dv: 4,
        queries: (3, 3),
        keys: (2, 2),
    };
    let inputs = sizes.inputs()?;
    let all = with_gradients(&inputs, 2, DType::F32)?;
    for only in 0..3 {
        let var = Var::from_tensor(&inputs[only])?;
        let mut t = inputs.clone();
        t[only] = var.as_tensor().clone();
        let y = attention(&t[0], &t[1], &t[2], 2)?;
        let weights = tensor(y.shape().clone(), 9)?;
        let grads = (y * weights)?.sum_all()?.backward()?;
        let grad = grads.get(&var).context("no gradient")?;
        assert_eq!(values(grad)?, values(&all[only + 1])?);
    }
    Ok(())
}

/// The stored matrix of weights would be 64 GB here.
#[test]
fn weights_are_not_stored() -> Result<()> {
    let tokens = 1 << 17;
    let zeros = Tensor::zeros((1, 1, 1, tokens), DType::F32, &Device::Cpu)?;
    let query = zeros.narrow(3, 0, 64)?;
    let value = tensor((1, 1, 1, tokens), 1)?;
    let mean = value.mean_all()?.to_scalar::<f32>()?;
    for y in values(&attention(&query, &zeros, &value, 1)?)? {
        ensure!((y - mean).abs() < 1e-4, "{y} is not the mean {mean}");
    }
    Ok(())
}

#[test]
fn nan_reaches_the_results_that_depend_on_it() -> Result<()> {
    let query = Tensor::new(&[[[[1f32, f32::NAN, 2.0]]]], &Device::Cpu)?;
    let key = Tensor::new(&[[[[0f32, 1.0]]]], &Device::Cpu)?;
    let y = values(&attention(&query, &key, &key, 1)?)?;
    assert_eq!(are_nan(&y), [false, true, false]);
    let infinite = Tensor::new(&[[[[0f32, f32::INFINITY]]]], &Device::Cpu)?;
    let y = values(&attention(&query, &infinite, &key, 1)?)?;
    assert_eq!(are_nan(&y), [true; 3]);
    Ok(())
}

fn are_nan(y: &[f32]) -> Vec<bool> {
    y.iter().map(|v| v.is_nan()).collect()
}

#[test]
fn no_queries_have_no_results() -> Result<()> {
    let query = Tensor::zeros((1, 2, 0, 4), DType::F32, &Device::Cpu)?;
    let key = tensor((1, 2, 1, 3), 1)?;
    assert_eq!(attention(&query, &key, &key, 1)?.dims(), [1, 2, 0, 4]);
    Ok(())
}

#[test]
fn refuses_wrong_shapes() -> Result<()> {
    let x = |c: usize, w: usize| tensor((1, c, 2, w), 1);
    let (query, key) = (x(6, 3)?, x(6, 5)?);
    assert_error(attention(&query, &x(4, 5)?, &key, 1), "do not match");
    assert_error(attention(&query, &key, &x(6, 4)?, 1), "do not match");
    assert_error(attention(&query, &key, &key, 4), "must divide");
    assert_error(attention(&query, &key, &x(4, 5)?, 3), "must divide");
    assert_error(attention(&query, &key, &key, 0), "must divide");
    let none = Tensor::zeros((1, 6, 0, 5), DType::F32, &Device::Cpu)?;
    assert_error(attention(&query, &none, &none, 2), "there are none");
    let integers = query.to_dtype(DType::U32)?;
    assert_error(
        attention(&integers, &integers, &integers, 1),
        "needs floating point numbers",
    );
    Ok(())
}
