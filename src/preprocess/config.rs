//! Preprocessing configuration, from the files of a model.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::PreprocessError;

/// Transformation of a picture into the square input of the image encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreprocessConfig {
    /// Width and height of the result, in pixels.
    pub image_size: usize,
    /// Resizing before the crop.
    pub resize: Resize,
    /// Filter of the resizing.
    pub interpolation: Interpolation,
    /// Rounding of the centre crop, or of the centre padding of a smaller picture.
    pub crop: Crop,
    /// Subtracted from red, green and blue (0 to 1), before the division by `std`.
    pub mean: [f32; 3],
    /// Divisor of red, green and blue.
    pub std: [f32; 3],
    /// Whether to convert palettes and black-and-white to RGB and to drop alpha before
    /// resizing, as Hugging Face does, or after, as OpenAI and OpenCLIP do.
    pub convert_rgb_first: bool,
    /// Background that pictures with alpha are composited on first. `None`: alpha only
    /// weighs the colours in resizing.
    pub background: Option<[u8; 3]>,
    /// Padding colour, red, green and blue (0 to 255).
    pub fill: u8,
}

/// Resizing mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resize {
    /// No resizing.
    None,
    /// Shorter side to this many pixels; the longer one is cropped.
    Shortest(usize),
    /// Longer side to this many pixels; the rest of the square is padded.
    Longest(usize),
    /// Both sides to this many pixels, regardless of the aspect ratio.
    Squash(usize),
}

/// Rounding of a centre crop with an odd remainder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Crop {
    /// torchvision, hence OpenAI and OpenCLIP: half to even.
    TorchVision,
    /// Hugging Face: truncation.
    HuggingFace,
}

/// Resampling filters, by Pillow's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Interpolation {
    /// Nearest neighbour.
    Nearest,
    /// Lanczos with three lobes.
    Lanczos,
    /// Bilinear.
    Bilinear,
    /// Bicubic.
    Bicubic,
    /// Mean of the covered pixels.
    Box,
    /// Hamming window.
    Hamming,
}

impl Interpolation {
    /// In the order of Pillow's codes.
    pub const ALL: [Self; 6] = [
        Self::Nearest,
        Self::Lanczos,
        Self::Bilinear,
        Self::Bicubic,
        Self::Box,
        Self::Hamming,
    ];
}

/// Visible part of one side of the resized picture, and its position in the square.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub start: u64,
    pub length: usize,
    pub offset: usize,
}

/// Mean and standard deviation of OpenAI's training data, red, green and blue.
const OPENAI_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const OPENAI_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// Input size of OpenAI's smaller models, the default of Hugging Face's class.
const DEFAULT_SIDE: usize = 224;

/// Far above any model's; bounds the memory that a broken config can ask for.
const MAX_SIDE: usize = 8192;

impl PreprocessConfig {
    /// OpenAI's preprocessing: shorter side to `image_size` pixels, bicubic, centre crop,
    /// OpenAI's mean and standard deviation.
    pub fn openai(image_size: usize) -> Self {
        Self {
            image_size,
            resize: Resize::Shortest(image_size),
            interpolation: Interpolation::Bicubic,
            crop: Crop::TorchVision,
            mean: OPENAI_MEAN,
            std: OPENAI_STD,
            convert_rgb_first: false,
            background: None,
            fill: 0,
        }
    }

    /// SigLIP's preprocessing: squashed to a square, bicubic, values from -1 to 1.
    pub fn siglip(image_size: usize) -> Self {
        Self {
            resize: Resize::Squash(image_size),
            mean: [0.5; 3],
            std: [0.5; 3],
            ..Self::openai(image_size)
        }
    }

    /// From the bytes of an `open_clip_config.json`: `preprocess_cfg`, and the size in `model_cfg`.
    pub fn from_open_clip(json: &[u8]) -> Result<Self, PreprocessError> {
        let file = parse(json)?;
        let settings = &file["preprocess_cfg"];
        let size = match &file["model_cfg"]["vision_cfg"]["image_size"] {
            Value::Null => &settings["size"],
            size => size,
        };
        let image_size = match size {
            Value::Null => DEFAULT_SIDE,
            Value::Array(sides) => match sides[..] {
                [ref side] => pixels(side)?,
                [ref height, ref width] if height == width => pixels(height)?,
                _ => return Err(not_square()),
            },
            side => pixels(side)?,
        };
        let default = Self::openai(image_size);
        Ok(Self {
            resize: match text(settings, "resize_mode")? {
                None | Some("shortest") => default.resize,
                Some("longest") => Resize::Longest(image_size),
                Some("squash") => Resize::Squash(image_size),
                Some(other) => return Err(unknown("resize_mode", other)),
            },
            interpolation: match text(settings, "interpolation")? {
                // "random" is for training only.
                None | Some("bicubic" | "random") => Interpolation::Bicubic,
                Some("bilinear") => Interpolation::Bilinear,
                Some(other) => return Err(unknown("interpolation", other)),
            },
            mean: colours(&settings["mean"], "mean")?.unwrap_or(default.mean),
            std: deviations(&settings["std"], "std")?.unwrap_or(default.std),
            background: background(settings)?.flatten(),
            fill: match &settings["fill_color"] {
                Value::Null => 0,
                fill => byte(fill, "fill_color")?,
            },
            ..default
        })
    }

    /// From the bytes of a Hugging Face `preprocessor_config.json`.
    ///
    /// Follows `CLIPImageProcessor` of transformers 5 in its Pillow version: pictures
    /// with alpha are composited on white. A key of this project overrides that:
    /// `"background": [red, green, blue]`, or `null` to drop alpha, as in transformers 4.
    pub fn from_hugging_face(json: &[u8]) -> Result<Self, PreprocessError> {
        Self::from_image_processor(parse(json)?)
    }

    /// From the bytes of a `processor_config.json`; `None` if it says nothing of images, as
    /// before transformers 5.
    pub fn from_processor(json: &[u8]) -> Result<Option<Self>, PreprocessError> {
        let mut file = parse(json)?;
        match file["image_processor"].take() {
            settings @ Value::Object(_) => Self::from_image_processor(settings).map(Some),
            _ => Ok(None),
        }
    }

    fn from_image_processor(file: Value) -> Result<Self, PreprocessError> {
        // Other processors (SigLIP's, ViT's) squash to a plain number and do not crop by
        // default.
        let class = ["image_processor_type", "feature_extractor_type"]
            .iter()
            .find_map(|key| file[*key].as_str());
        let is_clip = class.is_none_or(|class| class.contains("CLIP"));

        let crop = match (flag(&file, "do_center_crop", is_clip)?, &file["crop_size"]) {
            (false, _) => None,
            (true, Value::Null) => Some(DEFAULT_SIDE),
            (true, size) => Some(side(size)?),
        };
        let (resize, image_size) = match (flag(&file, "do_resize", true)?, &file["size"]) {
            (false, _) => (Resize::None, crop),
            (true, Value::Null) => (Resize::Shortest(DEFAULT_SIDE), crop),
            (true, Value::Object(sides)) if sides.contains_key("shortest_edge") => {
                if sides
                    .get("longest_edge")
                    .is_some_and(|edge| !edge.is_null())
                {
                    return Err(config(
                        "a size with shortest_edge and longest_edge is not supported",
                    ));
                }
                (
                    Resize::Shortest(pixels(&file["size"]["shortest_edge"])?),
                    crop,
                )
            }
            (true, size @ Value::Number(_)) if is_clip => (Resize::Shortest(pixels(size)?), crop),
            (true, size) => {
                let side = side(size)?;
                (Resize::Squash(side), crop.or(Some(side)))
            }
        };
        let image_size = image_size.ok_or_else(not_square)?;

        // The model's values are for `value * rescale_factor`; ours for `value / 255`.
        let rescale = match (flag(&file, "do_rescale", true)?, &file["rescale_factor"]) {
            (false, _) => 255.0,
            (true, Value::Null) => 1.0,
            (true, factor) => match factor.as_f64() {
                Some(factor) if factor > 0.0 => factor * 255.0,
                _ => return Err(unknown("rescale_factor", &factor.to_string())),
            },
        };
        let scaled = |values: [f32; 3]| match rescale {
            // 1/255 has no exact decimal representation: this close to it counts.
            near_one if (near_one - 1.0_f64).abs() < 1e-6 => values,
            _ => values.map(|value| (f64::from(value) / rescale) as f32),
        };
        let (mean, std) = if flag(&file, "do_normalize", true)? {
            (
                colours(&file["image_mean"], "image_mean")?.unwrap_or(OPENAI_MEAN),
                deviations(&file["image_std"], "image_std")?.unwrap_or(OPENAI_STD),
            )
        } else {
            ([0.0; 3], [1.0; 3])
        };

        let convert_rgb_first = flag(&file, "do_convert_rgb", true)?;
        let white = convert_rgb_first.then_some([255; 3]);
        Ok(Self {
            image_size,
            resize,
            interpolation: match &file["resample"] {
                Value::Null => Interpolation::Bicubic,
                code => code
                    .as_u64()
                    .and_then(|code| Interpolation::ALL.get(usize::try_from(code).ok()?))
                    .copied()
                    .ok_or_else(|| unknown("resample", &code.to_string()))?,
            },
            crop: Crop::HuggingFace,
            mean: scaled(mean),
            std: scaled(std),
            convert_rgb_first,
            background: background(&file)?.unwrap_or(white),
            fill: 0,
        })
    }

    /// `preprocess_cfg` of an `open_clip_config.json`, as far as OpenCLIP supports it;
    /// the rest is its default.
    pub fn to_open_clip(&self) -> Value {
        json!({
            "mean": self.mean,
            "std": self.std,
            "interpolation": match self.interpolation {
                Interpolation::Bilinear => "bilinear",
                _ => "bicubic",
            },
            "resize_mode": match self.resize {
                Resize::Longest(_) => "longest",
                Resize::Squash(_) => "squash",
                Resize::None | Resize::Shortest(_) => "shortest",
            },
            "fill_color": self.fill,
            // A key of this project: the background of transparent pixels.
            "background": self.background,
        })
    }

    /// `preprocessor_config.json`, as far as transformers supports it: it does not pad to
    /// a square.
    pub fn to_hugging_face(&self) -> Value {
        let square = json!({"height": self.image_size, "width": self.image_size});
        let size = match self.resize {
            Resize::Squash(side) => json!({"height": side, "width": side}),
            Resize::Shortest(side) | Resize::Longest(side) => json!({"shortest_edge": side}),
            Resize::None => json!({"shortest_edge": self.image_size}),
        };
        let code = (Interpolation::ALL.iter()).position(|filter| *filter == self.interpolation);
        json!({
            "image_processor_type": "CLIPImageProcessor",
            "do_resize": self.resize != Resize::None, "size": size, "resample": code,
            "do_center_crop": true, "crop_size": square,
            "do_rescale": true, "rescale_factor": 1.0 / 255.0,
            "do_normalize": true, "image_mean": self.mean, "image_std": self.std,
            "do_convert_rgb": true,
            // A key of this project: the background of transparent pixels.
            "background": self.background,
        })
    }

    /// Size of the resized picture, before the crop.
    pub(super) fn resized(&self, width: u32, height: u32) -> (u64, u64) {
        let (width, height) = (u64::from(width), u64::from(height));
        let (short, long) = (width.min(height), width.max(height));
        match self.resize {
            Resize::None => (width, height),
            Resize::Squash(side) => (side as u64, side as u64),
            Resize::Shortest(size) => {
                let size = size as u64;
                // As in Python: divide, then truncate.
                let longer = ((size * long) as f64 / short as f64) as u64;
                if width <= height {
                    (size, longer)
                } else {
                    (longer, size)
                }
            }
            Resize::Longest(size) => {
                let ratio = long as f64 / size as f64;
                let side = |side: u64| ((side as f64 / ratio).round_ties_even() as u64).max(1);
                (side(width), side(height))
            }
        }
    }

    /// Visible part of a side of `size` pixels.
    pub(super) fn window(&self, size: u64) -> Window {
        let side = self.image_size as u64;
        if size >= side {
            let rest = size - side;
            // An odd remainder leaves half a pixel, which torchvision rounds half to
            // even.
            let up = self.crop == Crop::TorchVision && rest % 4 == 3;
            let start = rest / 2 + u64::from(up);
            Window {
                start,
                length: self.image_size,
                offset: 0,
            }
        } else {
            let rest = side - size;
            let offset = match self.crop {
                Crop::TorchVision => rest / 2,
                Crop::HuggingFace => rest.div_ceil(2),
            };
            // Both are less than `image_size`.
            Window {
                start: 0,
                length: size as usize,
                offset: offset as usize,
            }
        }
    }
}

fn config(message: &str) -> PreprocessError {
    PreprocessError::Config(message.to_owned())
}

fn unknown(key: &str, value: &str) -> PreprocessError {
    PreprocessError::Config(format!("{key} is {value}, which is not supported"))
}

fn not_square() -> PreprocessError {
    config("the images would not be square: only square model inputs are supported")
}

fn parse(json: &[u8]) -> Result<Value, PreprocessError> {
    let value: Value = serde_json::from_slice(json)
        .map_err(|error| PreprocessError::Config(format!("the file is not valid JSON, {error}")))?;
    match value.is_object() {
        true => Ok(value),
        false => Err(config("the file is not a JSON object")),
    }
}

fn pixels(value: &Value) -> Result<usize, PreprocessError> {
    let number = value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok());
    number
        .filter(|side| (1..=MAX_SIDE).contains(side))
        .ok_or_else(|| {
            PreprocessError::Config(format!(
                "{value} is not a number of pixels from 1 to {MAX_SIDE}"
            ))
        })
}

/// The side of a square: a number, or an object with equal `height` and `width`.
fn side(value: &Value) -> Result<usize, PreprocessError> {
    match value {
        Value::Object(sides) => match (sides.get("height"), sides.get("width")) {
            (Some(height), Some(width)) if height == width => pixels(height),
            (Some(_), Some(_)) => Err(not_square()),
            _ => Err(PreprocessError::Config(format!(
                "{value} is not a size: it needs a height and a width"
            ))),
        },
        number => pixels(number),
    }
}

fn flag(object: &Value, key: &str, default: bool) -> Result<bool, PreprocessError> {
    match &object[key] {
        Value::Null => Ok(default),
        Value::Bool(value) => Ok(*value),
        other => Err(unknown(key, &other.to_string())),
    }
}

fn text<'a>(object: &'a Value, key: &str) -> Result<Option<&'a str>, PreprocessError> {
    match &object[key] {
        Value::Null => Ok(None),
        Value::String(value) => Ok(Some(value)),
        other => Err(unknown(key, &other.to_string())),
    }
}

/// Three values, or one for all three.
fn colours(value: &Value, key: &str) -> Result<Option<[f32; 3]>, PreprocessError> {
    let numbers: Option<Vec<f32>> = match value {
        Value::Null => return Ok(None),
        Value::Array(values) => values
            .iter()
            .map(|v| v.as_f64().map(|v| v as f32))
            .collect(),
        value => value.as_f64().map(|value| vec![value as f32; 3]),
    };
    match numbers.as_deref() {
        Some([red, green, blue]) => Ok(Some([*red, *green, *blue])),
        _ => Err(unknown(key, &value.to_string())),
    }
}

/// [`colours`], as divisors.
fn deviations(value: &Value, key: &str) -> Result<Option<[f32; 3]>, PreprocessError> {
    match colours(value, key)? {
        Some(values) if values.iter().any(|v| *v <= 0.0) => Err(unknown(key, &value.to_string())),
        values => Ok(values),
    }
}

/// The background key: absent, `null`, or three values from 0 to 255.
fn background(object: &Value) -> Result<Option<Option<[u8; 3]>>, PreprocessError> {
    match object.get("background") {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(value) => match value.as_array().map(Vec::as_slice) {
            Some([red, green, blue]) => {
                let [red, green, blue] = [red, green, blue].map(|value| byte(value, "background"));
                Ok(Some(Some([red?, green?, blue?])))
            }
            _ => Err(unknown("background", &value.to_string())),
        },
    }
}

fn byte(value: &Value, key: &str) -> Result<u8, PreprocessError> {
    let number = value.as_u64().and_then(|number| u8::try_from(number).ok());
    number.ok_or_else(|| unknown(key, &value.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hugging_face(json: &str) -> Result<PreprocessConfig, PreprocessError> {
        PreprocessConfig::from_hugging_face(json.as_bytes())
    }

    fn open_clip(json: &str) -> Result<PreprocessConfig, PreprocessError> {
        PreprocessConfig::from_open_clip(json.as_bytes())
    }

    #[test]
    fn reads_hugging_face() {
        let clip = hugging_face(
            r#"{"crop_size": 224, "do_center_crop": true, "do_normalize": true, "do_resize": true,
                "feature_extractor_type": "CLIPFeatureExtractor", "resample": 3, "size": 224,
                "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}"#,
        );
        let expected = PreprocessConfig {
            crop: Crop::HuggingFace,
            convert_rgb_first: true,
            background: Some([255; 3]),
            ..PreprocessConfig::openai(224)
        };
        assert_eq!(clip, Ok(expected.clone()));
        assert_eq!(hugging_face("{}"), Ok(expected));

        let larger = hugging_face(
            r#"{"size": {"shortest_edge": 256}, "crop_size": {"height": 240, "width": 240}, "background": null}"#,
        )
        .expect("config");
        assert_eq!(
            (larger.image_size, larger.resize, larger.background),
            (240, Resize::Shortest(256), None)
        );

        let siglip = hugging_face(
            r#"{"image_processor_type": "SiglipImageProcessor", "size": {"height": 256, "width": 256}, "resample": 2,
                "image_mean": [0.5, 0.5, 0.5], "image_std": 0.5, "do_convert_rgb": false, "background": [1, 2, 3],
                "rescale_factor": 0.00392156862745098}"#,
        )
        .expect("config");
        assert_eq!(
            (siglip.image_size, siglip.resize),
            (256, Resize::Squash(256))
        );
        assert_eq!(
            (siglip.interpolation, siglip.mean, siglip.std),
            (Interpolation::Bilinear, [0.5; 3], [0.5; 3])
        );
        assert_eq!(
            (siglip.convert_rgb_first, siglip.background),
            (false, Some([1, 2, 3]))
        );

        let bare = hugging_face(r#"{"do_rescale": false, "do_normalize": false}"#).expect("config");
        assert_eq!((bare.mean, bare.std), ([0.0; 3], [1.0 / 255.0; 3]));
        let no_resize = hugging_face(r#"{"do_resize": false, "crop_size": 32}"#).expect("config");
        assert_eq!((no_resize.image_size, no_resize.resize), (32, Resize::None));
    }

    #[test]
    fn reads_the_processor_of_transformers_5() {
        let processor = |json: &str| PreprocessConfig::from_processor(json.as_bytes());
        let found = processor(
            r#"{"image_processor": {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 30},
                "crop_size": {"height": 28, "width": 28}, "resample": 2, "image_mean": [0.5, 0.5, 0.5]},
                "processor_class": "CLIPProcessor"}"#,
        );
        let expected = PreprocessConfig {
            resize: Resize::Shortest(30),
            interpolation: Interpolation::Bilinear,
            mean: [0.5; 3],
            ..hugging_face(r#"{"crop_size": 28}"#).expect("config")
        };
        assert_eq!(found, Ok(Some(expected)));
        // Written by transformers 4 for other models: nothing about images.
        assert_eq!(
            processor(r#"{"processor_class": "CLIPProcessor"}"#),
            Ok(None)
        );
        assert!(processor("[]").is_err());
        assert!(processor(r#"{"image_processor": {"size": 0}}"#).is_err());
    }

    #[test]
    fn is_written_as_it_is_read() {
        let config = PreprocessConfig {
            resize: Resize::Squash(32),
            interpolation: Interpolation::Bilinear,
            mean: [0.5; 3],
            background: Some([9, 8, 7]),
            fill: 3,
            ..PreprocessConfig::openai(32)
        };
        let written = json!({
            "model_cfg": {"vision_cfg": {"image_size": 32}},
            "preprocess_cfg": config.to_open_clip(),
        });
        assert_eq!(open_clip(&written.to_string()).expect("config"), config);
        let written = config.to_hugging_face().to_string();
        let expected = PreprocessConfig {
            crop: Crop::HuggingFace,
            convert_rgb_first: true,
            fill: 0,
            ..config
        };
        assert_eq!(hugging_face(&written).expect("config"), expected);
    }

    #[test]
    fn reads_open_clip() {
        let plain = open_clip(r#"{"model_cfg": {"vision_cfg": {"image_size": 336}}}"#);
        assert_eq!(plain, Ok(PreprocessConfig::openai(336)));
        let other = open_clip(
            r#"{"model_cfg": {"vision_cfg": {"image_size": [256, 256]}},
                "preprocess_cfg": {"mean": [0, 0.5, 1], "std": [1, 1, 2], "interpolation": "bilinear",
                "resize_mode": "longest", "fill_color": 127, "size": 99}}"#,
        )
        .expect("config");
        assert_eq!(
            (other.image_size, other.resize, other.fill),
            (256, Resize::Longest(256), 127)
        );
        assert_eq!(
            (other.mean, other.std, other.interpolation),
            ([0.0, 0.5, 1.0], [1.0, 1.0, 2.0], Interpolation::Bilinear)
        );
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for json in [
            "",
            "[]",
            r#"{"size": 0}"#,
            r#"{"size": -3}"#,
            r#"{"size": 1e9}"#,
            r#"{"size": {"height": 2, "width": 3}}"#,
            r#"{"size": {"longest_edge": 2}}"#,
            r#"{"size": {"shortest_edge": 2, "longest_edge": 3}}"#,
            r#"{"do_center_crop": false}"#,
            r#"{"crop_size": "large"}"#,
            r#"{"resample": 6}"#,
            r#"{"resample": "bicubic"}"#,
            r#"{"image_mean": [1, 2]}"#,
            r#"{"image_std": [1, 0, 1]}"#,
            r#"{"do_resize": 1}"#,
            r#"{"background": [1, 2, 256]}"#,
            r#"{"rescale_factor": 0}"#,
        ] {
            assert!(
                matches!(hugging_face(json), Err(PreprocessError::Config(_))),
                "{json}"
            );
        }
        for json in [
            "null",
            r#"{"preprocess_cfg": {"resize_mode": "odd"}}"#,
            r#"{"preprocess_cfg": {"interpolation": 3}}"#,
            r#"{"model_cfg": {"vision_cfg": {"image_size": [2, 3]}}}"#,
            r#"{"preprocess_cfg": {"fill_color": 256}}"#,
        ] {
            assert!(
                matches!(open_clip(json), Err(PreprocessError::Config(_))),
                "{json}"
            );
        }
    }

    #[test]
    fn crops_where_the_references_do() {
        let torch = PreprocessConfig::openai(4);
        let face = PreprocessConfig {
            crop: Crop::HuggingFace,
            ..torch.clone()
        };
        let starts =
            |config: &PreprocessConfig| [4, 5, 6, 7, 8, 9].map(|size| config.window(size).start);
        assert_eq!(starts(&torch), [0, 0, 1, 2, 2, 2]); // round(0.5) is 0, round(1.5) is 2, round(2.5) is 2
        assert_eq!(starts(&face), [0, 0, 1, 1, 2, 2]);
        assert_eq!(
            torch.window(1),
            Window {
                start: 0,
                length: 1,
                offset: 1
            }
        );
        assert_eq!(
            face.window(1),
            Window {
                start: 0,
                length: 1,
                offset: 2
            }
        );
    }

    #[test]
    fn resizes_to_what_the_references_do() {
        let config = PreprocessConfig::openai(224);
        assert_eq!(config.resized(500, 333), (336, 224));
        assert_eq!(config.resized(333, 500), (224, 336));
        assert_eq!(config.resized(1, 100_000_000), (224, 22_400_000_000));
        let longest = PreprocessConfig {
            resize: Resize::Longest(40),
            ..config
        };
        assert_eq!(longest.resized(7, 5), (40, 29));
        assert_eq!(longest.resized(1, 1000), (1, 40));
    }
}
