//! Whether two names of categories mean the same class.
//!
//! Data sets spell the classes of COCO in their own ways: `Person` and `Traffic Light` (Objects365), `car_(automobile)` (LVIS),
//! `motorbike` (Pascal VOC, Darknet). An image with a known class must not become an example of the unknown, while one image
//! more that is left out costs nothing. Therefore names are compared generously.

/// Names of one class, without case and separators. The first is COCO's.
const SYNONYMS: [&[&str]; 17] = [
    &[
        "person",
        "people",
        "pedestrian",
        "human",
        "humanbeing",
        "rider",
        "cyclist",
        "motorcyclist",
        "bicyclist",
        "man",
        "men",
        "woman",
        "women",
        "boy",
        "girl",
        "child",
        "children",
        "kid",
        "adult",
    ],
    &["bicycle", "bike", "cycle", "pushbike", "pedalcycle"],
    &[
        "car",
        "automobile",
        "auto",
        "motorcar",
        "passengercar",
        "sedan",
        "suv",
        "van",
        "minivan",
        "taxi",
        "cab",
    ],
    &["motorcycle", "motorbike", "motorcyle", "moped"],
    &[
        "bus",
        "buses",
        "busses",
        "autobus",
        "omnibus",
        "minibus",
        "schoolbus",
        "coachbus",
    ],
    &["truck", "lorry", "lorries", "pickup", "pickuptruck"],
    &[
        "trafficlight",
        "trafficsignal",
        "trafficlamp",
        "stoplight",
        "semaphore",
    ],
    &["stopsign"],
    &["train", "railwaytrain", "railroadtrain", "locomotive"],
    &["airplane", "aeroplane", "plane", "aircraft"],
    &["couch", "sofa"],
    &["tv", "television", "tvmonitor", "televisionset"],
    &["pottedplant", "houseplant"],
    &["diningtable", "dinnertable"],
    &["cellphone", "mobilephone", "cellulartelephone"],
    &["hairdrier", "hairdryer"],
    &["donut", "doughnut"],
];

/// Whether a category is the class `wanted`, whatever the spelling: case, separators, plural, usual synonyms, and the
/// explanation in brackets that `wanted` does not have.
pub(crate) fn is_same(category: &str, wanted: &str) -> bool {
    if wanted.contains('(') && key(wanted) != key(plain(wanted)) {
        return key(category) == key(wanted);
    }
    let wanted = class(wanted);
    class(category) == wanted || class(plain(category)) == wanted
}

/// Whether two names share a word, or are a typing mistake apart.
pub(crate) fn is_similar(category: &str, wanted: &str) -> bool {
    let (a, b) = (key(category), key(wanted));
    let of_wanted = words(wanted);
    let shares = words(category).iter().any(|w| of_wanted.contains(w));
    let allowed = match a.chars().count().min(b.chars().count()) {
        0..5 => return shares, // cat is no mistyped car
        n => (n / 3).min(2),
    };
    shares || distance(&a, &b) <= allowed
}

/// The name before its explanation in brackets.
fn plain(name: &str) -> &str {
    let end = name.find(['(', '[']).filter(|&at| at > 0);
    &name[..end.unwrap_or(name.len())]
}

/// Letters and digits in lower case.
fn key(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// The same text for all names of a class.
fn class(name: &str) -> String {
    let key = key(name);
    let singular = key.strip_suffix('s').unwrap_or(&key);
    let known = SYNONYMS
        .iter()
        .find(|names| names.iter().any(|n| *n == key || *n == singular));
    known.map_or(singular, |names| names[0]).to_owned()
}

/// The classes of the words of a name, also of those that a capital letter begins.
fn words(name: &str) -> Vec<String> {
    let mut split = String::new();
    let mut was_lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && was_lower) {
            split.push(' ');
        }
        if c.is_alphanumeric() {
            split.push(c);
        }
        was_lower = c.is_lowercase();
    }
    let words = split.split(' ').filter(|w| w.chars().count() > 1);
    words.map(class).collect()
}

/// How many letters have to be changed, added or removed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut above_left = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let changed = above_left + usize::from(letter != *other);
            above_left = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(above_left + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_class_are_the_same() {
        for (category, wanted) in [
            ("Person", "person"),
            ("PEOPLE", "person"),
            ("pedestrians", "person"),
            ("car_(automobile)", "car"),
            ("Car (automobile)", "car"),
            ("bus_(vehicle)", "bus"),
            ("Buses", "bus"),
            ("traffic_light", "traffic light"),
            ("Traffic-Lights", "traffic light"),
            ("trafficlight", "traffic light"),
            ("TrafficLight", "traffic light"),
            ("traffic.signal", "traffic light"),
            ("motorbike", "motorcycle"),
            ("motor bike", "motorcycle"),
            ("Motor_cycle", "motorcycle"),
            ("StopSign", "stop sign"),
            ("train_(railroad_vehicle)", "train"),
            ("aeroplane", "airplane"),
            ("bow_(weapon)", "bow_(weapon)"),
            ("lorry", "truck"),
        ] {
            assert!(is_same(category, wanted), "{category} {wanted}");
        }
        for (category, wanted) in [
            ("carrot", "car"),
            ("car_battery", "car"),
            ("bow_(decorative_ribbons)", "bow_(weapon)"),
            ("railcar_(part_of_a_train)", "train"),
            ("busy", "bus"),
            ("traffic sign", "traffic light"),
            ("dog", "person"),
        ] {
            assert!(!is_same(category, wanted), "{category} {wanted}");
        }
    }

    #[test]
    fn near_names_share_a_word_or_are_mistyped() {
        for (category, wanted) in [
            ("sports car", "car"),
            ("SportsCar", "car"),
            ("perosn", "person"),
            ("bicicle", "bicycle"),
            ("traffic_sign", "traffic light"),
            ("young people", "person"),
        ] {
            assert!(is_similar(category, wanted), "{category} {wanted}");
        }
        for (category, wanted) in [("bird", "person"), ("cat", "car"), ("carrot", "car")] {
            assert!(!is_similar(category, wanted), "{category} {wanted}");
        }
    }
}
