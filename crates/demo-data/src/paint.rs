//! A whole street scene without unknown objects.

use crate::noise::Dice;
use crate::street::Street;
use crate::traffic::paint_traffic;

/// Paints a street from the sky to the traffic. `ambiguity`: probability of each confusing effect, see [`Street::confuse`].
pub(crate) fn street(dice: &mut Dice, width: usize, height: usize, ambiguity: f64) -> Street {
    let mut street = Street::new(dice, width, height);
    street.paint_sky(dice);
    street.paint_backdrop(dice);
    street.paint_ground(dice);
    for side in [-1.0, 1.0] {
        street.paint_blocks(dice, side);
    }
    street.paint_shadows(dice, ambiguity);
    paint_traffic(&mut street, dice);
    street.confuse(dice, ambiguity);
    street
}
