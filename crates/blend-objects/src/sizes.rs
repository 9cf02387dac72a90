//! How large things are, and where they are found.

/// Where objects of a category are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habitat {
    /// On the ground.
    Ground,
    /// Above the horizon.
    Air,
}

/// Longer side in meters of things of no category below.
const OTHER: f64 = 0.6;

/// Longer side in meters, of height and width, of a typical one of each category of COCO that is no class of streets.
const METERS: [(&str, f64); 71] = [
    ("airplane", 12.0),
    ("apple", 0.2),
    ("backpack", 0.5),
    ("banana", 0.25),
    ("baseball bat", 0.9),
    ("baseball glove", 0.3),
    ("bear", 1.8),
    ("bed", 2.0),
    ("bench", 1.6),
    ("bird", 0.45),
    ("boat", 4.0),
    ("book", 0.3),
    ("bottle", 0.35),
    ("bowl", 0.3),
    ("broccoli", 0.25),
    ("cake", 0.35),
    ("carrot", 0.25),
    ("cat", 0.5),
    ("cell phone", 0.2),
    ("chair", 0.95),
    ("clock", 0.4),
    ("couch", 2.0),
    ("cow", 2.0),
    ("cup", 0.2),
    ("dining table", 1.6),
    ("dog", 0.8),
    ("donut", 0.2),
    ("elephant", 3.2),
    ("fire hydrant", 0.8),
    ("fork", 0.2),
    ("frisbee", 0.3),
    ("giraffe", 4.2),
    ("hair drier", 0.3),
    ("handbag", 0.4),
    ("horse", 2.0),
    ("hot dog", 0.25),
    ("keyboard", 0.45),
    ("kite", 1.5),
    ("knife", 0.25),
    ("laptop", 0.4),
    ("microwave", 0.5),
    ("mouse", 0.15),
    ("orange", 0.2),
    ("oven", 0.9),
    ("parking meter", 1.3),
    ("pizza", 0.4),
    ("potted plant", 0.8),
    ("refrigerator", 1.8),
    ("remote", 0.2),
    ("sandwich", 0.25),
    ("scissors", 0.2),
    ("sheep", 1.1),
    ("sink", 0.6),
    ("skateboard", 0.8),
    ("skis", 1.7),
    ("snowboard", 1.5),
    ("spoon", 0.2),
    ("sports ball", 0.3),
    ("suitcase", 0.7),
    ("surfboard", 2.0),
    ("teddy bear", 0.6),
    ("tennis racket", 0.7),
    ("tie", 0.5),
    ("toaster", 0.35),
    ("toilet", 0.75),
    ("toothbrush", 0.2),
    ("tv", 0.8),
    ("umbrella", 1.1),
    ("vase", 0.4),
    ("wine glass", 0.25),
    ("zebra", 2.0),
];

/// Categories that fly.
const AIR: [&str; 3] = ["airplane", "bird", "kite"];

/// Longer side of a typical thing of the category `name` in meters.
pub(crate) fn meters(name: &str) -> f64 {
    let found = METERS.iter().find(|(category, _)| *category == name);
    found.map_or(OTHER, |(_, meters)| *meters)
}

/// Where things of the category `name` are found.
pub(crate) fn habitat(name: &str) -> Habitat {
    if AIR.contains(&name) {
        Habitat::Air
    } else {
        Habitat::Ground
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_are_sorted_and_known() {
        assert!(METERS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(AIR.iter().all(|name| METERS.iter().any(|(n, _)| n == name)));
        assert_eq!((meters("cow"), meters("lawn mower")), (2.0, OTHER));
        assert_eq!(habitat("kite"), Habitat::Air);
        assert_eq!(habitat("lawn mower"), Habitat::Ground);
    }
}
