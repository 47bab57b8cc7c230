//! The files are read again and checked as a graph. What they compute is compared by
//! `tests/golden/check_onnx.py`, with ONNX Runtime.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::tensor::Device;
use pollster::block_on;

use super::protobuf::{FieldValue, read};
use super::{Description, LinearClassifier, OnnxError, export};
use crate::hub::{self, Bundled, Folder, ModelFiles};
use crate::model::{ClipConfig, RotaryConfig, VisionConfig, VitConfig};

/// A file, as far as the tests look.
#[derive(Debug, Default)]
struct File {
    opset: i64,
    metadata: BTreeMap<String, String>,
    inputs: Vec<(String, Vec<String>)>,
    outputs: Vec<(String, Vec<String>)>,
    /// Shape of each constant.
    constants: BTreeMap<String, Vec<i64>>,
    operators: BTreeMap<String, usize>,
}

fn bytes(fields: &[(u32, FieldValue)], field: u32) -> Vec<&[u8]> {
    (fields.iter())
        .filter(|(number, _)| *number == field)
        .map(|(_, value)| match value {
            FieldValue::Bytes(bytes) => bytes.as_slice(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn texts(fields: &[(u32, FieldValue)], field: u32) -> Vec<String> {
    (bytes(fields, field).into_iter())
        .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
        .collect()
}

fn ints(fields: &[(u32, FieldValue)], field: u32) -> Vec<i64> {
    (fields.iter())
        .filter(|(number, _)| *number == field)
        .map(|(_, value)| match value {
            FieldValue::Int(value) => *value,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn named(info: &[u8]) -> (String, Vec<String>) {
    let info = read(info);
    let kind = read(bytes(&info, 2)[0]);
    let tensor = read(bytes(&kind, 1)[0]);
    assert_eq!(ints(&tensor, 1), [1], "floats");
    let shape = read(bytes(&tensor, 2)[0]);
    let sides = (bytes(&shape, 1).into_iter()).map(|side| {
        let side = read(side);
        match ints(&side, 1)[..] {
            [side] => side.to_string(),
            _ => texts(&side, 2).concat(),
        }
    });
    (texts(&info, 1).concat(), sides.collect())
}

impl File {
    /// Reads a file, whose every value must be known before it is used, and named once.
    fn read(file: &[u8]) -> Self {
        let model = read(file);
        let graph = read(bytes(&model, 7)[0]);
        let mut read_file = Self {
            opset: ints(&read(bytes(&model, 8)[0]), 2)[0],
            inputs: bytes(&graph, 11).into_iter().map(named).collect(),
            outputs: bytes(&graph, 12).into_iter().map(named).collect(),
            ..Self::default()
        };
        for entry in bytes(&model, 14) {
            let entry = read(entry);
            (read_file.metadata).insert(texts(&entry, 1).concat(), texts(&entry, 2).concat());
        }
        let mut known: BTreeSet<String> = (read_file.inputs.iter())
            .map(|(name, _)| name.clone())
            .collect();
        for tensor in bytes(&graph, 5) {
            let tensor = read(tensor);
            let (name, shape) = (texts(&tensor, 8).concat(), ints(&tensor, 1));
            let size = match ints(&tensor, 2)[0] {
                1 => 4,
                7 => 8,
                other => panic!("type {other}"),
            };
            let values = bytes(&tensor, 9)[0];
            assert_eq!(
                values.len() as i64,
                size * shape.iter().product::<i64>(),
                "{name}"
            );
            assert!(known.insert(name.clone()), "{name} twice");
            read_file.constants.insert(name, shape);
        }
        let mut used = BTreeSet::new();
        for node in bytes(&graph, 1) {
            let node = read(node);
            for input in texts(&node, 1) {
                assert!(known.contains(&input), "{input} is used before it is there");
                used.insert(input);
            }
            for output in texts(&node, 2) {
                assert!(known.insert(output.clone()), "{output} twice");
            }
            *read_file
                .operators
                .entry(texts(&node, 4).concat())
                .or_default() += 1;
        }
        assert!((read_file.outputs.iter()).all(|(name, _)| known.contains(name)));
        let unused: Vec<_> = (read_file.constants.keys())
            .filter(|name| !used.contains(*name))
            .collect();
        assert!(unused.is_empty(), "{unused:?}");
        read_file
    }
}

fn exported(
    files: &impl ModelFiles,
    classifier: Option<&LinearClassifier>,
) -> Result<File, OnnxError> {
    block_on(async {
        let bundle = hub::open(files, None).await.unwrap();
        let loaded = hub::load(
            files,
            &bundle,
            &Device::flex(),
            hub::LoadTarget::default(),
            &mut |_| (),
        )
        .await;
        let description = Description {
            name: "tiny",
            preprocess: &bundle.preprocess,
        };
        let model = loaded.unwrap().model;
        let file = export(&model, &bundle.config, description, classifier).await?;
        Ok(File::read(&file))
    })
}

fn golden_folder(name: &str) -> Folder {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models");
    Folder::new(&models.join(name)).unwrap()
}

fn golden(name: &str) -> File {
    exported(&golden_folder(name), None).unwrap()
}

fn count(file: &File, operator: &str) -> usize {
    file.operators.get(operator).copied().unwrap_or_default()
}

#[test]
fn the_bundled_model_has_its_layers_and_a_classifier() {
    let classifier = LinearClassifier {
        labels: vec!["cat".into(), "狗".into()],
        weight: vec![vec![1.0; 256], vec![2.0; 256]],
        bias: vec![0.5, 0.0],
        independent: false,
    };
    let file = exported(&Bundled, Some(&classifier)).unwrap();
    assert_eq!(file.opset, 17);
    let shape = |sides: [&str; 2]| sides.map(String::from).to_vec();
    let pixels = ["batch", "3", "96", "96"].map(String::from).to_vec();
    assert_eq!(file.inputs, [("pixels".into(), pixels)]);
    let expected = [
        ("image_features".into(), shape(["batch", "256"])),
        ("logits".into(), shape(["batch", "2"])),
        ("probabilities".into(), shape(["batch", "2"])),
    ];
    assert_eq!(file.outputs, expected);
    assert_eq!(file.metadata["labels"], r#"["cat","狗"]"#);
    assert_eq!(file.metadata["image_size"], "96");
    let mean: Vec<f32> = serde_json::from_str(&file.metadata["mean"]).unwrap();
    assert_eq!(mean.len(), 3);
    // Three of the stem, three of each of ten bottlenecks, and the shortcut of each stage.
    assert_eq!(count(&file, "Conv"), 3 + 3 * (2 + 3 + 4 + 1) + 4);
    assert_eq!(file.constants["conv1.weight"], [12, 3, 3, 3]);
    assert_eq!(file.constants["attnpool.positional_embedding"], [10, 768]);
    assert_eq!(file.constants["classifier.weight"], [2, 256]);
    assert_eq!(count(&file, "Gemm"), 1);
    // Of the attention pool, and of the classes.
    assert_eq!(count(&file, "Softmax"), 2);

    let independent = LinearClassifier {
        independent: true,
        ..classifier
    };
    let file = exported(&Bundled, Some(&independent)).unwrap();
    assert_eq!([count(&file, "Softmax"), count(&file, "Sigmoid")], [1, 1]);
}

#[test]
fn vision_transformers_have_their_parts() {
    // Activations: QuickGELU, exact GELU, its tanh approximation.
    for (name, operator) in [
        ("openclip-quick-f32", "Sigmoid"),
        ("openclip-gelu-f16", "Erf"),
        ("siglip-f32", "Tanh"),
    ] {
        let file = golden(name);
        assert!(count(&file, operator) > 0, "{name}: {:?}", file.operators);
        assert_eq!(file.outputs.len(), 1);
        assert!(!file.metadata.contains_key("labels"));
    }
    let clip = golden("openclip-quick-f32");
    assert_eq!(count(&clip, "Pad"), 1, "a class token");
    let siglip = golden("siglip-f32");
    assert_eq!(count(&siglip, "Pad"), 0);
    assert!(siglip.constants.contains_key("head.query"));
    let variants = golden("openclip-variants-f32");
    assert!(
        variants
            .constants
            .contains_key("transformer.resblocks.0.ls_1")
    );
    assert_eq!(count(&variants, "Slice"), 1, "the mean of the patches");
}

#[test]
fn other_image_encoders_are_refused_by_name() {
    block_on(async {
        let files = golden_folder("openclip-quick-f32");
        let bundle = hub::open(&files, None).await.unwrap();
        let loaded = hub::load(
            &files,
            &bundle,
            &Device::flex(),
            hub::LoadTarget::default(),
            &mut |_| (),
        )
        .await;
        let model = loaded.unwrap().model;
        let refused = async |config: &ClipConfig| {
            let description = Description {
                name: "tiny",
                preprocess: &bundle.preprocess,
            };
            let error = export(&model, config, description, None).await.unwrap_err();
            error.to_string()
        };
        let with = |change: fn(&mut VitConfig)| {
            let mut config = bundle.config.clone();
            match &mut config.vision {
                VisionConfig::Vit(vision) => change(vision),
                other => panic!("{other:?}"),
            }
            config
        };
        let rotary = with(|vision| {
            vision.rotary = Some(RotaryConfig {
                grid: 4,
                first: 0,
                column_first: false,
            });
        });
        assert!(refused(&rotary).await.contains("with rotary positions"));
        let gated = with(|vision| vision.swiglu = true);
        assert!(refused(&gated).await.contains("with gated MLPs"));
        let stem = with(|vision| vision.conv_stem = true);
        assert!(refused(&stem).await.contains("MobileCLIP's stem"));
        let fast_vit =
            include_bytes!("../../tests/golden/models/mobileclip-s0-f32/open_clip_config.json");
        let fast_vit = ClipConfig::from_open_clip(fast_vit).unwrap();
        assert!(refused(&fast_vit).await.contains("with FastViT's blocks"));
    });
}
