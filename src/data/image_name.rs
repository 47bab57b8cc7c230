//! Which files are images by their name.

/// Extensions of images, those that no decoder here reads included: they are named to the
/// user, not passed over.
const EXTENSIONS: [&str; 32] = [
    "png", "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "bmp", "dib", "heic", "heif", "avif",
    "tif", "tiff", "jxl", "jp2", "ico", "psd", "svg", "dng", "cr2", "cr3", "crw", "nef", "arw",
    "orf", "raf", "rw2", "pef", "srw", "raw", "tga",
];

/// Whether a file is an image by its name. Not all of these can be read.
pub fn is_image_name(path: &str) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_known_by_their_extension() {
        for path in ["a.png", "x/a.JPG", "a.b.webp", "a.heic", "a.CR2", ".jpg"] {
            assert!(is_image_name(path), "{path}");
        }
        for path in [
            "",
            "png",
            "a.txt",
            "a.png/b",
            "a.png/",
            "a.png.txt",
            "x.jpg/y",
        ] {
            assert!(!is_image_name(path), "{path}");
        }
    }
}
