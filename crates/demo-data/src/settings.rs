//! How difficult the drawn scenes are.

/// Probability of each confusing effect in a training scene.
pub(crate) const TRAIN_AMBIGUITY: f64 = 0.1;
/// The same in all other scenes.
pub(crate) const TEST_AMBIGUITY: f64 = 0.25;
/// Share of unknown objects that are unlike any proxy.
pub(crate) const ALIEN_SHARE: f64 = 0.5;
/// Smallest and largest height in pixels of unknown objects in an image of 128 rows; small ones are more frequent.
pub(crate) const OBJECT_ROWS: [f64; 2] = [10.0, 44.0];
/// Standard deviation of the camera's noise, of 255.
pub(crate) const NOISE: f64 = 3.0;
