//! Cityscapes label ids that are painted.

pub(crate) const EGO_VEHICLE: u8 = 1;
pub(crate) const RECTIFICATION_BORDER: u8 = 2;
pub(crate) const OUT_OF_ROI: u8 = 3;
pub(crate) const ROAD: u8 = 7;
pub(crate) const SIDEWALK: u8 = 8;
pub(crate) const BUILDING: u8 = 11;
pub(crate) const WALL: u8 = 12;
pub(crate) const FENCE: u8 = 13;
pub(crate) const POLE: u8 = 17;
pub(crate) const TRAFFIC_LIGHT: u8 = 19;
pub(crate) const TRAFFIC_SIGN: u8 = 20;
pub(crate) const VEGETATION: u8 = 21;
pub(crate) const TERRAIN: u8 = 22;
pub(crate) const SKY: u8 = 23;
pub(crate) const PERSON: u8 = 24;
pub(crate) const RIDER: u8 = 25;
pub(crate) const CAR: u8 = 26;
pub(crate) const TRUCK: u8 = 27;
pub(crate) const BUS: u8 = 28;
pub(crate) const MOTORCYCLE: u8 = 32;
pub(crate) const BICYCLE: u8 = 33;
