//! Files that hold something else than logits `[C, h, w]` but could be taken for them: other layouts, and probabilities.
//!
//! Other programs write such files, and every number that is computed from them would be wrong.

use anyhow::{Result, ensure};

/// Refuses a tensor whose sides fit the output's size in another order than `[C, h, w]`.
///
/// A network makes an image smaller by the same factor in both directions, but for rounding. So the quotient of the two factors
/// tells orders apart, unless the sides are equal.
///
/// # Errors
/// Returns an error that names the order which the sides fit.
pub fn check_order(shape: [usize; 3], num_classes: usize, output: (usize, usize)) -> Result<()> {
    /// Quotients that rounding and cropping can give.
    const FITS: f64 = 1.25;
    /// Quotients that no network has whose images are not distorted.
    const DOES_NOT_FIT: f64 = 1.5;
    let [a, b, c] = shape;
    let quotient = |channels: usize, height: usize, width: usize| {
        if channels < num_classes || height == 0 || width == 0 {
            return f64::INFINITY;
        }
        let (rows, columns) = (
            output.0 as f64 / height as f64,
            output.1 as f64 / width as f64,
        );
        (rows / columns).max(columns / rows)
    };
    if quotient(a, b, c) < DOES_NOT_FIT {
        return Ok(());
    }
    // the classes, or these and void: so many rows are rare, but images that were distorted for the network are not
    let is_first = (num_classes..=num_classes + 1).contains(&a);
    let last = if is_first { 0 } else { c };
    // an upright image that was distorted to a wide one has such logits too, but hardly ever in its own size
    let is_exact = (c, b) == output;
    let transposed = if is_exact {
        quotient(a, c, b)
    } else {
        f64::INFINITY
    };
    for (order, fit) in [
        ("[h, w, C]", quotient(last, a, b)),
        ("[w, h, C]", quotient(last, b, a)),
        ("[C, w, h]", transposed),
    ] {
        ensure!(
            fit > FITS,
            "the tensor of shape {shape:?} is in the order {order}, by its output size of {}x{} pixels and {num_classes} classes: store it as [C, h, w]",
            output.1,
            output.0
        );
    }
    Ok(())
}

/// Refuses values that are probabilities: all of them in [0, 1], with a sum of 1 over the channels of each pixel.
///
/// `read(start, out)` copies values from `start` on. Logits are nearly always told apart by the first few pixels.
pub(crate) fn check_not_probabilities(
    channels: usize,
    n_pixels: usize,
    read: impl Fn(usize, &mut [f32]),
) -> Result<()> {
    const BLOCK: usize = 256;
    let (mut values, mut sums) = ([0.0; BLOCK], [0.0; BLOCK]);
    for start in (0..n_pixels).step_by(BLOCK) {
        let n = BLOCK.min(n_pixels - start);
        let (values, sums) = (&mut values[..n], &mut sums[..n]);
        sums.fill(0.0);
        for channel in 0..channels {
            read(channel * n_pixels + start, values);
            if values.iter().any(|v| !(0.0..=1.0).contains(v)) {
                return Ok(());
            }
            sums.iter_mut().zip(&*values).for_each(|(sum, v)| *sum += v);
        }
        // half precision rounds each of some hundred classes
        if sums.iter().any(|sum: &f32| (sum - 1.0).abs() > 0.01) {
            return Ok(());
        }
    }
    anyhow::bail!(
        "it holds probabilities, not logits: all values are in [0, 1] and sum to 1 over the channels; store the network's output before the softmax, or, where only probabilities are left, their logarithms (which serve for all scores but energy and max_logit)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_told_by_the_output_size() {
        let check = |shape, output, order: Option<&str>| {
            let error = check_order(shape, 19, output).err().map(|e| e.to_string());
            let found = error.as_deref().unwrap_or_default();
            assert_eq!(error.is_some(), order.is_some(), "{shape:?}: {found}");
            assert!(found.contains(order.unwrap_or_default()), "{found}");
        };
        check([19, 128, 256], (1024, 2048), None);
        check([20, 91, 161], (720, 1280), None);
        check([19, 512, 512], (1024, 2048), None); // distorted
        check([19, 64, 64], (512, 512), None);
        check([19, 16, 21], (40, 33), None); // distorted, and 19 rows of 16 pixels would fit
        check([19, 1, 1], (13, 40), None);
        check([128, 256, 19], (1024, 2048), Some("[h, w, C]"));
        check([512, 512, 19], (512, 512), Some("[h, w, C]"));
        check([8, 12, 20], (8, 12), Some("[h, w, C]"));
        check([256, 128, 19], (1024, 2048), Some("[w, h, C]"));
        check([19, 2048, 1024], (1024, 2048), Some("[C, w, h]"));
        check([19, 256, 128], (1024, 2048), None); // distorted, or not
        check([0, 0, 19], (1024, 2048), None); // refused by others
    }

    #[test]
    fn probabilities_sum_to_one() {
        let check = |values: &[f32]| {
            check_not_probabilities(2, values.len() / 2, |start, out| {
                out.copy_from_slice(&values[start..][..out.len()]);
            })
        };
        assert!(check(&[0.25, 1.0, 0.75, 0.0]).is_err());
        assert!(check(&[0.3, 0.5, 0.701, 0.4999]).is_err());
        assert!(check(&[0.25, 1.5, 0.75, -0.5]).is_ok());
        assert!(check(&[0.25, 0.5, 0.75, 0.6]).is_ok());
        assert!(check(&[0.0; 4]).is_ok());
        // a single pixel among many
        let mut many = [0.5; 2_000];
        assert!(check(&many).is_err());
        many[1_999] = 0.4;
        assert!(check(&many).is_ok());
    }
}
