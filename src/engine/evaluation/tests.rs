//! An evaluation in small units of work, as a worker does it, against the same with an
//! engine at hand.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::rc::Rc;

use pollster::block_on;

use super::job::{DataFolder, Evaluations};
use super::kept::Storage;
use super::*;
use crate::data::InMemory;
use crate::engine::Engine;
use crate::engine::messages::{EvaluationEvent, EvaluationOutcome, EvaluationRequest};
use crate::engine::testing::bundled_engine;
use crate::eval::{FewShotMethod, Limit};
use crate::zero_shot::DEFAULT_TEMPLATE;

impl DataFolder for InMemory {
    type File = Vec<u8>;

    async fn open(
        name: String,
        paths: Vec<String>,
        files: Vec<Vec<u8>>,
    ) -> Result<Self, DataError> {
        let files = paths.into_iter().zip(files).collect();
        Ok(Self { name, files })
    }
}

const EACH: u32 = 6;

/// Pictures of two colours, a part of them in folders `train` and `test` if `parts`.
fn pictures(parts: bool) -> (Vec<String>, Vec<Vec<u8>>) {
    let mut all = Vec::new();
    for (class, colour) in ["red", "green"].iter().zip([[220, 10, 10], [10, 170, 20]]) {
        for number in 0..EACH {
            let shade = colour.map(|value: u8| value.saturating_add(4 * number as u8));
            let mut bytes = Cursor::new(Vec::new());
            image::RgbImage::from_pixel(20 + number, 30, image::Rgb(shade))
                .write_to(&mut bytes, image::ImageFormat::Png)
                .unwrap();
            let part = match (parts, number % 2) {
                (false, _) => "",
                (true, 0) => "test/",
                (true, _) => "train/",
            };
            all.push((format!("{part}{class}/{number}.png"), bytes.into_inner()));
        }
    }
    all.into_iter().unzip()
}

/// Storage that outlives a worker.
#[derive(Clone, Default)]
struct Disk {
    files: Rc<RefCell<BTreeMap<String, Vec<u8>>>>,
    full: Rc<Cell<bool>>,
    /// Another tab has the lock.
    taken: Rc<Cell<bool>>,
}

impl Storage for Disk {
    async fn hold(&self) -> bool {
        !self.taken.get()
    }

    fn release(&self) {}

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Diagnostic> {
        if self.full.get() {
            return Err("full".into());
        }
        self.files.borrow_mut().insert(name.into(), bytes.into());
        Ok(())
    }

    async fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.files.borrow().get(name).cloned()
    }

    async fn delete(&self, name: &str) {
        self.files.borrow_mut().remove(name);
    }

    async fn names(&self) -> Vec<String> {
        self.files.borrow().keys().cloned().collect()
    }
}

/// A worker that has nothing else to do.
struct Worker {
    engine: Engine,
    evaluations: Evaluations<InMemory, Disk>,
    said: Rc<RefCell<Vec<EvaluationEvent>>>,
}

impl Worker {
    fn new() -> Self {
        Self::with(Disk::default())
    }

    /// A worker of a later visit.
    fn with(disk: Disk) -> Self {
        let said: Rc<RefCell<Vec<EvaluationEvent>>> = Rc::default();
        let sink = said.clone();
        Self {
            engine: block_on(bundled_engine()),
            evaluations: Evaluations::new(
                Rc::new(move |event| sink.borrow_mut().push(event)),
                || 0.0,
                disk,
            ),
            said,
        }
    }

    fn ask(&mut self, request: EvaluationRequest, files: Vec<Vec<u8>>) {
        block_on(
            self.evaluations
                .handle(request, files, Some(&mut self.engine)),
        );
    }

    fn open(&mut self, (paths, files): (Vec<String>, Vec<Vec<u8>>)) {
        let request = EvaluationRequest::Open {
            name: "colours".into(),
            paths,
            templates: vec![DEFAULT_TEMPLATE.into()],
            class_names: Vec::new(),
        };
        self.ask(request, files);
    }

    /// Works to the end; returns the number of units and the last event.
    fn work(&mut self) -> (usize, EvaluationEvent) {
        let mut units = 0;
        while block_on(self.evaluations.work(&mut self.engine)) {
            units += 1;
        }
        (units, self.said.borrow().last().unwrap().clone())
    }

    fn outcome(&mut self) -> EvaluationOutcome {
        match self.work().1 {
            EvaluationEvent::Evaluated(outcome) => *outcome,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn small_units_give_what_an_engine_at_hand_gives() {
    let mut worker = Worker::new();
    worker.open(pictures(false));
    let found = worker.outcome();
    assert_eq!(found.images.len(), 12);
    assert_eq!(found.report.data, "colours");

    let (paths, bytes) = pictures(false);
    let files = block_on(InMemory::open("colours".into(), paths, bytes)).unwrap();
    let templates = [DEFAULT_TEMPLATE.to_owned()];
    let mut engine = block_on(bundled_engine());
    let (set, features) = block_on(async {
        let dataset = open(&files, None, false).await.unwrap();
        let engines = std::slice::from_mut(&mut engine);
        EvaluationSet::encode(&files, dataset, 0, engines, &mut async |_, _, _| ())
            .await
            .unwrap()
    });
    let evaluated =
        block_on(set.evaluate(&mut engine, &features[0], "colours", &templates)).unwrap();
    assert_eq!(evaluated.report.metrics, found.report.metrics);
    let answers: Vec<usize> = found.images.iter().map(|i| i.answer as usize).collect();
    assert_eq!(evaluated.answers, answers);

    let sets = vec![
        ("label only".to_owned(), vec!["{label}".to_owned()]),
        ("photo".to_owned(), templates.to_vec()),
    ];
    worker.ask(
        EvaluationRequest::Prompts { sets: sets.clone() },
        Vec::new(),
    );
    let (comparison, _) =
        block_on(set.compare_prompts(&mut engine, &features[0], &sets, &templates)).unwrap();
    assert_eq!(
        worker.work().1,
        EvaluationEvent::Prompts {
            comparison,
            notes: Vec::new()
        }
    );

    let shots = vec![Some(1), None];
    worker.ask(EvaluationRequest::Shots { shots, draws: 2 }, Vec::new());
    let settings = FewShotSettings {
        shots: vec![Some(1), None],
        draws: 2,
        seed: 0,
        methods: FewShotMethod::ALL.to_vec(),
    };
    let curve = block_on(set.learn(
        &features[0],
        &evaluated.classifier,
        engine.scoring().scale(),
        &settings,
        &mut async |_, _, _| (),
    ))
    .unwrap();
    assert_eq!(worker.work().1, EvaluationEvent::Shots(curve));

    let tried = Tried {
        set: &set,
        files: Some(&files),
        features: &features[0],
        classifier: &evaluated.classifier,
        right: &evaluated.right,
    };
    for limit in [Limit::Negation, Limit::WrittenWords, Limit::LeftAndRight] {
        worker.ask(EvaluationRequest::Limit(limit), Vec::new());
        let result = block_on(tried.result(limit, &mut engine, &mut async |_, _, _| ())).unwrap();
        assert_eq!(worker.work().1, EvaluationEvent::Limit(result.unwrap()));
    }

    let paths = vec![found.images[0].path.clone(), "gone.png".into()];
    worker.ask(EvaluationRequest::Pictures { paths }, Vec::new());
    let EvaluationEvent::Pictures(pictures) = worker.work().1 else {
        panic!("no pictures");
    };
    assert_eq!(pictures.len(), 1);
    assert!(pictures[0].1.starts_with("data:image/png;base64,"));
}

#[test]
fn known_images_are_not_encoded_again_and_the_part_to_learn_from_is_read_for_shots() {
    let mut worker = Worker::new();
    worker.open(pictures(true));
    let first = worker.outcome();
    assert_eq!(first.images.len(), 6, "the test part");
    worker.open(pictures(true));
    let (again, _) = worker.work();
    worker.evaluations.model_changed(true);
    assert_eq!(worker.said.borrow().last(), Some(&EvaluationEvent::Closed));
    worker.open(pictures(true));
    let (units, event) = worker.work();
    assert!(
        units > again,
        "{units} units anew, {again} with known images"
    );
    let EvaluationEvent::Evaluated(tuned) = event else {
        panic!("{event:?}");
    };
    assert!(tuned.report.model.ends_with("trained here"));
    assert_eq!(tuned.report.metrics, first.report.metrics);

    let shots = vec![Some(1)];
    worker.ask(EvaluationRequest::Shots { shots, draws: 1 }, Vec::new());
    let EvaluationEvent::Shots(curve) = worker.work().1 else {
        panic!("no curve");
    };
    assert_eq!((curve.pool, curve.tested), (6, 6));
}

#[test]
fn work_is_paused_and_ended_and_failures_are_told() {
    let mut worker = Worker::new();
    let shots = || EvaluationRequest::Shots {
        shots: vec![Some(1)],
        draws: 1,
    };
    worker.ask(shots(), Vec::new());
    let failure = |worker: &Worker| match worker.said.borrow().last() {
        Some(EvaluationEvent::Failed { error }) => error.clone(),
        other => panic!("{other:?}"),
    };
    assert!(failure(&worker).text().contains("choose some first"));

    worker.open(pictures(false));
    worker.ask(EvaluationRequest::Pause(true), Vec::new());
    assert!(!block_on(worker.evaluations.work(&mut worker.engine)));
    worker.ask(EvaluationRequest::Pause(false), Vec::new());
    assert!(block_on(worker.evaluations.work(&mut worker.engine)));
    worker.ask(EvaluationRequest::Cancel, Vec::new());
    assert_eq!(worker.work(), (0, EvaluationEvent::Cancelled));

    let (mut paths, files) = pictures(false);
    paths.retain(|path| path.starts_with("red"));
    worker.open((paths, files));
    worker.work();
    assert!(
        failure(&worker).text().contains("only \"red\""),
        "{}",
        failure(&worker)
    );
    let noise = vec![vec![7; 50]; 2];
    worker.open((vec!["a/1.png".into(), "b/2.png".into()], noise));
    worker.work();
    assert!(
        failure(&worker).text().contains("not a readable image"),
        "{}",
        failure(&worker)
    );
    let request = EvaluationRequest::Open {
        name: "colours".into(),
        paths: pictures(false).0,
        templates: vec!["a colour".into()],
        class_names: Vec::new(),
    };
    worker.ask(request, pictures(false).1);
    worker.work();
    assert!(
        failure(&worker).text().contains("{label}"),
        "{}",
        failure(&worker)
    );
}

fn restore() -> EvaluationRequest {
    EvaluationRequest::Restore {
        templates: vec![DEFAULT_TEMPLATE.into()],
        class_names: Vec::new(),
    }
}

#[test]
fn a_later_visit_goes_on_where_an_earlier_one_ended() {
    let disk = Disk::default();
    let mut worker = Worker::with(disk.clone());
    worker.open(pictures(false));
    let found = worker.outcome();
    worker.ask(EvaluationRequest::Keep("state".into()), Vec::new());
    let sets = vec![("label only".to_owned(), vec!["{label}".to_owned()])];
    let prompts = EvaluationRequest::Prompts { sets };
    worker.ask(prompts.clone(), Vec::new());
    let (_, compared) = worker.work();
    let shots = EvaluationRequest::Shots {
        shots: vec![Some(1)],
        draws: 1,
    };
    worker.ask(shots.clone(), Vec::new());
    let (_, learnt) = worker.work();

    let mut later = Worker::with(disk.clone());
    later.ask(EvaluationRequest::Kept, Vec::new());
    let said = later.said.borrow().last().cloned();
    assert_eq!(said, Some(EvaluationEvent::Kept(Some("state".into()))));
    later.ask(restore(), Vec::new());
    assert_eq!(later.work().1, EvaluationEvent::Restored);
    later.ask(prompts, Vec::new());
    assert_eq!(later.work().1, compared);
    later.ask(shots, Vec::new());
    assert_eq!(later.work().1, learnt);
    let templates = vec!["{label}".to_owned()];
    later.ask(
        EvaluationRequest::Evaluate {
            templates,
            class_names: Vec::new(),
        },
        Vec::new(),
    );
    assert_eq!(later.outcome().images.len(), found.images.len());
    // What needs the images says so.
    later.ask(EvaluationRequest::Limit(Limit::WrittenWords), Vec::new());
    let EvaluationEvent::Failed { error } = later.work().1 else {
        panic!("tried without images");
    };
    assert!(error.text().contains("choose them again"), "{error}");
    let paths = vec![found.images[0].path.clone()];
    later.ask(EvaluationRequest::Pictures { paths }, Vec::new());
    assert_eq!(later.work().1, EvaluationEvent::Pictures(Vec::new()));
    // The same images are not encoded again.
    later.open(pictures(false));
    let (known, event) = later.work();
    let EvaluationEvent::Evaluated(again) = event else {
        panic!("{event:?}");
    };
    assert_eq!(again.report.metrics, found.report.metrics);
    let mut fresh = Worker::new();
    fresh.open(pictures(false));
    assert!(fresh.work().0 > known);

    later.ask(EvaluationRequest::Close, Vec::new());
    assert!(disk.files.borrow().is_empty());
}

#[test]
fn an_interrupted_evaluation_keeps_what_was_encoded() {
    let disk = Disk::default();
    let mut worker = Worker::with(disk.clone());
    worker.open(pictures(false));
    let chunks = || {
        disk.files
            .borrow()
            .keys()
            .filter(|name| name.starts_with("features"))
            .count()
    };
    while chunks() == 0 {
        assert!(block_on(worker.evaluations.work(&mut worker.engine)));
    }
    drop(worker);
    let mut later = Worker::with(disk.clone());
    later.ask(restore(), Vec::new());
    let failure = |worker: &Worker| match worker.said.borrow().last() {
        Some(EvaluationEvent::Failed { error }) => error.clone(),
        other => panic!("{other:?}"),
    };
    assert!(
        failure(&later).text().contains("incomplete"),
        "{}",
        failure(&later)
    );
    later.open(pictures(false));
    let (rest, event) = later.work();
    let EvaluationEvent::Evaluated(found) = event else {
        panic!("{event:?}");
    };
    let mut fresh = Worker::new();
    fresh.open(pictures(false));
    let (all, event) = fresh.work();
    let EvaluationEvent::Evaluated(whole) = event else {
        panic!("{event:?}");
    };
    assert!(rest < all, "{rest} units of {all}");
    assert_eq!(found.report.metrics, whole.report.metrics);
    assert_eq!(found.images, whole.images);
}

#[test]
fn damage_a_full_storage_and_another_tab_lose_nothing_else() {
    let disk = Disk::default();
    let mut worker = Worker::with(disk.clone());
    worker.open(pictures(false));
    let found = worker.outcome();
    for bytes in disk.files.borrow_mut().values_mut() {
        let half = bytes.len() / 2;
        bytes.truncate(half);
    }
    let mut later = Worker::with(disk.clone());
    later.ask(restore(), Vec::new());
    assert!(matches!(
        later.said.borrow().last(),
        Some(EvaluationEvent::Failed { .. })
    ));
    later.open(pictures(false));
    assert_eq!(later.outcome().report.metrics, found.report.metrics);
    // Written anew.
    let mut after = Worker::with(disk.clone());
    after.ask(restore(), Vec::new());
    assert_eq!(after.work().1, EvaluationEvent::Restored);

    let not_kept = |worker: &Worker| {
        let said = worker.said.borrow();
        let told = said.iter().filter_map(|event| match event {
            EvaluationEvent::NotKept { error } => Some(error.to_string()),
            _ => None,
        });
        told.collect::<Vec<String>>()
    };
    let full = Disk::default();
    full.full.set(true);
    let mut worker = Worker::with(full);
    worker.open(pictures(false));
    assert_eq!(worker.outcome().report.metrics, found.report.metrics);
    assert!(not_kept(&worker).contains(&"full".to_owned()));

    let before = disk.files.borrow().clone();
    disk.taken.set(true);
    let mut second = Worker::with(disk.clone());
    second.open(pictures(true));
    second.outcome();
    second.ask(EvaluationRequest::Keep("mine".into()), Vec::new());
    assert!(
        not_kept(&second)
            .iter()
            .all(|why| why.contains("another tab"))
    );
    assert!(!not_kept(&second).is_empty());
    second.ask(EvaluationRequest::Close, Vec::new());
    assert_eq!(*disk.files.borrow(), before, "the first tab's");
}

#[test]
fn classes_get_other_names_without_encoding_images() {
    let mut worker = Worker::new();
    let (paths, files) = pictures(false);
    let number = |path: &String| path.replace("red", "0").replace("green", "1");
    worker.open((paths.iter().map(number).collect(), files));
    let numbers = worker.outcome();
    let class = |outcome: &EvaluationOutcome, index: usize| {
        outcome.report.evaluation.classes[index].name.clone()
    };
    assert_eq!(
        (class(&numbers, 0), class(&numbers, 1)),
        ("0".into(), "1".into())
    );
    let evaluate = |names: &[&str]| EvaluationRequest::Evaluate {
        templates: vec![DEFAULT_TEMPLATE.into()],
        class_names: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    worker.ask(evaluate(&["red", "green"]), Vec::new());
    let named = worker.outcome();
    assert_eq!(
        (class(&named, 0), class(&named, 1)),
        ("green".into(), "red".into())
    );
    assert_eq!(named.report.metrics.top_1.value, 1.0);
    let mut fresh = Worker::new();
    fresh.open(pictures(false));
    assert_eq!(fresh.outcome().report.metrics, named.report.metrics);

    worker.ask(evaluate(&["red"]), Vec::new());
    let EvaluationEvent::Failed { error } = worker.work().1 else {
        panic!("one name for two classes");
    };
    assert!(
        error.text().contains("\"1\" is none of these numbers"),
        "{error}"
    );
    worker.ask(evaluate(&[]), Vec::new());
    assert_eq!(worker.outcome().report.metrics, numbers.report.metrics);
}
