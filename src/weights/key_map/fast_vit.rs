//! Names of a FastViT in timm: `visual.trunk.…`. Its files have the branches of each
//! convolution as they were trained, which are folded.

use super::Source;
use super::Transform::{self, FlattenTranspose, Identity, Transpose};
use crate::weights::fold::{Branch, Fold};

const PREFIX: &str = "visual.trunk.";

/// Convolution of timm with its batch normalisation.
pub(super) fn conv_norm(name: &str) -> Branch {
    Branch {
        kernel: Some(format!("{name}.conv.weight")),
        norm: Some(format!("{name}.bn")),
        ..Branch::default()
    }
}

/// Layer without batch normalisation.
fn layer(name: &str) -> Branch {
    Branch {
        kernel: Some(format!("{name}.weight")),
        bias: Some(format!("{name}.bias")),
        ..Branch::default()
    }
}

/// Batch normalisation of the input.
fn norm(name: &str) -> Branch {
    Branch {
        norm: Some(name.into()),
        ..Branch::default()
    }
}

/// Block of MobileOne (Vasu et al. 2022): a convolution, another of a single place, and the
/// input, where it has them.
fn mobile_one(name: &str, scale: bool, identity: bool) -> Vec<Branch> {
    let branches = [
        Some(conv_norm(&format!("{name}.conv_kxk.0"))),
        scale.then(|| conv_norm(&format!("{name}.conv_scale"))),
        identity.then(|| norm(&format!("{name}.identity"))),
    ];
    branches.into_iter().flatten().collect()
}

fn sum(branches: Vec<Branch>) -> Fold {
    Fold {
        branches,
        ..Fold::default()
    }
}

fn scaled(name: &str, scale: String) -> Fold {
    Fold {
        scale: Some(scale),
        ..sum(vec![layer(name)])
    }
}

/// Sources of a parameter of the image encoder; `None` for one of another.
pub(super) fn sources(path: &str) -> Option<Vec<Source>> {
    let (module, parameter) = path.strip_prefix("visual.FastVit.")?.rsplit_once('.')?;
    let bias = matches!(parameter, "bias" | "beta");
    let plain = |name: &str, weight: Transform| {
        let transform = if bias { Identity } else { weight };
        Some(vec![Source::new(
            vec![format!("{PREFIX}{name}.{parameter}")],
            transform,
        )])
    };
    let folded = |folds: Vec<Fold>, weight: Transform| {
        let transform = if bias { Identity } else { weight };
        let folds = folds.into_iter().map(|fold| Fold { bias, ..fold });
        Some(folds.map(|fold| Source::folded(fold, transform)).collect())
    };
    let (stem, last) = (format!("{PREFIX}stem"), format!("{PREFIX}final_conv"));
    if let Some(path) = module.strip_prefix("stages.") {
        let (number, path) = path.split_once('.')?;
        let stage = format!("{PREFIX}stages.{number}");
        let names = |name: &str| format!("stages.{number}.{name}");
        if let Some(path) = path.strip_prefix("blocks.") {
            let (number, path) = path.split_once('.')?;
            return block(&format!("{stage}.blocks.{number}"), path, bias);
        }
        return match path {
            "downsample.conv.conv" => {
                let name = format!("{stage}.downsample.proj.0");
                let branches = ["large_conv", "small_conv"];
                let branches = branches.map(|branch| conv_norm(&format!("{name}.{branch}")));
                folded(vec![sum(branches.into())], Identity)
            }
            "downsample.se.fc1" => plain(&names("downsample.proj.0.se.fc1"), FlattenTranspose),
            "downsample.se.fc2" => plain(&names("downsample.proj.0.se.fc2"), FlattenTranspose),
            "downsample.proj" => {
                let branches = mobile_one(&format!("{stage}.downsample.proj.1"), false, true);
                folded(vec![sum(branches)], FlattenTranspose)
            }
            "positions.conv" => {
                let fold = Fold {
                    skip: true,
                    ..sum(vec![layer(&format!("{stage}.pos_emb.pos_enc"))])
                };
                folded(vec![fold], Identity)
            }
            _ => None,
        };
    }
    match module {
        "stem.conv1.conv" => {
            let branches = mobile_one(&format!("{stem}.0"), true, false);
            folded(vec![sum(branches)], Identity)
        }
        "stem.conv2.conv" => {
            let branches = mobile_one(&format!("{stem}.1"), true, false);
            folded(vec![sum(branches)], Identity)
        }
        "stem.conv3" => {
            let branches = mobile_one(&format!("{stem}.2"), false, true);
            folded(vec![sum(branches)], FlattenTranspose)
        }
        "final_conv.conv" => folded(vec![sum(mobile_one(&last, true, false))], Identity),
        "se.fc1" => plain("final_conv.se.fc1", FlattenTranspose),
        "se.fc2" => plain("final_conv.se.fc2", FlattenTranspose),
        "head" => plain("head.fc", Transpose),
        _ => None,
    }
}

/// Sources of a parameter of the block of that name in timm.
fn block(name: &str, module: &str, bias: bool) -> Option<Vec<Source>> {
    let mixer = format!("{name}.token_mixer");
    let (folds, weight) = match module {
        // x + scale (mixer(x) - norm(x))
        "token_mixer.Conv.conv" => {
            let mut branches = mobile_one(&format!("{mixer}.mixer"), true, true);
            branches.push(Branch {
                minus: true,
                ..norm(&format!("{mixer}.norm.identity"))
            });
            let fold = Fold {
                scale: Some(format!("{mixer}.layer_scale.gamma")),
                skip: true,
                ..sum(branches)
            };
            (vec![fold], Identity)
        }
        "token_mixer.Attention.norm" => (vec![sum(vec![norm(&format!("{name}.norm"))])], Identity),
        "token_mixer.Attention.in_proj" => {
            let names = vec![format!("{mixer}.qkv.weight")];
            return Some(vec![Source::new(names, Transpose)]);
        }
        "token_mixer.Attention.out_proj" => {
            let scale = format!("{name}.layer_scale_1.gamma");
            (vec![scaled(&format!("{mixer}.proj"), scale)], Transpose)
        }
        "mlp.conv.conv" => {
            let branches = vec![conv_norm(&format!("{name}.mlp.conv"))];
            (vec![sum(branches)], Identity)
        }
        "mlp.c_fc" => {
            let parameter = if bias { "bias" } else { "weight" };
            let names = vec![format!("{name}.mlp.fc1.{parameter}")];
            let transform = if bias { Identity } else { FlattenTranspose };
            return Some(vec![Source::new(names, transform)]);
        }
        // The second one is of a block with attention.
        "mlp.c_proj" => {
            let scales = ["layer_scale", "layer_scale_2"];
            let scales = scales.map(|scale| format!("{name}.{scale}.gamma"));
            let fold = |scale| scaled(&format!("{name}.mlp.fc2"), scale);
            (scales.map(fold).into(), FlattenTranspose)
        }
        _ => return None,
    };
    let transform = if bias { Identity } else { weight };
    let folds = folds.into_iter().map(|fold| Fold { bias, ..fold });
    Some(folds.map(|fold| Source::folded(fold, transform)).collect())
}
