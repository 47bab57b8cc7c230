//! An evaluation in small units of work, as a worker does it, against the same with an
//! engine at hand.

use std::cell::RefCell;
use std::io::Cursor;
use std::rc::Rc;

use pollster::block_on;

use super::job::{DataFolder, Evaluations};
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

/// A worker that has nothing else to do.
struct Worker {
    engine: Engine,
    evaluations: Evaluations<InMemory>,
    said: Rc<RefCell<Vec<EvaluationEvent>>>,
}

impl Worker {
    fn new() -> Self {
        let said: Rc<RefCell<Vec<EvaluationEvent>>> = Rc::default();
        let sink = said.clone();
        Self {
            engine: block_on(bundled_engine()),
            evaluations: Evaluations::new(
                Rc::new(move |event| sink.borrow_mut().push(event)),
                || 0.0,
            ),
            said,
        }
    }

    fn ask(&mut self, request: EvaluationRequest, files: Vec<Vec<u8>>) {
        block_on(self.evaluations.handle(request, files, Some(&self.engine)));
    }

    fn open(&mut self, (paths, files): (Vec<String>, Vec<Vec<u8>>)) {
        let request = EvaluationRequest::Open {
            name: "colours".into(),
            paths,
            templates: vec![DEFAULT_TEMPLATE.into()],
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
        files: &files,
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
    assert!(failure(&worker).contains("choose some first"));

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
        failure(&worker).contains("only \"red\""),
        "{}",
        failure(&worker)
    );
    let noise = vec![vec![7; 50]; 2];
    worker.open((vec!["a/1.png".into(), "b/2.png".into()], noise));
    worker.work();
    assert!(
        failure(&worker).contains("not a readable image"),
        "{}",
        failure(&worker)
    );
    let request = EvaluationRequest::Open {
        name: "colours".into(),
        paths: pictures(false).0,
        templates: vec!["a colour".into()],
    };
    worker.ask(request, pictures(false).1);
    worker.work();
    assert!(failure(&worker).contains("{label}"), "{}", failure(&worker));
}
