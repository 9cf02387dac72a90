//! The class sets that are compiled into the program.

macro_rules! shipped {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../data-manifests/classes/",
                $name,
                ".toml"
            )),
        )
    };
}

/// Names and texts, sorted by name.
const SHIPPED: &[(&str, &str)] = &[
    shipped!("ade20k-150"),
    shipped!("bdd100k"),
    shipped!("camvid"),
    shipped!("cityscapes"),
    shipped!("idd"),
    shipped!("idd-lite"),
    shipped!("mapillary-vistas"),
    shipped!("mapillary-vistas-2"),
    shipped!("streethazards"),
];

/// Names of the class sets.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|&(name, _)| name)
}

/// The description of the class set with this name.
pub(super) fn text(name: &str) -> Option<&'static str> {
    let found = SHIPPED.iter().find(|(shipped, _)| *shipped == name);
    found.map(|&(_, text)| text)
}
