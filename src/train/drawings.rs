//! The data set of named drawings that `scripts/drawings/fetch.py` writes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use serde::Deserialize;

use super::Sprite;

/// What is wrong with the data set.
#[derive(Debug, thiserror::Error)]
pub enum DrawingsError {
    #[error("cannot read {path}: {source} (scripts/drawings/fetch.py writes this folder)")]
    Read {
        path: String,
        source: std::io::Error,
    },
    #[error("{path}, line {line}: {source}")]
    Line {
        path: String,
        line: usize,
        source: serde_json::Error,
    },
    #[error("{path} is not a readable picture: {source}")]
    Picture {
        path: String,
        source: image::ImageError,
    },
    #[error("{0} holds no drawings")]
    Empty(String),
}

/// One line of `train.jsonl` or `held_out.jsonl`.
#[derive(Clone, Debug, Deserialize)]
pub struct Drawing {
    /// Path of a PNG with alpha, relative to the data set's folder.
    pub image: String,
    /// The set that it was drawn for.
    pub style: String,
    /// Code points of what it shows.
    pub concept: String,
    pub name: String,
    /// The name and its keywords, English.
    pub texts: Vec<String>,
    /// The same in Chinese.
    pub texts_zh: Vec<String>,
}

/// A concept that every large style draws: a class of the evaluation.
#[derive(Clone, Debug, Deserialize)]
pub struct SharedName {
    pub concept: String,
    pub name: String,
}

/// A kind of things, as Unicode groups them.
#[derive(Clone, Debug, Deserialize)]
pub struct Group {
    pub name: String,
    pub concepts: Vec<String>,
}

/// Drawings in memory, by concept.
pub struct Drawings {
    pub drawings: Vec<Drawing>,
    pub sprites: Vec<Sprite>,
    /// Indices of the drawings of each concept.
    concepts: Vec<Vec<usize>>,
    /// Keywords that only few concepts share, so that they say something.
    telling: HashSet<String>,
}

/// How many concepts may share a keyword that is used as a caption.
const TELLING_CONCEPTS: usize = 3;

impl Drawings {
    /// Reads `list` (`train.jsonl`) in `folder` and every picture that it names.
    pub fn open(folder: &Path, list: &str) -> Result<Self, DrawingsError> {
        let drawings = Self::list(folder, list)?;
        let sprites = (drawings.iter())
            .map(|drawing| {
                let path = folder.join(&drawing.image);
                let picture = image::open(&path).map_err(|source| DrawingsError::Picture {
                    path: path.display().to_string(),
                    source,
                })?;
                Ok(Sprite::new(&picture.to_rgba8()))
            })
            .collect::<Result<Vec<_>, DrawingsError>>()?;

        let mut concepts: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, drawing) in drawings.iter().enumerate() {
            concepts.entry(&drawing.concept).or_default().push(index);
        }
        let mut used: HashMap<&str, usize> = HashMap::new();
        for indices in concepts.values() {
            let drawing = &drawings[indices[0]];
            for text in drawing.texts.iter().chain(&drawing.texts_zh) {
                *used.entry(text).or_default() += 1;
            }
        }
        let telling = (used.into_iter())
            .filter(|(_, count)| *count <= TELLING_CONCEPTS)
            .map(|(text, _)| text.to_owned())
            .collect();
        // What one style alone draws cannot be learnt in any other.
        let concepts = (concepts.into_values())
            .filter(|drawings| drawings.len() > 1)
            .collect();
        Ok(Self {
            drawings,
            sprites,
            concepts,
            telling,
        })
    }

    /// The lines of `list` in `folder`, without their pictures.
    pub fn list(folder: &Path, list: &str) -> Result<Vec<Drawing>, DrawingsError> {
        let path = folder.join(list);
        let mut drawings = Vec::new();
        for (line, text) in read(&path)?.lines().enumerate() {
            let drawing: Drawing =
                serde_json::from_str(text).map_err(|source| DrawingsError::Line {
                    path: path.display().to_string(),
                    line: line + 1,
                    source,
                })?;
            drawings.push(drawing);
        }
        if drawings.is_empty() {
            return Err(DrawingsError::Empty(path.display().to_string()));
        }
        Ok(drawings)
    }

    /// `names.json`: the classes of the evaluation.
    pub fn shared_names(folder: &Path) -> Result<Vec<SharedName>, DrawingsError> {
        let path = folder.join("names.json");
        serde_json::from_str(&read(&path)?).map_err(|source| DrawingsError::Line {
            path: path.display().to_string(),
            line: source.line(),
            source,
        })
    }

    /// `groups.json`: the concepts by kind.
    pub fn groups(folder: &Path) -> Result<Vec<Group>, DrawingsError> {
        let path = folder.join("groups.json");
        serde_json::from_str(&read(&path)?).map_err(|source| DrawingsError::Line {
            path: path.display().to_string(),
            line: source.line(),
            source,
        })
    }

    /// How many different things the drawings show.
    pub fn concept_count(&self) -> usize {
        self.concepts.len()
    }

    /// Batches of one pass over the concepts, each in a style at random. No
    /// batch shows a concept twice, so that every other pair is a true negative.
    pub fn epoch(&self, batch_size: usize, rng: &mut StdRng) -> Vec<Vec<usize>> {
        let mut picks: Vec<usize> = (self.concepts.iter())
            .filter_map(|drawings| drawings.choose(rng).copied())
            .collect();
        picks.shuffle(rng);
        picks.chunks_exact(batch_size).map(<[_]>::to_vec).collect()
    }

    /// A caption for a drawing: mostly its name, sometimes a telling keyword,
    /// sometimes in Chinese; bare or in a template. `variety`, 0 to 1, scales
    /// all that is not the bare name: a beginner is told names.
    pub fn caption(&self, index: usize, variety: f64, rng: &mut StdRng) -> String {
        let drawing = &self.drawings[index];
        let chinese = !drawing.texts_zh.is_empty() && rng.random_bool(0.12 * variety);
        let (texts, templates) = match chinese {
            true => (&drawing.texts_zh, TEMPLATES_ZH),
            false => (&drawing.texts, TEMPLATES_EN),
        };
        let keywords: Vec<&String> = (texts.iter().skip(1))
            .filter(|text| self.telling.contains(*text))
            .collect();
        let label = match keywords.choose(rng) {
            Some(keyword) if rng.random_bool(0.2 * variety) => keyword,
            _ => texts.first().unwrap_or(&drawing.name),
        };
        match templates.choose(rng) {
            Some(template) if rng.random_bool(0.7 * variety) => template.replace("{label}", label),
            _ => label.clone(),
        }
    }
}

const TEMPLATES_EN: &[&str] = &[
    "A photo of a {label}.",
    "A drawing of a {label}.",
    "An icon of a {label}.",
    "An emoji of a {label}.",
    "A picture of a {label}.",
    "{label}.",
];
const TEMPLATES_ZH: &[&str] = &["一张{label}的图片", "{label}的图标", "一张{label}的照片。"];

fn read(path: &Path) -> Result<String, DrawingsError> {
    std::fs::read_to_string(path).map_err(|source| DrawingsError::Read {
        path: path.display().to_string(),
        source,
    })
}
