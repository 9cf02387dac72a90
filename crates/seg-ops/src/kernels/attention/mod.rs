//! Scaled dot-product attention that never stores the matrix of weights, as flash attention does.
//!
//! # The computation
//!
//! For each head there are queries `[d, n]`, keys `[d, m]` and values `[v, m]`, with one column per token, as heads that are groups of channels
//! of an image lie in memory. The result `[v, n]` has for each query the mean of the values, weighted by the softmax over the keys of the
//! products of query and keys. The matrix of weights, `[m, n]`, can be a thousand times larger than everything else, so only blocks of it
//! exist, in the first-level cache. A block of [`BLOCK`](factors::BLOCK) keys by a panel of queries goes through three steps:
//!
//! 1. scores: the products of the block's keys and the panel's queries, one row per key,
//! 2. weights: 2 to the power of score minus maximum. The maximum of each column is that of the keys seen so far; when it grows, the sums
//!    of weights and the results so far are scaled down to the new one,
//! 3. the products of the block's values and weights are added to the results.
//!
//! Both products are those of [`multiply`](super::micro::multiply). A panel is as wide as its tiles, two vectors, so maxima and sums of a
//! column are lanes, and nothing is transposed or added across lanes. Queries are multiplied by log2(e) / √d when they are packed, so that
//! the exponential is a power of 2.
//!
//! # The gradient
//!
//! The forward pass keeps the maximum and the reciprocal of the sum of weights of each query, from which any block of weights is computed again.
//! With the weights P `[m, n]`, the gradient G of the result, and a number D for each query, the sum over channels of G times the result:
//!
//! * dV = G Pᵀ,
//! * dS = P (Vᵀ G - D), the gradient of the scores,
//! * dQ = K dS / √d and dK = Q dSᵀ / √d.
//!
//! The gradient of the queries sums over keys, those of keys and values over queries. A task should own what it sums, so there are two passes:
//! one with panels of queries and blocks of keys, and one with panels of keys and blocks of queries. Each computes the blocks of P and dS
//! that it needs, transposed in the second pass: seven products instead of the five of a single pass, whose tasks would have to add to the
//! same gradients.
//!
//! # Same bits
//!
//! Panels are independent of each other, blocks are cut from the first token on and come in order, so the number of threads changes no bit.

mod backward;
mod factors;
mod forward;
mod shape;

pub(crate) use backward::{gradient_of_keys_and_values, gradient_of_queries};
pub(crate) use forward::forward;
pub(crate) use shape::{Backward, Shape};
