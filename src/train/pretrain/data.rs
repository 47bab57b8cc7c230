//! Image-text data for pre-training: folders that `scripts/drawings/fetch.py` and
//! `scripts/photos/fetch.py` write.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use image::RgbaImage;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;
use serde::Deserialize;

use super::{ListFingerprint, Sprite, templates};
use crate::zero_shot::PLACEHOLDER;

/// What is wrong with the data set.
#[derive(Debug, thiserror::Error)]
pub enum PretrainDataError {
    /// File that cannot be read.
    #[error(
        "cannot read {path}: {source} (scripts/drawings/fetch.py and scripts/photos/fetch.py write such folders)"
    )]
    Read {
        /// Path of the file.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Line that is not JSON of the expected form.
    #[error("{path}, line {line}: {source}")]
    Line {
        /// Path of the file.
        path: String,
        /// Number of the line, counted from 1.
        line: usize,
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// Image that cannot be decoded.
    #[error("{path} is not a readable image: {source}")]
    Image {
        /// Path of the image.
        path: String,
        /// The decoder's reason.
        source: image::ImageError,
    },
    /// Folder without images.
    #[error("{0} lists no images")]
    Empty(String),
}

/// Kind of an image. Some prompt templates name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageKind {
    /// Drawing, emoji or icon.
    #[default]
    Drawing,
    /// Photograph.
    Photo,
}

/// A line of `train.jsonl` or `held_out.jsonl`.
#[derive(Clone, Debug, Deserialize)]
pub struct LabelledImage {
    /// Path relative to the data set's folder.
    pub image: String,
    /// Kind of the image.
    #[serde(default)]
    pub kind: ImageKind,
    /// The data set within the folder: a style of drawings, a set of photographs.
    pub style: String,
    /// Identifier of what the image shows.
    pub concept: String,
    /// Class name.
    pub name: String,
    /// English: the name, then synonyms and keywords.
    pub texts: Vec<String>,
    /// The same in Chinese.
    pub texts_zh: Vec<String>,
    /// Broader words (hypernyms), English.
    #[serde(default)]
    pub broader: Vec<String>,
    /// The same in Chinese.
    #[serde(default)]
    pub broader_zh: Vec<String>,
}

impl LabelledImage {
    /// All lines of `list` in `folder`.
    pub fn list(folder: &Path, list: &str) -> Result<Vec<Self>, PretrainDataError> {
        let path = folder.join(list);
        Self::parse(&path, &read(&path)?)
    }

    fn parse(path: &Path, text: &str) -> Result<Vec<Self>, PretrainDataError> {
        let mut images = Vec::new();
        for (line, text) in text.lines().enumerate() {
            let image = serde_json::from_str(text).map_err(|source| PretrainDataError::Line {
                path: path.display().to_string(),
                line: line + 1,
                source,
            })?;
            images.push(image);
        }
        if images.is_empty() {
            return Err(PretrainDataError::Empty(path.display().to_string()));
        }
        Ok(images)
    }
}

/// A concept that every large style of drawings has: a class of the evaluation.
#[derive(Clone, Debug, Deserialize)]
pub struct SharedName {
    /// Identifier of the concept.
    pub concept: String,
    /// Name of the class.
    pub name: String,
}

impl SharedName {
    /// `names.json` of `folder`.
    pub fn list(folder: &Path) -> Result<Vec<Self>, PretrainDataError> {
        json(&folder.join("names.json"))
    }
}

/// A kind of things, as Unicode groups its emoji.
#[derive(Clone, Debug, Deserialize)]
pub struct ConceptGroup {
    /// Name of the group.
    pub name: String,
    /// Identifiers of its concepts.
    pub concepts: Vec<String>,
}

impl ConceptGroup {
    /// `groups.json` of `folder`.
    pub fn list(folder: &Path) -> Result<Vec<Self>, PretrainDataError> {
        json(&folder.join("groups.json"))
    }
}

fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, PretrainDataError> {
    serde_json::from_str(&read(path)?).map_err(|source| PretrainDataError::Line {
        path: path.display().to_string(),
        line: source.line(),
        source,
    })
}

fn read(path: &Path) -> Result<String, PretrainDataError> {
    std::fs::read_to_string(path).map_err(|source| PretrainDataError::Read {
        path: path.display().to_string(),
        source,
    })
}

/// A label as it stands in a caption, and its number among all labels.
#[derive(Clone, Debug)]
struct Word {
    text: String,
    id: u32,
}

/// What the images of a class show.
struct Concept {
    kind: ImageKind,
    /// The name, then synonyms.
    names: Vec<Word>,
    names_zh: Vec<Word>,
    broader: Vec<Word>,
    broader_zh: Vec<Word>,
    /// Every label that is true of its images.
    labels: HashSet<u32>,
    /// Indices of its images.
    images: Vec<usize>,
}

/// Images of one origin, drawn from as a whole.
struct ImageSet {
    /// Indices of concepts.
    concepts: Vec<usize>,
    /// Images of an epoch in which every concept has as many.
    images_per_concept: usize,
    /// Share of a batch, by the cube root of images times concepts: neither the set with the most
    /// images nor the one with the most names takes it all.
    share: f64,
}

/// A caption for an image.
pub struct Caption {
    /// The caption.
    pub text: String,
    label: u32,
    /// The kind of image that its template names.
    kind: Option<ImageKind>,
}

/// Images in memory with their names: the data of [`super::pretrain`].
pub struct PretrainData {
    sprites: Vec<Sprite>,
    /// Concept of each image.
    concept_of: Vec<usize>,
    concepts: Vec<Concept>,
    sets: Vec<ImageSet>,
    lists: Vec<ListFingerprint>,
}

/// How many concepts of drawings may share a keyword that is used as a caption: others say too
/// little.
const KEYWORD_CONCEPTS: usize = 3;

impl PretrainData {
    /// Reads `train.jsonl` of every folder and all images in them. Photographs smaller than
    /// `image_size` are enlarged to it as the model's preprocessing does.
    pub fn open(
        folders: &[impl AsRef<Path>],
        image_size: usize,
    ) -> Result<Self, PretrainDataError> {
        let mut data = Self {
            sprites: Vec::new(),
            concept_of: Vec::new(),
            concepts: Vec::new(),
            sets: Vec::new(),
            lists: Vec::new(),
        };
        let mut words = HashMap::new();
        for folder in folders {
            data.add(folder.as_ref(), image_size, &mut words)?;
        }
        let sum: f64 = data.sets.iter().map(|set| set.share).sum();
        data.sets.iter_mut().for_each(|set| set.share /= sum);
        Ok(data)
    }

    fn add(
        &mut self,
        folder: &Path,
        image_size: usize,
        words: &mut HashMap<String, u32>,
    ) -> Result<(), PretrainDataError> {
        let list = folder.join("train.jsonl");
        let text = read(&list)?;
        let images = LabelledImage::parse(&list, &text)?;
        let mut crc = flate2::Crc::new();
        crc.update(text.as_bytes());
        self.lists.push(ListFingerprint {
            path: list.display().to_string(),
            images: images.len(),
            checksum: crc.sum(),
        });
        let sprites = (images.par_iter())
            .map(|image| sprite(&folder.join(&image.image), image.kind, image_size))
            .collect::<Result<Vec<_>, _>>()?;
        let mut by_concept: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (index, image) in images.iter().enumerate() {
            // Styles of drawings show the same things and make one set.
            let set = match image.kind {
                ImageKind::Drawing => "",
                ImageKind::Photo => &image.style,
            };
            let concept = (set, image.concept.as_str());
            by_concept.entry(concept).or_default().push(index);
        }
        let mut used: HashMap<&str, usize> = HashMap::new();
        for members in by_concept.values() {
            let image = &images[members[0]];
            for text in image.texts.iter().chain(&image.texts_zh) {
                *used.entry(text).or_default() += 1;
            }
        }
        let mut word = |text: &String| Word {
            text: text.clone(),
            id: {
                let next = words.len() as u32;
                *words.entry(text.to_lowercase()).or_insert(next)
            },
        };
        let first = self.sprites.len();
        let mut sets: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        self.concept_of.resize(first + images.len(), usize::MAX);
        for ((set, _), members) in &by_concept {
            // What one style alone draws cannot be learnt in any other.
            if members.len() < 2 {
                continue;
            }
            let image = &images[members[0]];
            let all = [
                &image.texts,
                &image.texts_zh,
                &image.broader,
                &image.broader_zh,
            ];
            let labels = all
                .into_iter()
                .flatten()
                .map(|text| word(text).id)
                .collect();
            let mut names = |texts: &[String]| -> Vec<Word> {
                let telling = |text: &&String| {
                    image.kind == ImageKind::Photo || used[text.as_str()] <= KEYWORD_CONCEPTS
                };
                let (name, others) = texts.split_at(texts.len().min(1));
                name.iter()
                    .chain(others.iter().filter(telling))
                    .map(&mut word)
                    .collect()
            };
            let concept = Concept {
                kind: image.kind,
                names: names(&image.texts),
                names_zh: names(&image.texts_zh),
                broader: image.broader.iter().map(&mut word).collect(),
                broader_zh: image.broader_zh.iter().map(&mut word).collect(),
                labels,
                images: members.iter().map(|index| first + index).collect(),
            };
            let index = self.concepts.len();
            (concept.images.iter()).for_each(|image| self.concept_of[*image] = index);
            self.concepts.push(concept);
            sets.entry(set).or_default().push(index);
        }
        self.sprites.extend(sprites);
        for concepts in sets.into_values() {
            let images: usize = concepts
                .iter()
                .map(|c| self.concepts[*c].images.len())
                .sum();
            self.sets.push(ImageSet {
                images_per_concept: images.div_ceil(concepts.len()),
                share: (images as f64 * concepts.len() as f64).cbrt(),
                concepts,
            });
        }
        Ok(())
    }

    /// Number of images that can be drawn.
    pub fn image_count(&self) -> usize {
        self.concepts
            .iter()
            .map(|concept| concept.images.len())
            .sum()
    }

    /// Fingerprints of the lists that the images come from.
    pub(super) fn lists(&self) -> &[ListFingerprint] {
        &self.lists
    }

    /// Number of different classes.
    pub fn concept_count(&self) -> usize {
        self.concepts.len()
    }

    pub(super) fn sprite(&self, image: usize) -> &Sprite {
        &self.sprites[image]
    }

    pub(super) fn kind(&self, image: usize) -> ImageKind {
        self.concepts[self.concept_of[image]].kind
    }

    /// A caption at random: the name, a synonym, a broader word, in English or Chinese; bare or in a
    /// template. `variety`, 0 to 1, scales the probability of all but the bare name.
    pub(super) fn caption(&self, image: usize, variety: f64, rng: &mut StdRng) -> Caption {
        let concept = &self.concepts[self.concept_of[image]];
        let chinese = !concept.names_zh.is_empty() && rng.random_bool(0.18 * variety);
        let (names, broader) = match chinese {
            true => (&concept.names_zh, &concept.broader_zh),
            false => (&concept.names, &concept.broader),
        };
        let (name, synonyms) = names.split_first().unwrap_or((&concept.names[0], &[]));
        let chance = rng.random::<f64>() / variety.max(f64::MIN_POSITIVE);
        let label = match chance {
            0.0..0.18 => synonyms.choose(rng).unwrap_or(name),
            0.18..0.32 => broader.choose(rng).unwrap_or(name),
            _ => name,
        };
        let (kind, text) = match rng.random_bool(0.72 * variety) {
            true => {
                let kind = rng.random_bool(0.65).then_some(concept.kind);
                let template = match chinese {
                    true => templates::chinese(kind, rng),
                    false => templates::english(kind, rng),
                };
                (kind, template.replace(PLACEHOLDER, &label.text))
            }
            false => (None, label.text.clone()),
        };
        Caption {
            text,
            label: label.id,
            kind,
        }
    }

    /// Whether the caption of another image may be true of `image`, whose own caption `own` is: then
    /// the pair is no negative. That is so for its own names and for broader words (an Egyptian cat
    /// is a cat), and for names of what it may be (a cat may be an Egyptian cat); never where the
    /// template names the other kind of image.
    pub(super) fn may_be_true(&self, image: usize, other: usize, caption: &Caption) -> bool {
        let [concept, other] = [image, other].map(|image| &self.concepts[self.concept_of[image]]);
        caption.kind.is_none_or(|kind| kind == concept.kind)
            && (concept.labels.contains(&caption.label)
                || other.labels.contains(&concept.names[0].id))
    }

    /// Checks that captions of a batch can be told apart at all.
    pub(super) fn sampler(&self, batch_size: usize, seed: u64) -> BalancedSampler<'_> {
        let wanted: Vec<f64> = self
            .sets
            .iter()
            .map(|set| set.share * batch_size as f64)
            .collect();
        let mut counts: Vec<usize> = wanted.iter().map(|share| *share as usize).collect();
        // What rounding left goes to the largest remainders.
        let mut order: Vec<usize> = (0..counts.len()).collect();
        order.sort_by(|a, b| wanted[*b].fract().total_cmp(&wanted[*a].fract()));
        let missing = batch_size - counts.iter().sum::<usize>();
        order
            .into_iter()
            .take(missing)
            .for_each(|set| counts[set] += 1);
        BalancedSampler {
            data: self,
            seed,
            counts,
            epochs: vec![(u64::MAX, Vec::new()); self.sets.len()],
        }
    }
}

/// Batches with a fixed share of every set, in which the classes of a set come equally often. Any
/// batch can be drawn at any time, so a run that is resumed sees what it would have seen.
pub(super) struct BalancedSampler<'a> {
    data: &'a PretrainData,
    seed: u64,
    /// Of each set in a batch.
    counts: Vec<usize>,
    /// Of each set the number and the order of the epoch at hand.
    epochs: Vec<(u64, Vec<usize>)>,
}

impl BalancedSampler<'_> {
    /// Images of the batch of that number.
    pub fn draw(&mut self, batch: u64) -> Vec<usize> {
        let mut drawn = Vec::new();
        for set in 0..self.counts.len() {
            let per_epoch = {
                let set = &self.data.sets[set];
                (set.images_per_concept * set.concepts.len()) as u64
            };
            let count = self.counts[set] as u64;
            for position in batch * count..(batch + 1) * count {
                let order = self.epoch(set, position / per_epoch);
                drawn.push(order[(position % per_epoch) as usize]);
            }
        }
        drawn
    }

    fn epoch(&mut self, set: usize, epoch: u64) -> &[usize] {
        let (at, order) = &mut self.epochs[set];
        if *at != epoch {
            *at = epoch;
            let mut rng = seeded([self.seed, set as u64, epoch]);
            let set = &self.data.sets[set];
            order.clear();
            for concept in &set.concepts {
                let mut images = self.data.concepts[*concept].images.clone();
                images.shuffle(&mut rng);
                order.extend(images.iter().cycle().take(set.images_per_concept));
            }
            order.shuffle(&mut rng);
        }
        order
    }
}

/// A generator of its own for each combination of numbers.
pub(super) fn seeded(parts: [u64; 3]) -> StdRng {
    let mut seed = [0; 32];
    seed[..24].copy_from_slice(parts.map(u64::to_le_bytes).as_flattened());
    StdRng::from_seed(seed)
}

fn sprite(path: &Path, kind: ImageKind, image_size: usize) -> Result<Sprite, PretrainDataError> {
    let image = image::open(path).map_err(|source| PretrainDataError::Image {
        path: path.display().to_string(),
        source,
    })?;
    let image = image.to_rgba8();
    let (width, height) = image.dimensions();
    let shorter = width.min(height).max(1) as usize;
    if kind == ImageKind::Drawing || shorter >= image_size {
        return Ok(Sprite::new(&image));
    }
    let enlarged = |side: u32| (side as usize * image_size / shorter) as u32;
    let (width, height) = (enlarged(width), enlarged(height));
    let filter = image::imageops::FilterType::CatmullRom;
    let larger: RgbaImage = image::imageops::resize(&image, width, height, filter);
    Ok(Sprite::new(&larger))
}
