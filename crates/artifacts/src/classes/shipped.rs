//! The class sets and maps that are compiled into the program.

macro_rules! shipped {
    ($folder:literal, $name:literal) => {
        (
            $name,
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../data-manifests/",
                $folder,
                "/",
                $name,
                ".toml"
            )),
        )
    };
}

/// Names and texts of the class sets, sorted by name.
const SHIPPED: &[(&str, &str)] = &[
    shipped!("classes", "ade20k-150"),
    shipped!("classes", "bdd100k"),
    shipped!("classes", "camvid"),
    shipped!("classes", "cityscapes"),
    shipped!("classes", "coco-panoptic"),
    shipped!("classes", "idd"),
    shipped!("classes", "idd-lite"),
    shipped!("classes", "mapillary-vistas"),
    shipped!("classes", "mapillary-vistas-2"),
    shipped!("classes", "pascal-voc"),
    shipped!("classes", "streethazards"),
];

/// Names and texts of the maps, sorted by name.
const SHIPPED_MAPS: &[(&str, &str)] = &[
    shipped!("class-maps", "camvid-to-cityscapes"),
    shipped!("class-maps", "coco-panoptic-to-cityscapes"),
    shipped!("class-maps", "idd-lite-to-cityscapes"),
    shipped!("class-maps", "idd-to-cityscapes"),
    shipped!("class-maps", "mapillary-vistas-to-cityscapes"),
    shipped!("class-maps", "streethazards-to-cityscapes"),
];

/// Names of the class sets.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|&(name, _)| name)
}

/// The description of the class set with this name.
pub(super) fn text(name: &str) -> Option<&'static str> {
    find(SHIPPED, name)
}

/// Names of the maps between class sets.
pub(super) fn map_names() -> impl Iterator<Item = &'static str> {
    SHIPPED_MAPS.iter().map(|&(name, _)| name)
}

/// The description of the map with this name.
pub(super) fn map_text(name: &str) -> Option<&'static str> {
    find(SHIPPED_MAPS, name)
}

fn find(all: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    let found = all.iter().find(|(shipped, _)| *shipped == name);
    found.map(|&(_, text)| text)
}
