//! Scaled dot-product attention.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor, bail};

use crate::{
    conv2d::like,
    kernels::{
        attention::{self, Backward},
        isa::Isa,
    },
    storage::{is_native, require_float, slice, with_slices},
};

/// Scaled dot-product attention with `heads` heads, which are groups of channels of equal size: each pixel of the result is the mean of the
/// pixels of `value`, weighted by the softmax of their products of `query` and `key` over √(C / heads).
///
/// `query`: `[N, C, H, W]` f32; `key`: `[N, C, h, w]`; `value`: `[N, Cv, h, w]`. Returns `[N, Cv, H, W]`. This is `PyTorch`'s
/// `scaled_dot_product_attention` of queries `[N, heads, H W, C / heads]`, without mask and dropout.
///
/// The matrix of all weights, `[H W, h w]` for each head, is not stored, neither for the result nor for the gradients.
///
/// # Errors
/// Returns an error if shapes do not match, the channels cannot be divided into so many heads, or there are no keys.
///
/// # Example
/// ```
/// # use candle_core::{Device, Result, Tensor};
/// # use seg_ops::scaled_dot_product_attention;
/// # fn main() -> Result<()> {
/// let device = &Device::Cpu;
/// let query = Tensor::new(&[[[[0f32]], [[0.0]]]], device)?; // [N, C, H, W]
/// let key = Tensor::new(&[[[[1f32, 5.0]], [[2.0, 3.0]]]], device)?; // [N, C, h, w]
/// let value = Tensor::new(&[[[[1f32, 3.0]]]], device)?; // [N, Cv, h, w]
/// // a query of zeros has the same product with all keys
/// let y = scaled_dot_product_attention(&query, &key, &value, 1)?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [2.0]);
/// # Ok(())
/// # }
/// ```
pub fn scaled_dot_product_attention(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    heads: usize,
) -> Result<Tensor> {
    let sizes = sizes(query, key, value, heads)?;
    let (n, _, h, w) = query.dims4()?;
    let shape = (n, value.dim(1)?, h, w);
    if ![query, key, value].into_iter().all(is_native) {
        require_float("scaled_dot_product_attention", query)?;
        return composed(&sizes, query, key, value)?.reshape(shape);
    }
    let op = Attention {
        isa: Isa::selected()?,
        sizes,
        shape: Shape::from(shape),
        softmax: OnceLock::new(),
    };
    query
        .contiguous()?
        .apply_op3(&key.contiguous()?, &value.contiguous()?, op)
}

fn sizes(query: &Tensor, key: &Tensor, value: &Tensor, heads: usize) -> Result<attention::Shape> {
    let (n, c, h, w) = query.dims4()?;
    let (key_n, key_c, key_h, key_w) = key.dims4()?;
    let (value_n, value_c, value_h, value_w) = value.dims4()?;
    if (key_n, key_c) != (n, c) || (value_n, value_h, value_w) != (n, key_h, key_w) {
        bail!(
            "attention of queries {:?} to keys {:?} and values {:?}: the shapes do not match, expected [N, C, H, W], [N, C, h, w] and [N, Cv, h, w]",
            query.shape(),
            key.shape(),
            value.shape()
        );
    }
    let divides = |c: usize| heads > 0 && c > 0 && c.is_multiple_of(heads);
    if !divides(c) || !divides(value_c) {
        bail!("attention with {heads} heads: they must divide both {c} and {value_c} channels");
    }
    if key_h * key_w == 0 {
        bail!("attention to keys {:?}: there are none", key.shape());
    }
    Ok(attention::Shape {
        jobs: n * heads,
        channels: c / heads,
        value_channels: value_c / heads,
        queries: h * w,
        keys: key_h * key_w,
    })
}

/// The same with candle's operations and a stored matrix of weights, for other devices and types.
fn composed(
    sizes: &attention::Shape,
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
) -> Result<Tensor> {
    let &attention::Shape {
        jobs,
        channels,
        value_channels,
        queries,
        keys,
    } = sizes;
    let scale = 1.0 / (channels as f64).sqrt();
    let query = (query.contiguous()?.reshape((jobs, channels, queries))? * scale)?;
    let key = key.contiguous()?.reshape((jobs, channels, keys))?;
    let value = value.contiguous()?.reshape((jobs, value_channels, keys))?;
    let scores = query.t()?.contiguous()?.matmul(&key)?; // [jobs, queries, keys]
    // the shift cancels out, so no gradient has to flow through it
    let shifted = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?;
    let e = shifted.exp()?;
    let weights = e.broadcast_div(&e.sum_keepdim(D::Minus1)?)?;
    value.matmul(&weights.t()?.contiguous()?)
}

struct Attention {
    isa: Isa,
    sizes: attention::Shape,
    /// Shape of the result.
    shape: Shape,
    /// What the forward pass keeps for the backward pass.
    softmax: OnceLock<Vec<f32>>,
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "scaled_dot_product_attention"
    }

    fn cpu_fwd(
        &self,
        query: &CpuStorage,
        query_layout: &Layout,
        key: &CpuStorage,
        key_layout: &Layout,
        value: &CpuStorage,
        value_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let query = slice(query, query_layout)?;
        let key = slice(key, key_layout)?;
        let value = slice(value, value_layout)?;
        let (y, softmax) = attention::forward(self.isa, &self.sizes, query, key, value);
        self.softmax.get_or_init(|| softmax);
        Ok((CpuStorage::F32(y), self.shape.clone()))
    }

    fn bwd(
        &self,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(softmax) = self.softmax.get() else {
            bail!("internal: the forward pass of attention has not run")
        };
        let (isa, sizes) = (self.isa, &self.sizes);
        let grad = grad.contiguous()?;
        with_slices([query, key, value, y, &grad], |[q, k, v, out, grad]| {
            let tensors = &Backward {
                query: q,
                key: k,
                value: v,
                out,
                grad,
                softmax,
            };
            let of_query = query
                .track_op()
                .then(|| attention::gradient_of_queries(isa, sizes, tensors));
            let of_others = (key.track_op() || value.track_op())
                .then(|| attention::gradient_of_keys_and_values(isa, sizes, tensors));
            let (of_key, of_value) = of_others.unzip();
            Ok((
                like(of_query, query)?,
                like(of_key, key)?,
                like(of_value, value)?,
            ))
        })
    }
}
