//! `clip fewshot`: accuracy by number of images per class, as in the
//! paper's figure 6, on drawings that the bundled model never saw.
//!
//! Two tasks:
//! - `groups`: which of 24 kinds of things (mammal, clothing, clock) an OpenMoji
//!   drawing shows. Shots and test pictures are different drawings of different
//!   things, both in the style that was held out of the model's training.
//! - `names`: which of 100 things it shows. OpenMoji draws each thing once, so
//!   the shots come from other styles, on which the model was trained: a test of
//!   what shots do that are unlike what comes after them.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use clip::engine::Engine;
use clip::eval::{Chart, FewShotMethod, Line, Metrics, Point, Predictions, mean_and_spread};
use clip::preprocess::decode;
use clip::train::{
    ConceptGroup, FeatureMatrix, Head, HeadProgress, LabelledImage, Method, fit_few_shot,
};
use indicatif::ProgressBar;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::json;

use crate::Failure;
use crate::output::write_file;
use crate::session::Session;

#[path = "lora.rs"]
mod lora;

use lora::Lora;

#[derive(Args)]
pub struct Fewshot {
    #[command(flatten)]
    session: Session,
    /// Folder written by scripts/drawings/fetch.py
    #[arg(long)]
    data: PathBuf,
    /// Output folder for the chart (SVG) and the results (JSON)
    #[arg(long)]
    out: PathBuf,
    /// Classification task
    #[arg(long, value_enum, default_value_t = Task::Groups)]
    task: Task,
    /// Number of random draws of the shots
    #[arg(long, default_value_t = 10)]
    draws: u64,
    /// Number of these draws on which a LoRA is trained too
    #[arg(long, default_value_t = 3)]
    lora_draws: u64,
    /// Random seed of the first draw
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Prompt template containing {label}; repeat the option to average several
    #[arg(long = "template", default_value = "A drawing of a {label}.")]
    templates: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Task {
    /// 24 kinds of things, shots and test in the held-out style
    Groups,
    /// 100 things, shots in other styles
    Names,
}

impl Task {
    fn name(self) -> &'static str {
        match self {
            Self::Groups => "groups",
            Self::Names => "names",
        }
    }

    fn shots(self) -> &'static [usize] {
        match self {
            Self::Groups => &[1, 2, 4, 8, 16],
            // No thing is drawn in sixteen styles.
            Self::Names => &[1, 2, 4, 8],
        }
    }

    fn title(self, classes: usize) -> String {
        match self {
            Self::Groups => format!("{classes} kinds of OpenMoji drawings, shots among them"),
            Self::Names => format!("{classes} things drawn by OpenMoji, shots from other styles"),
        }
    }
}

/// Pictures of a class that are left for testing in `groups`, at least.
const FEWEST_TESTED: usize = 8;
const NAMES: usize = 100;

/// One drawing of lots: what is learnt from and what is asked.
struct Draw {
    classes: Vec<String>,
    /// For each class its pictures; fewer shots are the first of them.
    shots: Vec<Vec<String>>,
    /// Picture and class.
    test: Vec<(String, usize)>,
}

struct Drawn {
    held_out: Vec<LabelledImage>,
    train: Vec<LabelledImage>,
    groups: Vec<ConceptGroup>,
}

impl Drawn {
    fn draw(&self, task: Task, seed: u64) -> Draw {
        let mut rng = StdRng::seed_from_u64(seed);
        let most = task.shots().iter().copied().max().unwrap_or(0);
        match task {
            Task::Groups => self.draw_groups(most, &mut rng),
            Task::Names => self.draw_names(most, &mut rng),
        }
    }

    fn draw_groups(&self, most: usize, rng: &mut StdRng) -> Draw {
        let pictures: HashMap<&str, &str> = (self.held_out.iter())
            .map(|drawing| (drawing.concept.as_str(), drawing.image.as_str()))
            .collect();
        let mut draw = Draw::new();
        for group in &self.groups {
            let mut members: Vec<String> = (group.concepts.iter())
                .filter_map(|concept| pictures.get(concept.as_str()).map(|p| p.to_string()))
                .collect();
            if members.len() < most + FEWEST_TESTED {
                continue;
            }
            members.shuffle(rng);
            let class = draw.classes.len();
            let test = members.split_off(most);
            draw.classes.push(group.name.clone());
            draw.shots.push(members);
            draw.test
                .extend(test.into_iter().map(|picture| (picture, class)));
        }
        draw
    }

    fn draw_names(&self, most: usize, rng: &mut StdRng) -> Draw {
        let mut styles: HashMap<&str, Vec<String>> = HashMap::new();
        for drawing in &self.train {
            styles
                .entry(&drawing.concept)
                .or_default()
                .push(drawing.image.clone());
        }
        let mut things: Vec<&LabelledImage> = (self.held_out.iter())
            .filter(|thing| {
                styles
                    .get(thing.concept.as_str())
                    .is_some_and(|s| s.len() >= most)
            })
            .collect();
        things.shuffle(rng);
        let mut draw = Draw::new();
        for thing in things {
            if draw.classes.len() == NAMES || draw.classes.contains(&thing.name) {
                continue;
            }
            let mut shots = styles.remove(thing.concept.as_str()).unwrap_or_default();
            shots.shuffle(rng);
            draw.test.push((thing.image.clone(), draw.classes.len()));
            draw.classes.push(thing.name.clone());
            draw.shots.push(shots);
        }
        draw
    }
}

impl Draw {
    fn new() -> Self {
        Self {
            classes: Vec::new(),
            shots: Vec::new(),
            test: Vec::new(),
        }
    }

    fn test_paths(&self) -> impl Iterator<Item = &String> {
        self.test.iter().map(|(path, _)| path)
    }

    /// So many pictures of each class.
    fn first(&self, shots: usize) -> Vec<&[String]> {
        let some = |of: &'_ Vec<String>| of.len().min(shots);
        self.shots.iter().map(|of| &of[..some(of)]).collect()
    }
}

pub async fn run(arguments: &Fewshot) -> Result<(), Failure> {
    let drawn = Drawn {
        held_out: different(
            &arguments.data,
            LabelledImage::list(&arguments.data, "held_out.jsonl")?,
        )?,
        train: LabelledImage::list(&arguments.data, "train.jsonl")?,
        groups: ConceptGroup::list(&arguments.data)?,
    };
    let mut engine = arguments.session.open_exact().await?;
    let mut bench = Bench::new(&arguments.data);
    // Accuracies in per cent, one for each draw.
    let mut zero_shot = Vec::new();
    let methods = [Method::Probe, Method::Adapter, Method::Lora];
    let mut learnt = methods.map(|_| vec![Vec::new(); arguments.task.shots().len()]);
    let (mut classes, mut tested) = (0, 0);
    for number in 0..arguments.draws {
        let seed = arguments.seed + number;
        let draw = drawn.draw(arguments.task, seed);
        (classes, tested) = (draw.classes.len(), draw.test.len());
        let shots = draw.shots.iter().flatten();
        bench
            .encode(&engine, shots.chain(draw.test_paths()))
            .await?;
        let words = words(&mut engine, &draw.classes, &arguments.templates).await?;
        zero_shot.push(bench.accuracy(&draw, &words));
        for (at, shots) in arguments.task.shots().iter().enumerate() {
            for (method, accuracies) in methods.iter().zip(&mut learnt) {
                let accuracy = match few_shot_method(*method) {
                    None if number >= arguments.lora_draws => continue,
                    None => with_lora(arguments, &mut engine, &draw, *shots).await?,
                    Some(method) => {
                        let head = bench.fit(&draw, *shots, method, &words, seed).await?;
                        bench.accuracy(&draw, &head)
                    }
                };
                accuracies[at].push(accuracy);
            }
        }
        tell!("draw {} of {}", number + 1, arguments.draws);
    }
    let results = Results {
        task: arguments.task,
        classes,
        tested,
        zero_shot,
        // What was asked for in no draw is no line.
        learnt: (methods.into_iter().zip(learnt))
            .filter(|(_, by_shots)| by_shots.iter().all(|draws| !draws.is_empty()))
            .collect(),
    };
    results.print()?;
    let name = format!("few-shot-{}", arguments.task.name());
    let at = |extension: &str| arguments.out.join(format!("{name}.{extension}"));
    write_file(&at("svg"), results.chart().svg().as_bytes())?;
    write_file(&at("json"), &serde_json::to_vec_pretty(&results.json())?)
}

/// Method that learns from features; `None` for one that trains the towers.
fn few_shot_method(method: Method) -> Option<FewShotMethod> {
    match method {
        Method::Probe => Some(FewShotMethod::Probe),
        Method::Adapter => Some(FewShotMethod::Adapter),
        _ => None,
    }
}

/// The zero-shot classifier of the engine's model.
async fn words(
    engine: &mut Engine,
    classes: &[String],
    templates: &[String],
) -> Result<Head, Failure> {
    let zero_shot = engine.classifier(classes, templates).await?;
    let model = engine.model_info();
    Ok(Head {
        method: Method::Adapter,
        model: model.name.clone(),
        classes: classes.to_vec(),
        templates: templates.to_vec(),
        weight: vec![vec![0.0; model.embed_dim as usize]; classes.len()],
        bias: vec![0.0; classes.len()],
        zero_shot,
        scale: engine.scoring().scale(),
        alpha: 0.0,
        beta: 1.0,
        class_fit: None,
    })
}

/// Accuracy, zero-shot, of towers with a LoRA that so many shots gave.
async fn with_lora(
    arguments: &Fewshot,
    engine: &mut Engine,
    draw: &Draw,
    shots: usize,
) -> Result<f64, Failure> {
    let Fewshot {
        data,
        session,
        templates,
        ..
    } = arguments;
    let pictures = draw.first(shots);
    let lora = Lora::put_on(engine, session, data, &draw.classes, &pictures, templates).await?;
    let mut bench = Bench::new(data);
    bench.encode(engine, draw.test_paths()).await?;
    let words = words(engine, &draw.classes, templates).await?;
    lora.take_off(engine).await?;
    Ok(bench.accuracy(draw, &words))
}

/// Each drawing once: some flags are those of other countries, and a shot must
/// not come again as a question.
fn different(folder: &Path, drawings: Vec<LabelledImage>) -> Result<Vec<LabelledImage>, Failure> {
    let mut seen = HashSet::new();
    let mut kept = Vec::with_capacity(drawings.len());
    for drawing in drawings {
        let path = folder.join(&drawing.image);
        let file = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        if seen.insert(file) {
            kept.push(drawing);
        }
    }
    Ok(kept)
}

struct Bench<'a> {
    folder: &'a Path,
    /// Of pictures encoded so far.
    features: HashMap<String, Vec<f32>>,
}

impl<'a> Bench<'a> {
    fn new(folder: &'a Path) -> Self {
        let features = HashMap::new();
        Self { folder, features }
    }

    async fn encode<'p>(
        &mut self,
        engine: &Engine,
        paths: impl Iterator<Item = &'p String>,
    ) -> Result<(), Failure> {
        const BATCH: usize = 32;
        let new: Vec<&'p String> = paths
            .filter(|path| !self.features.contains_key(*path))
            .collect();
        let bar = ProgressBar::new(new.len() as u64);
        for paths in new.chunks(BATCH) {
            let pixels = (paths.iter())
                .map(|path| pixels(engine, &self.folder.join(path)))
                .collect::<Result<Vec<_>, _>>()?;
            let features = engine.image_features(&pixels).await?;
            self.features
                .extend(paths.iter().map(|path| path.to_string()).zip(features));
            bar.inc(paths.len() as u64);
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn of(&self, path: &str) -> &[f32] {
        self.features.get(path).map_or(&[], Vec::as_slice)
    }

    async fn fit(
        &self,
        draw: &Draw,
        shots: usize,
        method: FewShotMethod,
        base: &Head,
        seed: u64,
    ) -> Result<Head, Failure> {
        let (features, labels): (Vec<&[f32]>, Vec<usize>) = (draw.first(shots).iter().enumerate())
            .flat_map(|(class, pictures)| pictures.iter().map(move |path| (self.of(path), class)))
            .unzip();
        let samples = FeatureMatrix::new(&features, &labels, draw.classes.len());
        let mut watch = async |_: HeadProgress| ControlFlow::Continue(());
        Ok(fit_few_shot(method, &samples, base, seed, &mut watch).await?)
    }

    /// Mean over the classes, in per cent.
    fn accuracy(&self, draw: &Draw, head: &Head) -> f64 {
        let (logits, truth): (Vec<Vec<f32>>, Vec<usize>) = (draw.test.iter())
            .map(|(path, truth)| (head.logits(self.of(path)), *truth))
            .unzip();
        100.0
            * Metrics::balanced_accuracy(&Predictions {
                classes: &draw.classes,
                logits: &logits,
                truth: &truth,
            })
    }
}

fn pixels(engine: &Engine, path: &Path) -> Result<Vec<f32>, Failure> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = fs::read(path).map_err(|error| named(&error))?;
    let picture = decode(&file).map_err(|error| named(&error))?;
    Ok(engine.pixels(&picture))
}

struct Results {
    task: Task,
    classes: usize,
    tested: usize,
    zero_shot: Vec<f64>,
    /// `[shots][draws]` of each method.
    learnt: Vec<(Method, Vec<Vec<f64>>)>,
}

impl Results {
    /// As Markdown.
    fn print(&self) -> Result<(), Failure> {
        let shots = self.task.shots();
        say!(
            "{} classes, {} test images, {} draws; chance {:.1} %\n",
            self.classes,
            self.tested,
            self.zero_shot.len(),
            100.0 / self.classes as f64
        )?;
        let heads: Vec<String> = shots.iter().map(|shots| format!(" {shots} |")).collect();
        say!("| shots | 0 |{}", heads.concat())?;
        say!("| --- |{}", " --: |".repeat(shots.len() + 1))?;
        let (zero_shot, spread) = mean_and_spread(&self.zero_shot);
        say!(
            "| zero-shot | {zero_shot:.1} ± {spread:.1} |{}",
            " |".repeat(shots.len())
        )?;
        for (method, by_shots) in &self.learnt {
            let cells: Vec<String> = (by_shots.iter())
                .map(|draws| {
                    let (mean, spread) = mean_and_spread(draws);
                    format!(" {mean:.1} ± {spread:.1} |")
                })
                .collect();
            let draws = by_shots.first().map_or(0, Vec::len);
            let name = match draws < self.zero_shot.len() {
                true => format!("{method}, {draws} draws"),
                false => method.to_string(),
            };
            say!("| {name} | |{}", cells.concat())?;
        }
        for (method, by_shots) in &self.learnt {
            // From the same draw, so that only the method differs.
            let worst: Vec<String> = (by_shots.iter())
                .map(|draws| {
                    let gains = draws.iter().zip(&self.zero_shot).map(|(a, b)| a - b);
                    format!(" {:+.1} |", gains.fold(f64::MAX, f64::min))
                })
                .collect();
            say!("| {method}: smallest gain of a draw | |{}", worst.concat())?;
        }
        Ok(())
    }

    fn chart(&self) -> Chart {
        let point = |tick: usize, draws: &[f64]| {
            let (mean, spread) = mean_and_spread(draws);
            Point { tick, mean, spread }
        };
        let mut lines: Vec<Line> = (self.learnt.iter())
            .map(|(method, by_shots)| {
                let points = (by_shots.iter().enumerate()).map(|(at, draws)| point(at + 1, draws));
                // Without pictures an adapter is the zero-shot classifier, and a LoRA nothing.
                // Of as many draws as the method had.
                let draws = by_shots.first().map_or(0, Vec::len);
                let begin = (*method != Method::Probe).then(|| point(0, &self.zero_shot[..draws]));
                Line {
                    name: match method {
                        Method::Probe => "linear probe".into(),
                        Method::Lora => "LoRA".into(),
                        other => other.to_string(),
                    },
                    points: begin.into_iter().chain(points).collect(),
                }
            })
            .collect();
        lines.push(Line {
            name: "zero-shot".into(),
            points: vec![point(0, &self.zero_shot)],
        });
        let shots = self.task.shots().iter().map(usize::to_string);
        Chart {
            title: self.task.title(self.classes),
            x: "labelled images per class".into(),
            y: "mean per-class accuracy (%)".into(),
            ticks: std::iter::once("0".into()).chain(shots).collect(),
            lines,
            level: None,
        }
    }

    fn json(&self) -> serde_json::Value {
        let learnt: serde_json::Map<String, serde_json::Value> = (self.learnt.iter())
            .map(|(method, by_shots)| (method.name().into(), json!(by_shots)))
            .collect();
        json!({
            "task": self.task.name(),
            "classes": self.classes,
            "test_pictures": self.tested,
            "shots": self.task.shots(),
            "zero_shot": self.zero_shot,
            "accuracies": learnt,
        })
    }
}
