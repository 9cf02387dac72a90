use anyhow::Result;
use candle_core::{DType, Device, Tensor, Var};
use seg_ops::{DropoutRng, dropout, dropout2d};

use crate::support::{assert_error, tensor, values};

const N: usize = 100_003;

fn ones(n: usize) -> Result<Tensor> {
    Ok(Tensor::ones(n, DType::F32, &Device::Cpu)?)
}

#[test]
fn drops_the_right_fraction_and_scales_the_rest() -> Result<()> {
    for p in [0.1, 0.3, 0.9] {
        let y = values(&dropout(&ones(N)?, p, &DropoutRng::new(5))?)?;
        let dropped = y.iter().filter(|&&v| v == 0.0).count() as f64 / N as f64;
        // five standard deviations
        assert!(
            (dropped - p).abs() < 5.0 * (p * (1.0 - p) / N as f64).sqrt(),
            "{dropped} instead of {p}"
        );
        let kept = (1.0 / (1.0 - p)) as f32;
        assert!(y.iter().all(|&v| v == 0.0 || v == kept));
    }
    assert!(
        values(&dropout(&ones(N)?, 1.0, &DropoutRng::new(5))?)?
            .iter()
            .all(|&v| v == 0.0)
    );
    assert!(
        values(&dropout(&ones(N)?, 0.0, &DropoutRng::new(5))?)?
            .iter()
            .all(|&v| v == 1.0)
    );
    Ok(())
}

#[test]
fn the_gradient_has_the_same_mask() -> Result<()> {
    let rng = DropoutRng::new(1);
    let x = Var::from_tensor(&ones(N)?)?;
    let y = dropout(&x, 0.4, &rng)?;
    let grads = y.sum_all()?.backward()?;
    assert_eq!(values(grads.get(&x).unwrap())?, values(&y)?);
    let x = Var::from_tensor(&Tensor::ones((3, 5, 4, 4), DType::F32, &Device::Cpu)?)?;
    let y = dropout2d(&x, 0.4, &rng)?;
    let grads = y.sum_all()?.backward()?;
    assert_eq!(values(grads.get(&x).unwrap())?, values(&y)?);
    Ok(())
}

#[test]
fn planes_drop_together() -> Result<()> {
    let y = values(&dropout2d(
        &Tensor::ones((40, 50, 3, 3), DType::F32, &Device::Cpu)?,
        0.25,
        &DropoutRng::new(3),
    )?)?;
    let mut dropped = 0;
    for plane in y.chunks(9) {
        assert!(plane.iter().all(|v| v == &plane[0]));
        dropped += usize::from(plane[0] == 0.0);
    }
    assert!((400..600).contains(&dropped), "{dropped} of 2000 planes");
    Ok(())
}

#[test]
fn calls_differ_and_states_restore() -> Result<()> {
    let rng = DropoutRng::new(77);
    let first = values(&dropout(&ones(N)?, 0.5, &rng)?)?;
    let state = rng.state();
    let second = values(&dropout(&ones(N)?, 0.5, &rng)?)?;
    assert_ne!(first, second);
    assert_eq!(
        values(&dropout(&ones(N)?, 0.5, &DropoutRng::restore(state))?)?,
        second
    );
    assert_eq!(
        values(&dropout(&ones(N)?, 0.5, &DropoutRng::new(77))?)?,
        first
    );
    assert_ne!(
        values(&dropout(&ones(N)?, 0.5, &DropoutRng::new(78))?)?,
        first
    );
    Ok(())
}

/// For types that the kernels do not support, the same numbers are dropped.
#[test]
fn other_types_drop_the_same() -> Result<()> {
    let expected = values(&dropout(&ones(N)?, 0.5, &DropoutRng::new(7))?)?;
    let y = dropout(&ones(N)?.to_dtype(DType::F64)?, 0.5, &DropoutRng::new(7))?;
    assert_eq!(values(&y.to_dtype(DType::F32)?)?, expected);
    Ok(())
}

#[test]
fn refuses_probabilities_out_of_range() -> Result<()> {
    let rng = DropoutRng::new(0);
    for p in [-0.1, 1.1, f64::NAN] {
        assert_error(dropout(&tensor(3, 1)?, p, &rng), "must be between 0 and 1");
    }
    assert_error(dropout2d(&tensor(3, 1)?, 0.5, &rng), "rank");
    Ok(())
}
