//! Trainings from request to event, on the CPU with the bundled model.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use pollster::block_on;

use super::*;
use crate::engine::messages::{Export, PlannedSample, SampleId, TrainedPart};
use crate::engine::messages::{TrainingSettings, TrainingStep};
use crate::engine::testing::{bundled_engine, engine_of};
use crate::hub::{self, Bundled, Folder, ModelFiles};
use crate::model::Clip;
use crate::preprocess::decode;
use crate::train::MIXTURES;
use crate::zero_shot;

/// A worker that is none: what it keeps outlives it.
#[derive(Clone, Default)]
struct Memory {
    kept: Rc<RefCell<BTreeMap<String, Vec<u8>>>>,
    said: Rc<RefCell<Vec<TrainingEvent>>>,
    given: Rc<RefCell<Vec<Vec<u8>>>>,
    clock: Rc<Cell<f64>>,
    /// Folder of the model, if it is not the bundled one.
    folder: Option<PathBuf>,
    /// Whether nothing more can be stored.
    full: Rc<Cell<bool>>,
}

impl Host for Memory {
    type File = Vec<u8>;

    async fn read(&self, file: &Vec<u8>) -> Result<Vec<u8>, HostError> {
        Ok(file.clone())
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), HostError> {
        if self.full.get() {
            return Err(HostError::StorageFull);
        }
        self.kept.borrow_mut().insert(name.into(), bytes.into());
        Ok(())
    }

    async fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.kept.borrow().get(name).cloned()
    }

    async fn file(&self, name: &str) -> Option<Vec<u8>> {
        self.get(name).await
    }

    async fn delete(&self, name: &str) {
        self.kept.borrow_mut().remove(name);
    }

    async fn names(&self) -> Vec<String> {
        self.kept.borrow().keys().cloned().collect()
    }

    async fn model(&self, engine: &Engine) -> Result<Clip, HostError> {
        async fn load(files: &impl ModelFiles, engine: &Engine) -> Clip {
            let bundle = hub::open(files, None).await.unwrap();
            let target = hub::LoadTarget::default();
            let loaded = hub::load(files, &bundle, engine.device(), target, &mut |_| ()).await;
            loaded.unwrap().model
        }
        Ok(match &self.folder {
            None => load(&Bundled, engine).await,
            Some(folder) => load(&Folder::new(folder).unwrap(), engine).await,
        })
    }

    async fn model_file(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.folder.as_ref()?.join(name)).ok()
    }

    fn now(&self) -> f64 {
        // Every look takes a while, so that states are kept along the way.
        self.clock.set(self.clock.get() + 50.0);
        self.clock.get()
    }

    fn memory(&self, _: bool) -> Option<u64> {
        Some(1 << 30)
    }

    fn emit(&self, event: TrainingEvent, attachments: EventAttachments<Vec<u8>>) {
        self.said.borrow_mut().push(event);
        if let EventAttachments::Bytes(bytes) = attachments {
            *self.given.borrow_mut() = bytes;
        }
    }
}

impl Memory {
    fn steps(&self) -> Vec<TrainingStep> {
        let said = self.said.borrow();
        let steps = said.iter().filter_map(|event| match event {
            TrainingEvent::Step(step) => Some(*step),
            _ => None,
        });
        steps.collect()
    }

    fn outcome(&self) -> Outcome {
        let said = self.said.borrow();
        let found = said.iter().rev().find_map(|event| match event {
            TrainingEvent::Finished(outcome) => Some((**outcome).clone()),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("not finished: {:?}", said.last()))
    }
}

fn engine() -> Engine {
    block_on(bundled_engine())
}

/// What a project is kept under, once there is space.
#[test]
fn a_project_without_space_is_kept_later() {
    let host = Memory::default();
    let mut training = Training::new(host.clone());
    let handle = |training: &mut Training<_>, request| {
        block_on(training.handle(request, Vec::new(), None));
        block_on(host.get(PROJECT))
    };
    let keep = |project: &str| TrainingRequest::KeepProject {
        project: project.into(),
    };
    host.full.set(true);
    assert_eq!(handle(&mut training, keep("one")), None);
    assert_eq!(handle(&mut training, keep("two")), None);
    host.full.set(false);
    let remove = TrainingRequest::RemoveSamples { samples: vec![7] };
    assert_eq!(handle(&mut training, remove), Some(b"two".into()));
}

#[test]
fn files_are_stored_before_any_is_read() {
    let host = Memory::default();
    let mut samples = SampleStore::default();
    let broken = b"no image".to_vec();
    samples.add(vec![1, 2, 3], vec![picture(0, 0), broken, picture(1, 1)]);
    let names = |host: &Memory| block_on(host.names());
    for _ in 0..3 {
        assert!(block_on(samples.store_or_read_one(&host)));
    }
    assert_eq!(names(&host), ["sample-1", "sample-2", "sample-3"]);
    assert!(host.said.borrow().is_empty() && samples.unread());
    while block_on(samples.store_or_read_one(&host)) {}
    assert_eq!(names(&host), ["sample-1", "sample-3"], "what is no image");
    let said = host.said.borrow();
    let readings = said.iter().flat_map(|event| match event {
        TrainingEvent::SamplesRead { samples } => samples.clone(),
        other => panic!("{other:?}"),
    });
    let read: Vec<_> = (readings.map(|read| (read.sample, read.file.is_ok()))).collect();
    assert_eq!(read, [(1, true), (2, false), (3, true)]);
}

#[test]
fn what_could_not_be_stored_is_stored_once_there_is_space() {
    let host = Memory::default();
    let mut samples = SampleStore::default();
    let work = |samples: &mut SampleStore<_>| {
        while block_on(samples.store_or_read_one(&host)) {}
        block_on(host.names())
    };
    let warnings = || {
        let said = host.said.borrow();
        let is_warning = |event: &&TrainingEvent| matches!(event, TrainingEvent::Remark { .. });
        said.iter().filter(is_warning).count()
    };
    host.full.set(true);
    samples.add(vec![1, 2], vec![picture(0, 0), picture(0, 1)]);
    assert_eq!(work(&mut samples), [""; 0]);
    samples.add(vec![3], vec![picture(0, 2)]);
    assert_eq!(work(&mut samples), [""; 0]);
    assert_eq!(warnings(), 1);
    host.full.set(false);
    block_on(samples.remove(&host, vec![2]));
    samples.try_again();
    assert_eq!(work(&mut samples), ["sample-1", "sample-3"]);
    host.full.set(true);
    samples.add(vec![4], vec![picture(0, 3)]);
    work(&mut samples);
    assert_eq!(warnings(), 2, "it is full anew");
}

/// A disc or a bar on white, each a little different.
fn picture(class: u32, number: u32) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(48, 48, |x, y| {
        let (dx, dy) = (x as f32 - 24.0, y as f32 - 20.0 - number as f32);
        let inside = match class {
            0 => dx.hypot(dy) < 9.0 + number as f32,
            _ => dx.abs() < 20.0 && dy.abs() < 2.0 + number as f32 / 2.0,
        };
        match inside {
            true => image::Rgb([200 - 9 * number as u8, 30 + 80 * class as u8, 40]),
            false => image::Rgb([255; 3]),
        }
    });
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

const EACH: u32 = 8;

fn plan(method: Method) -> TrainingPlan {
    TrainingPlan {
        name: "shapes".into(),
        settings: TrainingSettings {
            method,
            held_out: 0.25,
            seed: 1,
            epochs: 4,
            batch_size: 6,
            micro_batch: 4,
            learning_rate: 1e-3,
            weight_decay: 0.1,
            warmup_steps: 2,
            rank: 4,
            alpha: 8.0,
            mlp: false,
            image_tower: TrainedPart::Whole,
            text_tower: TrainedPart::Last(1),
            temperature: true,
            gradient_checkpointing: false,
            width: 32,
            layers: 1,
        },
        classes: vec!["disc".into(), "bar".into()],
        templates: vec!["A drawing of a {label}.".into(), "{label}".into()],
        samples: (0..2 * EACH)
            .map(|sample| PlannedSample {
                sample,
                path: format!("{sample}.png"),
                class: Some(sample / EACH),
                captions: Vec::new(),
                held_out: sample % 4 == 3,
            })
            .collect(),
        problems: Vec::new(),
        notes: vec!["a note".into()],
    }
}

fn begun(engine: &Engine) -> (Training<Memory>, Memory) {
    begun_on(Memory::default(), engine)
}

fn begun_on(host: Memory, engine: &Engine) -> (Training<Memory>, Memory) {
    let mut training = Training::new(host.clone());
    block_on(training.begin(engine));
    let samples: Vec<SampleId> = (0..2 * EACH).collect();
    let files = samples
        .iter()
        .map(|s| picture(s / EACH, s % EACH))
        .collect();
    block_on(training.handle(TrainingRequest::AddSamples { samples }, files, None));
    (training, host)
}

fn ask(training: &mut Training<Memory>, request: TrainingRequest, engine: &mut Engine) {
    block_on(training.handle(request, Vec::new(), Some(engine)));
}

fn finish(training: &mut Training<Memory>, engine: &mut Engine) {
    while block_on(training.work(engine)) {}
}

#[test]
fn a_probe_and_an_adapter_are_trained_used_and_brought_back() {
    let mut engine = engine();
    for method in [Method::Probe, Method::Adapter] {
        let (mut training, host) = begun(&engine);
        ask(
            &mut training,
            TrainingRequest::Start { plan: plan(method) },
            &mut engine,
        );
        finish(&mut training, &mut engine);
        let outcome = host.outcome();
        assert_eq!(outcome.report.data.held_out, 4);
        assert!(outcome.report.notes.contains(&"a note".into()));
        assert_eq!(outcome.answers.len(), 4);
        let right = outcome
            .answers
            .iter()
            .filter(|a| a.truth == a.after)
            .count();
        assert_eq!(
            outcome.report.after.as_ref().map(|after| after.top_1),
            Some(right as f64 / 4.0)
        );
        assert_eq!(outcome.trained.exports, [Export::Head, Export::Onnx]);

        ask(
            &mut training,
            TrainingRequest::Use { trained: true },
            &mut engine,
        );
        let pixels = vec![0.5; engine.config().embed_dim];
        assert_eq!(training.rank(&pixels).map(|ranking| ranking.len()), Some(2));
        ask(
            &mut training,
            TrainingRequest::Export { what: Export::Head },
            &mut engine,
        );
        let file = host.given.borrow()[0].clone();
        let import = vec![file.clone()];
        block_on(training.handle(TrainingRequest::Import, import, Some(&mut engine)));
        let said = host.said.borrow();
        let imported = said.iter().any(
            |event| matches!(event, TrainingEvent::Imported(trained) if trained.method == method),
        );
        assert!(imported && training.rank(&pixels).is_none());
        drop(said);

        // Of a page of its own: used at once, and not kept.
        let use_head = |training: &mut Training<Memory>, engine: &mut Engine, file| {
            host.kept.borrow_mut().clear();
            host.said.borrow_mut().clear();
            let request = TrainingRequest::UseHead;
            block_on(training.handle(request, vec![file], Some(engine)));
            assert!(host.kept.borrow().is_empty());
            host.said.borrow()[..].to_vec()
        };
        let said = use_head(&mut training, &mut engine, file);
        assert!(
            matches!(&said[..], [TrainingEvent::InUse { trained: Some(trained), .. }] if trained.method == method)
        );
        assert!(training.rank(&pixels).is_some());
        let said = use_head(&mut training, &mut engine, b"no head".to_vec());
        assert!(matches!(&said[..], [TrainingEvent::ImportFailed { .. }]));
        assert!(training.rank(&pixels).is_none());
    }
}

#[test]
fn a_result_gives_way_to_a_projects_own_and_comes_back() {
    let mut engine = engine();
    let (mut training, host) = begun(&engine);
    let exchanged = |host: &Memory| {
        let said = host.said.borrow();
        let last = (said.iter().rev()).find_map(|event| match event {
            TrainingEvent::Exchanged(trained) => Some(trained.as_ref().map(|t| t.method)),
            _ => None,
        });
        last.unwrap_or_else(|| panic!("nothing was exchanged: {said:?}"))
    };
    let start = TrainingRequest::Start {
        plan: plan(Method::Probe),
    };
    ask(&mut training, start, &mut engine);
    finish(&mut training, &mut engine);
    ask(
        &mut training,
        TrainingRequest::ExportForProject,
        &mut engine,
    );
    let probe = host.given.borrow()[0].clone();
    let use_it = TrainingRequest::Use { trained: true };
    ask(&mut training, use_it.clone(), &mut engine);

    // A project without a result: none is in use, and none is kept.
    let open = || TrainingRequest::OpenTrained {
        classes: vec!["a".into(), "b".into()],
    };
    ask(&mut training, open(), &mut engine);
    assert_eq!(exchanged(&host), None);
    let pixels = vec![0.5; engine.config().embed_dim];
    assert!(training.rank(&pixels).is_none());
    let mut visit = Training::new(host.clone());
    block_on(visit.begin(&engine));
    let found = host.said.borrow().last().cloned();
    assert!(matches!(
        found,
        Some(TrainingEvent::Found { trained: None, .. })
    ));
    ask(&mut training, TrainingRequest::ReturnTrained, &mut engine);
    assert_eq!(exchanged(&host), Some(Method::Probe));
    ask(&mut training, use_it, &mut engine);
    assert!(training.rank(&pixels).is_some());

    // With one, also a LoRA, whose files do not name its classes; a broken one is none.
    let start = TrainingRequest::Start {
        plan: plan(Method::Lora),
    };
    ask(&mut training, start, &mut engine);
    finish(&mut training, &mut engine);
    ask(
        &mut training,
        TrainingRequest::ExportForProject,
        &mut engine,
    );
    let lora = host.given.borrow().clone();
    assert_eq!(lora.len(), 2);
    let mut open_with = |files| block_on(training.handle(open(), files, Some(&mut engine)));
    open_with(vec![probe]);
    assert_eq!(exchanged(&host), Some(Method::Probe));
    open_with(lora);
    let said = host.said.borrow().last().cloned();
    let Some(TrainingEvent::Exchanged(Some(trained))) = said else {
        panic!("{said:?}");
    };
    assert_eq!((trained.method, trained.classes.len()), (Method::Lora, 2));
    open_with(vec![b"no head".to_vec()]);
    assert_eq!(exchanged(&host), None);
    assert!((host.said.borrow().iter()).any(|e| matches!(e, TrainingEvent::ImportFailed { .. })));
    ask(&mut training, TrainingRequest::ReturnTrained, &mut engine);
    assert_eq!(exchanged(&host), Some(Method::Lora));
    ask(&mut training, TrainingRequest::ForgetAside, &mut engine);
    ask(&mut training, TrainingRequest::ReturnTrained, &mut engine);
    assert_eq!(exchanged(&host), None);
    let said = host.said.borrow();
    assert!(
        said.iter()
            .any(|event| matches!(event, TrainingEvent::Remark { .. }))
    );
}

#[test]
fn a_run_that_breaks_off_goes_on_as_if_it_had_not() {
    let mut engine = engine();
    for method in [Method::Lora, Method::Full, Method::Pretrain] {
        let (mut whole, unbroken) = begun(&engine);
        ask(
            &mut whole,
            TrainingRequest::Start { plan: plan(method) },
            &mut engine,
        );
        finish(&mut whole, &mut engine);
        let expected = unbroken.steps();
        assert!(expected.len() >= 6, "{} steps", expected.len());

        let (mut first, host) = begun(&engine);
        ask(
            &mut first,
            TrainingRequest::Start { plan: plan(method) },
            &mut engine,
        );
        while host.steps().len() < 3 {
            assert!(block_on(first.work(&mut engine)));
        }
        ask(&mut first, TrainingRequest::Pause, &mut engine);
        assert!(!block_on(first.work(&mut engine)), "paused");
        drop(first);

        // Another visit, with what the first one kept.
        let mut second = Training::new(host.clone());
        block_on(second.begin(&engine));
        let found = host.said.borrow().last().cloned();
        let Some(TrainingEvent::Found {
            samples,
            interrupted,
            ..
        }) = found
        else {
            panic!("{found:?}");
        };
        assert_eq!(samples.len(), 16);
        assert_eq!(interrupted.map(|run| run.step), Some(host.steps()[2].step));
        ask(&mut second, TrainingRequest::Resume, &mut engine);
        finish(&mut second, &mut engine);
        let steps = host.steps();
        assert_eq!(steps.len(), expected.len(), "{method}");
        for (step, expected) in steps.iter().zip(&expected) {
            assert_eq!(step.step, expected.step);
            let off = (step.loss - expected.loss).abs();
            assert!(off < 1e-5, "{method}: {step:?}, not {expected:?}");
        }
        let (broken, unbroken) = (host.outcome(), unbroken.outcome());
        assert_eq!(broken.answers.len(), 4);
        assert_eq!(
            broken.answers.iter().map(|a| a.after).collect::<Vec<_>>(),
            unbroken.answers.iter().map(|a| a.after).collect::<Vec<_>>()
        );
        assert_eq!(broken.report.curves[0].points.len(), expected.len());
        assert!(
            !host.kept.borrow().contains_key("run-0"),
            "nothing to resume any more"
        );

        // It answers, gives way again, and survives another visit.
        let [before, during] = [false, true].map(|trained| {
            ask(&mut second, TrainingRequest::Use { trained }, &mut engine);
            block_on(engine.classifier(&["disc".into()], &["{label}".into()])).unwrap()
        });
        assert_ne!(before, during, "{method}");
        ask(
            &mut second,
            TrainingRequest::Use { trained: false },
            &mut engine,
        );
        let back = block_on(engine.classifier(&["disc".into()], &["{label}".into()])).unwrap();
        assert_eq!(before, back);
        let what = Export::OpenClip;
        ask(&mut second, TrainingRequest::Export { what }, &mut engine);
        let before_visit = host.given.borrow().clone();
        let mut third = Training::new(host.clone());
        block_on(third.begin(&engine));
        ask(&mut third, TrainingRequest::Export { what }, &mut engine);
        assert_eq!(*host.given.borrow(), before_visit);
    }
}

/// SigLIP and Chinese-CLIP are tuned, answer, and are taken away as files that give the same answers.
#[test]
fn other_families_are_tuned_and_opened_again() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models");
    for (name, label, exports) in [
        ("siglip-f32", "disc", &[Export::HuggingFace][..]),
        ("chinese-clip-f32", "猫", &[Export::HuggingFace]),
        ("metaclip2-f32", "disc", &[Export::HuggingFace]),
        ("openclip-variants-f32", "disc", &[Export::OpenClip]),
        (
            "openclip-quick-f32",
            "disc",
            &[Export::HuggingFace, Export::OpenClip],
        ),
    ] {
        let folder = models.join(name);
        let mut engine = block_on(engine_of(&Folder::new(&folder).unwrap()));
        let independent = engine.model_info().independent;
        for method in [Method::Lora, Method::Full] {
            let host = Memory {
                folder: Some(folder.clone()),
                ..Memory::default()
            };
            let (mut training, host) = begun_on(host, &engine);
            let mut plan = plan(method);
            plan.classes[0] = label.into();
            plan.settings.text_tower = TrainedPart::Whole;
            let start = TrainingRequest::Start { plan };
            ask(&mut training, start, &mut engine);
            finish(&mut training, &mut engine);
            let outcome = host.outcome();
            assert_eq!(outcome.answers.len(), 4, "{name}");
            let whole = (outcome.trained.exports.iter()).filter(|what| **what != Export::Lora);
            assert_eq!(whole.copied().collect::<Vec<_>>(), exports, "{name}");

            // A later visit.
            let mut training = Training::new(host.clone());
            block_on(training.begin(&engine));
            let answers = |engine: &mut Engine| {
                let pixels = engine.pixels(&decode(&picture(0, 3)).unwrap());
                let image = block_on(engine.image_features(&[pixels])).unwrap().concat();
                let labels = [label.into(), "bar".into()];
                let classes = block_on(engine.classifier(&labels, &["{label}".into()])).unwrap();
                zero_shot::probabilities(&image, &classes, engine.scoring())
            };
            let before = answers(&mut engine);
            let using = |trained| TrainingRequest::Use { trained };
            ask(&mut training, using(true), &mut engine);
            let trained = answers(&mut engine);
            assert_ne!(before, trained, "{name}");
            assert_eq!(engine.model_info().independent, independent);
            ask(&mut training, using(false), &mut engine);
            assert_eq!(before, answers(&mut engine), "{name}");

            for what in exports.iter().copied() {
                ask(&mut training, TrainingRequest::Export { what }, &mut engine);
                let exported = tempfile::tempdir().unwrap();
                let said = host.said.borrow();
                let Some(TrainingEvent::Exported { files: names }) = said.last() else {
                    panic!("{name}: {:?}", said.last());
                };
                for (file, bytes) in names.iter().zip(&*host.given.borrow()) {
                    fs::write(exported.path().join(file), bytes).unwrap();
                }
                let files = Folder::new(exported.path()).unwrap();
                let again = answers(&mut block_on(engine_of(&files)));
                for (again, trained) in again.iter().zip(&trained) {
                    assert!((again - trained).abs() < 1e-5, "{name}: {again}, {trained}");
                }
            }
        }
    }
}

#[test]
fn trained_and_original_weights_are_mixed() {
    let mut engine = engine();
    for method in [Method::Lora, Method::Full] {
        let (mut training, host) = begun(&engine);
        ask(
            &mut training,
            TrainingRequest::Start { plan: plan(method) },
            &mut engine,
        );
        finish(&mut training, &mut engine);
        let report = host.outcome().report;
        let curve = (report.curves.iter().find(|curve| curve.name == MIXTURES)).unwrap();
        let shares: Vec<f64> = curve.points.iter().map(|point| point[0]).collect();
        assert_eq!(shares, [0.0, 0.25, 0.5, 0.75, 1.0], "{method}");
        assert_eq!(curve.points[0][1], report.before.unwrap().top_1);
        assert_eq!(curve.points[4][1], report.after.unwrap().top_1);

        // From the original's features to the trained one's, also while it is in use.
        ask(
            &mut training,
            TrainingRequest::Use { trained: true },
            &mut engine,
        );
        let mut features = |share: f64| {
            ask(&mut training, TrainingRequest::Mix { share }, &mut engine);
            block_on(engine.classifier(&["disc".into()], &["{label}".into()])).unwrap()
        };
        let [trained, half, none] = [1.0, 0.5, 0.0].map(&mut features);
        assert!(
            trained != half && half != none && trained != none,
            "{method}"
        );
        ask(
            &mut training,
            TrainingRequest::Use { trained: false },
            &mut engine,
        );
        let original = block_on(engine.classifier(&["disc".into()], &["{label}".into()])).unwrap();
        let off = |a: &[Vec<f32>], b: &[Vec<f32>]| {
            let pairs = a[0].iter().zip(&b[0]);
            pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        assert!(
            off(&none, &original) < 1e-4,
            "{method}: {}",
            off(&none, &original)
        );

        // Half an adapter, as PEFT applies it, is the half mixture.
        if method == Method::Lora {
            let alpha = |share: f64, training: &mut Training<Memory>, engine: &mut Engine| {
                ask(training, TrainingRequest::Mix { share }, engine);
                ask(
                    training,
                    TrainingRequest::Export { what: Export::Lora },
                    engine,
                );
                let config: serde_json::Value =
                    serde_json::from_slice(&host.given.borrow()[1]).unwrap();
                config["lora_alpha"].as_f64().unwrap()
            };
            let whole = alpha(1.0, &mut training, &mut engine);
            assert_eq!(alpha(0.5, &mut training, &mut engine), whole / 2.0);
        }
    }
}

#[test]
fn stopped_runs_leave_nothing_or_what_was_learnt() {
    let mut engine = engine();
    let (mut training, host) = begun(&engine);
    ask(
        &mut training,
        TrainingRequest::Start {
            plan: plan(Method::Lora),
        },
        &mut engine,
    );
    while host.steps().is_empty() {
        block_on(training.work(&mut engine));
    }
    ask(&mut training, TrainingRequest::Pause, &mut engine);
    ask(
        &mut training,
        TrainingRequest::Stop { discard: true },
        &mut engine,
    );
    assert!(!training.busy());
    assert!(
        !host
            .kept
            .borrow()
            .keys()
            .any(|name| name.starts_with("run"))
    );

    ask(
        &mut training,
        TrainingRequest::Start {
            plan: plan(Method::Lora),
        },
        &mut engine,
    );
    let before = host.steps().len();
    while host.steps().len() < before + 2 {
        block_on(training.work(&mut engine));
    }
    ask(
        &mut training,
        TrainingRequest::Stop { discard: false },
        &mut engine,
    );
    finish(&mut training, &mut engine);
    assert!(
        host.outcome()
            .report
            .notes
            .iter()
            .any(|note| note.contains("stopped after"))
    );
}

#[test]
fn what_does_not_fit_is_told_before() {
    let mut engine = engine();
    let (mut training, host) = begun(&engine);
    let mut settings = plan(Method::Full).settings;
    (settings.batch_size, settings.micro_batch) = (100_000, 100_000);
    let request = TrainingRequest::Estimate {
        settings,
        train: 12,
        held_out: 4,
    };
    ask(&mut training, request, &mut engine);
    let said = host.said.borrow();
    let Some(TrainingEvent::Estimated(estimate)) = said.last() else {
        panic!("{:?}", said.last());
    };
    assert!(estimate.too_large && estimate.memory_bytes > 1 << 30);
    assert!(
        estimate
            .smaller
            .is_some_and(|smaller| (1..100_000).contains(&smaller))
    );
}

/// Steps until so many are done, and pauses, which stores a checkpoint.
fn pause_after(steps: usize, training: &mut Training<Memory>, host: &Memory, engine: &mut Engine) {
    while host.steps().len() < steps {
        assert!(block_on(training.work(engine)));
    }
    ask(training, TrainingRequest::Pause, engine);
}

/// Names of the checkpoint's metadata and of its state, the latest first.
fn slots(host: &Memory) -> Vec<(String, String)> {
    let kept = host.kept.borrow();
    let mut slots: Vec<(f64, String, String)> = (["run-0", "run-1"].into_iter())
        .filter_map(|name| {
            let run: serde_json::Value = serde_json::from_slice(kept.get(name)?).unwrap();
            let state = format!("state-{}", run["place"]);
            Some((run["kept_ms"].as_f64().unwrap(), name.into(), state))
        })
        .collect();
    slots.sort_by(|a, b| b.0.total_cmp(&a.0));
    (slots.into_iter())
        .map(|(_, run, state)| (run, state))
        .collect()
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_older_one() {
    let mut engine = engine();
    let (mut first, host) = begun(&engine);
    let start = TrainingRequest::Start {
        plan: plan(Method::Lora),
    };
    ask(&mut first, start, &mut engine);
    pause_after(2, &mut first, &host, &mut engine);
    ask(&mut first, TrainingRequest::Resume, &mut engine);
    pause_after(4, &mut first, &host, &mut engine);
    drop(first);
    let damage = |state: &str| {
        let mut kept = host.kept.borrow_mut();
        let bytes = kept.get_mut(state).unwrap();
        let last = bytes.len() - 9;
        bytes[last] ^= 1;
    };
    let found = slots(&host);
    assert_eq!(found.len(), 2);
    damage(&found[0].1);
    let resumed_from = host.steps()[1].step;
    let later = host.steps()[3].step;
    let stored = host.kept.borrow().clone();

    let mut second = Training::new(host.clone());
    block_on(second.begin(&engine));
    ask(&mut second, TrainingRequest::Resume, &mut engine);
    let remark = format!(
        "The checkpoint of step {later} cannot be used (the checkpoint is damaged). Training was \
         resumed from step {resumed_from}."
    );
    let is_said =
        |event: &TrainingEvent| matches!(event, TrainingEvent::Remark { text } if *text == *remark);
    assert!(
        host.said.borrow().iter().any(is_said),
        "{:?}",
        host.said.borrow()
    );
    finish(&mut second, &mut engine);
    let (again, before) = (host.steps()[4], host.steps()[2]);
    assert_eq!(again.step, before.step);
    assert!(
        (again.loss - before.loss).abs() < 1e-5,
        "{again:?}, not {before:?}"
    );
    host.outcome();

    // Both damaged: there is nothing to go on from.
    *host.kept.borrow_mut() = stored;
    damage(&found[1].1);
    let mut third = Training::new(host.clone());
    block_on(third.begin(&engine));
    ask(&mut third, TrainingRequest::Resume, &mut engine);
    let last = host.said.borrow().last().cloned();
    let Some(TrainingEvent::Failed { error }) = last else {
        panic!("{last:?}");
    };
    assert_eq!(error, "the checkpoint is damaged: start the training again");
}

#[test]
fn checkpoints_of_earlier_versions_are_resumed() {
    let mut engine = engine();
    let (mut first, host) = begun(&engine);
    let start = TrainingRequest::Start {
        plan: plan(Method::Lora),
    };
    ask(&mut first, start, &mut engine);
    pause_after(2, &mut first, &host, &mut engine);
    drop(first);
    let (run, _) = slots(&host).remove(0);
    let mut metadata: serde_json::Value =
        serde_json::from_slice(&host.kept.borrow()[&run]).unwrap();
    assert!(
        metadata
            .as_object_mut()
            .unwrap()
            .remove("state_crc")
            .is_some()
    );
    let bytes = serde_json::to_vec(&metadata).unwrap();
    host.kept.borrow_mut().insert(run, bytes);
    let mut second = Training::new(host.clone());
    block_on(second.begin(&engine));
    ask(&mut second, TrainingRequest::Resume, &mut engine);
    finish(&mut second, &mut engine);
    host.outcome();
}

#[test]
fn what_cannot_teach_is_refused_and_deletes_nothing() {
    let mut engine = engine();
    let (mut training, host) = begun(&engine);
    let start = |plan| TrainingRequest::Start { plan };
    ask(&mut training, start(plan(Method::Lora)), &mut engine);
    pause_after(2, &mut training, &host, &mut engine);
    let kept = slots(&host);
    type Change = fn(&mut TrainingSettings);
    let changes: [(Change, &str); 9] = [
        (|s| s.batch_size = 1, "batch size must be at least 2, not 1"),
        (|s| s.batch_size = 0, "batch size must be at least 2, not 0"),
        (|s| s.micro_batch = 0, "micro-batch must be at least 1"),
        (
            |s| s.epochs = 0,
            "number of epochs must be at least 1, not 0",
        ),
        (|s| s.rank = 0, "LoRA rank must be at least 1"),
        (
            |s| s.alpha = f64::NAN,
            "alpha must be a number above 0, not NaN",
        ),
        (
            |s| s.learning_rate = f64::NAN,
            "learning rate must be a number above 0, not NaN",
        ),
        (
            |s| s.learning_rate = -1e-3,
            "learning rate must be a number above 0, not -0.001",
        ),
        (
            |s| s.weight_decay = f64::NAN,
            "weight decay must be a number from 0 on, not NaN",
        ),
    ];
    for (change, expected) in changes {
        let mut plan = plan(Method::Lora);
        change(&mut plan.settings);
        ask(&mut training, start(plan), &mut engine);
        let last = host.said.borrow().last().cloned();
        let Some(TrainingEvent::Failed { error }) = last else {
            panic!("{last:?}");
        };
        assert!(error.text().contains(expected), "{error}");
        assert_eq!(slots(&host), kept);
    }
    let mut few = plan(Method::Lora);
    few.samples.truncate(1);
    ask(&mut training, start(few), &mut engine);
    let last = host.said.borrow().last().cloned();
    assert!(
        matches!(&last, Some(TrainingEvent::Failed { error }) if error.text().contains("at least 2 are needed")),
        "{last:?}"
    );
}

#[test]
fn a_run_without_a_step_says_that_nothing_was_learnt() {
    let mut engine = engine();
    // One caption for all: there is nothing to tell apart.
    let (mut training, host) = begun(&engine);
    let mut same = plan(Method::Lora);
    same.classes.clear();
    for sample in &mut same.samples {
        sample.class = None;
        sample.captions = vec!["a drawing".into()];
    }
    ask(
        &mut training,
        TrainingRequest::Start { plan: same },
        &mut engine,
    );
    finish(&mut training, &mut engine);
    let report = host.outcome().report;
    assert_eq!(report.images_per_second, 0.0);
    let told = |note: &String| note.starts_with("nothing was learnt: in each of the 8 batches");
    assert!(report.notes.iter().any(told), "{:?}", report.notes);
    assert!(report.notes.contains(&"a note".into()));

    // Stopped before the first step: the model and its temperature are those of before.
    for method in [Method::Lora, Method::Pretrain] {
        let (mut training, host) = begun(&engine);
        let start = TrainingRequest::Start { plan: plan(method) };
        ask(&mut training, start, &mut engine);
        let stop = TrainingRequest::Stop { discard: false };
        ask(&mut training, stop, &mut engine);
        finish(&mut training, &mut engine);
        assert!(host.steps().is_empty());
        let outcome = host.outcome();
        let (before, after) = (
            outcome.report.before.unwrap(),
            outcome.report.after.unwrap(),
        );
        assert_eq!(before.top_1, after.top_1, "{method}");
        assert!((outcome.answers.iter()).all(|answer| answer.before == answer.after));
        let least = outcome
            .answers
            .iter()
            .map(|a| a.probability)
            .fold(1.0, f32::min);
        assert!(least > 0.5, "one of two: {least}");
        let told = |note: &String| note.contains("nothing was learnt");
        assert!(outcome.report.notes.iter().any(told));
    }
}

#[test]
fn pre_training_begins_with_the_accuracy_of_the_new_model() {
    let mut engine = engine();
    let (mut training, host) = begun(&engine);
    let start = TrainingRequest::Start {
        plan: plan(Method::Pretrain),
    };
    ask(&mut training, start, &mut engine);
    finish(&mut training, &mut engine);
    let report = host.outcome().report;
    let accuracy = report.curves.iter().find(|c| c.name == "accuracy").unwrap();
    assert_eq!(accuracy.points[0], [0.0, report.before.unwrap().top_1]);
}
