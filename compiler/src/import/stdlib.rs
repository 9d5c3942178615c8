//! The standard library: scripts that ship inside btc and are imported by the name `stdlib`.

use std::path::Path;

use crate::host::files::{Contents, Found};

/// What every path of the library begins with.
const ROOT: &str = "stdlib";

/// What every identity of the library begins with. No file has such a one: it is no absolute path.
const IDENTITY: &str = "btc";

/// File names below the root, and texts.
pub(super) const SCRIPTS: &[(&str, &str)] = &[
    ("latency.bt", include_str!("../../stdlib/latency.bt")),
    ("network.bt", include_str!("../../stdlib/network.bt")),
    ("task.bt", include_str!("../../stdlib/task.bt")),
];

/// Constants of the kernel's headers that are told by its own enumerators: headers, and what an `#include` of one adds.
const HEADERS: &[(&[&str], &str, &str)] = &[(
    &[
        "linux/blkdev.h",
        "linux/blk_types.h",
        "linux/blk-mq.h",
        "linux/bio.h",
    ],
    "stdlib/include/blk_types.bt",
    include_str!("../../stdlib/include/blk_types.bt"),
)];

/// The name and text of what belongs to a header of the kernel's.
pub(super) fn of_header(header: &str) -> Option<(&'static str, &'static str)> {
    let header = header.strip_prefix("uapi/").unwrap_or(header);
    let found = HEADERS.iter().find(|(all, ..)| all.contains(&header));
    found.map(|(_, name, text)| (*name, *text))
}

/// `stdlib`, or `stdlib/NAME.bt`.
pub(super) fn find(path: &str) -> Option<Found> {
    let contents = if path.trim_end_matches('/') == ROOT {
        let names = SCRIPTS.iter().map(|(name, _)| (*name).to_owned());
        Contents::Directory(names.collect())
    } else {
        let name = path.strip_prefix(ROOT)?.strip_prefix('/')?;
        let (_, text) = SCRIPTS.iter().find(|(known, _)| *known == name)?;
        Contents::Text((*text).to_owned())
    };
    Some(Found {
        identity: Path::new(IDENTITY).join(path),
        contents,
    })
}

/// Whether a file is the library's.
pub(super) fn has(identity: &Path) -> bool {
    identity.starts_with(IDENTITY)
}

/// The library's paths, for suggestions.
pub(super) fn paths() -> impl Iterator<Item = String> {
    SCRIPTS.iter().map(|(name, _)| format!("{ROOT}/{name}"))
}
