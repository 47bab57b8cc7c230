//! Classifier head on image features, as a small safetensors file whose metadata name its
//! classes and its model.
//!
//! `weight` `[classes, embed_dim]` and `bias` `[classes]` are as in PyTorch's `Linear`;
//! an adapter adds the zero-shot classifier, `zero_shot` `[classes, embed_dim]`. See
//! [`Head::logits`] for the formula. With `class_means` `[classes, embed_dim]` and
//! `fit_quantiles` `[101]`, which older files lack, it is known how well an image fits any
//! class ([`ClassFit`]).

use std::collections::HashMap;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::{AdapterParams, ClassFit, Method};
use crate::diagnostic::{Diagnostic, ToDiagnostic, diagnostic};
use crate::eval::softmax;
use crate::model::ModelInfo;
use crate::zero_shot::Ranked;

/// Linear probe or adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// [`Method::Probe`] or [`Method::Adapter`].
    pub method: Method,
    /// Name of the model whose features it classifies.
    pub model: String,
    /// Class names, in the order of the rows.
    pub classes: Vec<String>,
    /// Prompt templates of `zero_shot`; none for a probe.
    pub templates: Vec<String>,
    /// `[classes, embed_dim]`, normalised; none for a probe.
    pub zero_shot: Vec<Vec<f32>>,
    /// The model's `exp(logit_scale)`.
    pub scale: f32,
    /// `[classes, embed_dim]`
    pub weight: Vec<Vec<f32>>,
    /// `[classes]`
    pub bias: Vec<f32>,
    /// Weight of `weight` and `bias`; 1 for a probe.
    pub alpha: f32,
    /// Weight of `zero_shot`.
    pub beta: f32,
    /// How well images fit the classes, if that is known.
    pub class_fit: Option<ClassFit>,
}

/// Error of a head file.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.to_diagnostic())]
pub enum HeadFileError {
    /// File that is no head.
    NotHead(String),
    /// Head for features of another dimension.
    Length {
        /// Dimension that the head takes.
        takes: usize,
        /// Dimension that the model gives.
        gives: usize,
        /// Model that the head was trained with.
        made_with: String,
        /// Model that is loaded.
        model: String,
    },
    /// Head that cannot be written.
    Write(#[from] safetensors::SafeTensorError),
}

impl ToDiagnostic for HeadFileError {
    fn to_diagnostic(&self) -> Diagnostic {
        match self {
            Self::NotHead(reason) => diagnostic!(
                "not-a-classifier",
                "this is not a classifier trained with this program: {reason} (a probe or an adapter is a .safetensors file written by `clip train` or the page)",
                reason
            ),
            Self::Length {
                takes,
                gives,
                made_with,
                model,
            } => diagnostic!(
                "classifier-of-other-model",
                "the classifier takes features of length {takes}, from the model {made_with}, but {model} gives {gives}: open the model that it was trained with",
                takes,
                made_with,
                model,
                gives
            ),
            Self::Write(error) => diagnostic!(
                "classifier-not-written",
                "the classifier could not be written: {reason}",
                reason = error.to_string()
            ),
        }
    }
}

/// Version of the file format; raised when an older reader would misread it.
const VERSION: &str = "1";
const KEY: &str = "clip_head";

/// Names of the tensors of a [`ClassFit`].
const FIT_TENSORS: [&str; 2] = ["class_means", "fit_quantiles"];

impl Head {
    /// This head with what a probe has learnt, `[classes, embed_dim]` and `[classes]`: no
    /// prompts count.
    pub(super) fn with_probe(self, weight: Vec<Vec<f32>>, bias: Vec<f32>) -> Self {
        Self {
            method: Method::Probe,
            templates: Vec::new(),
            zero_shot: Vec::new(),
            weight,
            bias,
            alpha: 1.0,
            ..self
        }
    }

    /// This head with what an adapter has learnt, `[classes, embed_dim]`, beside its prompts.
    pub(super) fn with_adapter(self, weight: Vec<Vec<f32>>, params: AdapterParams) -> Self {
        Self {
            method: Method::Adapter,
            weight,
            alpha: params.alpha as f32,
            beta: params.beta as f32,
            ..self
        }
    }

    /// Dimension of the features.
    pub fn embed_dim(&self) -> usize {
        self.weight.first().map_or(0, Vec::len)
    }

    /// `beta * scale * zero_shot . features + alpha * (weight . features + bias)`,
    /// one for each class.
    pub fn logits(&self, features: &[f32]) -> Vec<f32> {
        let dot = |row: &[f32]| row.iter().zip(features).map(|(a, b)| a * b).sum::<f32>();
        let learnt = (self.weight.iter().zip(&self.bias)).map(|(row, bias)| dot(row) + bias);
        (learnt.enumerate())
            .map(|(class, learnt)| {
                let words = self.zero_shot.get(class).map_or(0.0, |row| dot(row));
                self.beta * self.scale * words + self.alpha * learnt
            })
            .collect()
    }

    /// Class probabilities.
    pub fn probabilities(&self, features: &[f32]) -> Vec<f32> {
        softmax(&self.logits(features))
    }

    /// Classes ranked for an image. `similarity` is the cosine of the features and the
    /// class's direction.
    pub fn rank(&self, features: &[f32]) -> Vec<Ranked> {
        let probabilities = self.probabilities(features);
        let mut ranking: Vec<Ranked> = (self.classes.iter().zip(probabilities).enumerate())
            .map(|(class, (label, probability))| Ranked {
                label: label.clone(),
                probability,
                similarity: cosine(&self.direction(class), features),
            })
            .collect();
        ranking.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        ranking
    }

    /// Unit vector to which the cosine of a class is taken, `[embed_dim]`; `None` for no class of
    /// this name.
    pub fn direction_of(&self, class: &str) -> Option<Vec<f32>> {
        let index = self.classes.iter().position(|known| known == class)?;
        let mut direction = self.direction(index);
        let norm = direction.iter().map(|v| v * v).sum::<f32>().sqrt();
        if norm > 0.0 {
            direction.iter_mut().for_each(|v| *v /= norm);
        }
        Some(direction)
    }

    /// The same logits by one layer: weight `[classes][embed_dim]` and bias `[classes]`.
    pub fn linear(&self) -> (Vec<Vec<f32>>, Vec<f32>) {
        let weight = (0..self.classes.len()).map(|class| self.direction(class));
        let bias = self.bias.iter().map(|bias| self.alpha * bias);
        (weight.collect(), bias.collect())
    }

    fn direction(&self, class: usize) -> Vec<f32> {
        let words = self.zero_shot.get(class);
        (self.weight[class].iter().enumerate())
            .map(|(i, learnt)| {
                self.beta * self.scale * words.map_or(0.0, |row| row[i]) + self.alpha * learnt
            })
            .collect()
    }

    /// Rejects a model with features of another dimension; returns a note for another
    /// model with features of the same dimension.
    pub fn fits(&self, model: &ModelInfo) -> Result<Option<Diagnostic>, HeadFileError> {
        if self.embed_dim() != model.embed_dim as usize {
            return Err(HeadFileError::Length {
                takes: self.embed_dim(),
                gives: model.embed_dim as usize,
                made_with: self.model.clone(),
                model: model.name.clone(),
            });
        }
        Ok((self.model != model.name).then(|| {
            diagnostic!(
                "trained-with-other-model",
                "the classifier was trained with {made_with}, not with {model}: unless they are the same model, its predictions are meaningless",
                made_with = self.model,
                model = model.name
            )
        }))
    }

    /// Serialises the head as safetensors.
    pub fn write(&self) -> Result<Vec<u8>, HeadFileError> {
        let bytes = |rows: &[Vec<f32>]| -> Vec<u8> {
            (rows.iter().flatten())
                .flat_map(|v| v.to_le_bytes())
                .collect()
        };
        let (classes, dims) = (self.classes.len(), self.embed_dim());
        let weight = bytes(&self.weight);
        let bias: Vec<u8> = self.bias.iter().flat_map(|v| v.to_le_bytes()).collect();
        let zero_shot = bytes(&self.zero_shot);
        let mut tensors = vec![
            (
                "weight",
                TensorView::new(Dtype::F32, vec![classes, dims], &weight)?,
            ),
            ("bias", TensorView::new(Dtype::F32, vec![classes], &bias)?),
        ];
        if !self.zero_shot.is_empty() {
            let view = TensorView::new(Dtype::F32, vec![classes, dims], &zero_shot)?;
            tensors.push(("zero_shot", view));
        }
        let class_fit = (self.class_fit.as_ref()).map(|fit| {
            (
                bytes(&fit.means),
                bytes(std::slice::from_ref(&fit.quantiles)),
                fit.quantiles.len(),
            )
        });
        if let Some((means, quantiles, count)) = &class_fit {
            let shapes = [vec![classes, dims], vec![*count]];
            for ((name, shape), data) in FIT_TENSORS.into_iter().zip(shapes).zip([means, quantiles])
            {
                tensors.push((name, TensorView::new(Dtype::F32, shape, data)?));
            }
        }
        let list = |texts: &[String]| serde_json::Value::from(texts).to_string();
        let metadata = [
            ("format", "pt".into()),
            (KEY, VERSION.into()),
            ("method", self.method.name().into()),
            ("model", self.model.clone()),
            ("classes", list(&self.classes)),
            ("templates", list(&self.templates)),
            ("logit_scale_exp", self.scale.to_string()),
            ("alpha", self.alpha.to_string()),
            ("beta", self.beta.to_string()),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
        Ok(safetensors::serialize(
            tensors,
            Some(HashMap::from(metadata)),
        )?)
    }

    /// Parses a file from [`Self::write`].
    pub fn read(file: &[u8]) -> Result<Self, HeadFileError> {
        let wrong = |what: &str| HeadFileError::NotHead(what.into());
        let broken = |error: safetensors::SafeTensorError| wrong(&error.to_string());
        let (_, header) = SafeTensors::read_metadata(file).map_err(broken)?;
        let tensors = SafeTensors::deserialize(file).map_err(broken)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let text = |key: &str| {
            (metadata.get(key).map(String::as_str))
                .ok_or_else(|| wrong(&format!("its metadata has no `{key}`")))
        };
        match text(KEY)? {
            VERSION => {}
            other => return Err(wrong(&format!("its version {other} is not supported"))),
        }
        let method = match text("method")? {
            "probe" => Method::Probe,
            "adapter" => Method::Adapter,
            other => return Err(wrong(&format!("unknown method `{other}`"))),
        };
        let list = |key: &str| -> Result<Vec<String>, HeadFileError> {
            serde_json::from_str(text(key)?).map_err(|_| wrong(&format!("`{key}` is not a list")))
        };
        let number = |key: &str| -> Result<f32, HeadFileError> {
            (text(key)?.parse().ok())
                .filter(|value: &f32| value.is_finite())
                .ok_or_else(|| wrong(&format!("`{key}` is not a number")))
        };
        let classes = list("classes")?;
        let values = |name: &str| -> Result<(Vec<usize>, Vec<f32>), HeadFileError> {
            let tensor = tensors.tensor(name).map_err(broken)?;
            if tensor.dtype() != Dtype::F32 {
                return Err(wrong(&format!("`{name}` is not f32")));
            }
            let (values, _) = tensor.data().as_chunks::<4>();
            let values: Vec<f32> = values.iter().map(|v| f32::from_le_bytes(*v)).collect();
            match values.iter().all(|value| value.is_finite()) {
                true => Ok((tensor.shape().to_vec(), values)),
                false => Err(wrong(&format!(
                    "`{name}` contains values that are not finite"
                ))),
            }
        };
        let matrix = |name: &str| -> Result<Vec<Vec<f32>>, HeadFileError> {
            let (shape, values) = values(name)?;
            let (rows, columns) = match *shape {
                [rows, columns] => (rows, columns),
                [rows] => (rows, 1),
                _ => return Err(wrong(&format!("`{name}` is not a matrix"))),
            };
            match rows == classes.len() && rows * columns > 0 {
                true => Ok(values.chunks(columns).map(<[f32]>::to_vec).collect()),
                false => Err(wrong(&format!("`{name}` has no row for each class"))),
            }
        };
        let [means, quantiles] = FIT_TENSORS;
        let class_fit = match tensors.tensor(means) {
            Ok(_) => Some(ClassFit {
                means: matrix(means)?,
                quantiles: values(quantiles)?.1,
            }),
            Err(_) => None,
        };
        let head = Self {
            method,
            model: text("model")?.into(),
            templates: list("templates")?,
            zero_shot: match method {
                Method::Adapter => matrix("zero_shot")?,
                _ => Vec::new(),
            },
            scale: number("logit_scale_exp")?,
            weight: matrix("weight")?,
            bias: matrix("bias")?.concat(),
            alpha: number("alpha")?,
            beta: number("beta")?,
            classes,
            class_fit,
        };
        let dims = head.embed_dim();
        let fits = (head.class_fit.as_ref()).is_none_or(|fit| {
            fit.means.iter().all(|row| row.len() == dims) && fit.quantiles.is_sorted()
        });
        match head.zero_shot.iter().all(|row| row.len() == dims)
            && head.bias.len() == head.classes.len()
            && fits
        {
            true => Ok(head),
            false => Err(wrong("its tensors do not match")),
        }
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let norm = (dot(a, a) * dot(b, b)).sqrt();
    if norm > 0.0 { dot(a, b) / norm } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            method: Method::Adapter,
            model: "toy".into(),
            classes: vec!["a, \"b\"".into(), "猫".into()],
            templates: vec!["A {label}.".into()],
            zero_shot: vec![vec![1.0, 0.0], vec![0.0, 1.0]],
            scale: 10.0,
            weight: vec![vec![2.0, 0.5], vec![-1.0, 0.1]],
            bias: vec![0.25, 0.0],
            alpha: 0.5,
            beta: 1.0,
            class_fit: None,
        }
    }

    fn info(name: &str, embed_dim: u32) -> ModelInfo {
        ModelInfo {
            name: name.into(),
            parameters: 1,
            bytes: 1,
            image_size: 1,
            context_length: 1,
            embed_dim,
            precision: "f32".into(),
            independent: false,
            notes: Vec::new(),
        }
    }

    #[test]
    fn logits_are_words_and_what_was_learnt() {
        assert_eq!(
            head().logits(&[0.6, 0.8]),
            [6.0 + 0.5 * 1.85, 8.0 + 0.5 * -0.52]
        );
        let mut words = head();
        words.alpha = 0.0;
        let ranking = words.rank(&[0.6, 0.8]);
        assert_eq!(ranking[0].label, "猫");
        assert!((ranking[0].similarity - 0.8).abs() < 1e-6);
        let sum: f32 = ranking.iter().map(|r| r.probability).sum();
        assert!((sum - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_class_has_a_direction_of_unit_length() {
        let (head, features) = (head(), [0.6, 0.8]);
        for ranked in head.rank(&features) {
            let direction = head.direction_of(&ranked.label).unwrap();
            assert!((cosine(&direction, &direction) - 1.0).abs() < 1e-6);
            let dot: f32 = direction.iter().zip(features).map(|(a, b)| a * b).sum();
            assert!((dot - ranked.similarity).abs() < 1e-6, "{}", ranked.label);
        }
        assert_eq!(head.direction_of("a dog"), None);
    }

    #[test]
    fn one_layer_has_the_same_logits() {
        let (weight, bias) = head().linear();
        let features = [0.6, 0.8];
        let logits = (weight.iter().zip(bias)).map(|(row, bias)| {
            let dot: f32 = row.iter().zip(features).map(|(a, b)| a * b).sum();
            dot + bias
        });
        for (found, expected) in logits.zip(head().logits(&features)) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn a_written_head_is_read_as_it_was() {
        let file = head().write().unwrap();
        assert_eq!(Head::read(&file).unwrap(), head());
        let probe = Head {
            method: Method::Probe,
            zero_shot: Vec::new(),
            templates: Vec::new(),
            ..head()
        };
        assert_eq!(Head::read(&probe.write().unwrap()).unwrap(), probe);
        let mut fitting = Head {
            class_fit: Some(ClassFit {
                means: vec![vec![1.0, 0.0], vec![0.0, 1.0]],
                quantiles: vec![0.5, 0.75, 1.0],
            }),
            ..probe
        };
        let file = fitting.write().unwrap();
        assert_eq!(Head::read(&file).unwrap(), fitting);
        if let Some(fit) = &mut fitting.class_fit {
            fit.quantiles.reverse();
        }
        let refused = Head::read(&fitting.write().unwrap()).unwrap_err();
        assert!(refused.to_string().contains("do not match"), "{refused}");
    }

    #[test]
    fn another_model_is_refused_or_noted() {
        assert!(head().fits(&info("toy", 2)).unwrap().is_none());
        let note = head().fits(&info("other", 2)).unwrap().unwrap();
        assert!(note.text().contains("toy") && note.text().contains("other"));
        let refused = head().fits(&info("other", 512)).unwrap_err().to_string();
        assert!(
            refused.contains("length 2") && refused.contains("512"),
            "{refused}"
        );
    }

    #[test]
    fn other_files_are_refused_in_words() {
        let refused = |file: &[u8]| Head::read(file).unwrap_err().to_string();
        assert!(refused(b"not").contains("not a classifier"));
        let model = include_bytes!("../../assets/model/open_clip_model.safetensors");
        assert!(refused(model).contains("clip_head"));
        let mut file = head();
        file.bias = vec![f32::NAN, 0.0];
        assert!(refused(&file.write().unwrap()).contains("finite"));
        let whole = head().write().unwrap();
        for cut in [1, 9, whole.len() / 2, whole.len() - 1] {
            refused(&whole[..cut]);
        }
    }
}
