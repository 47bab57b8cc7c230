//! What a file is recognised by.

use serde::{Deserialize, Serialize};

/// What a file is recognised by without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// Path in the indexed folder, with `/` between folders.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Milliseconds since 1970.
    pub modified_ms: i64,
}

/// Extensions of images, those that no decoder here reads included: they are named, not left out.
const EXTENSIONS: [&str; 32] = [
    "png", "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "bmp", "dib", "heic", "heif", "avif",
    "tif", "tiff", "jxl", "jp2", "ico", "psd", "svg", "dng", "cr2", "cr3", "crw", "nef", "arw",
    "orf", "raf", "rw2", "pef", "srw", "raw", "tga",
];

/// Whether a file is an image by its name.
pub fn is_image_name(path: &str) -> bool {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
}
