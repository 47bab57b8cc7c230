//! Live classification: sends what a video shows to the worker, one frame at a time.

use leptos::{prelude::*, task::spawn_local};
use wasm_bindgen::JsValue;
use web_sys::{File, HtmlCanvasElement, HtmlVideoElement};

use super::camera::{self, Frame};
use super::classify::ClassifyController;
use super::engine::{Attachments, EngineHandle, describe};
use super::training::TrainingController;
use crate::app::domain::live::Live;
use crate::app::domain::training::project::ClassId;
use crate::engine::messages::{Event, Request};

/// What is classified live.
#[derive(Clone)]
pub enum LiveSource {
    Camera,
    Video(File),
}

/// Where an image of the video goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To the pictures.
    Pictures,
    /// To a class of the training.
    Class(ClassId),
}

/// Handle to the live classification.
#[derive(Clone, Copy)]
pub struct LiveController {
    pub live: RwSignal<Live>,
    /// What is classified; `None`: nothing.
    pub source: RwSignal<Option<LiveSource>, LocalStorage>,
    /// On which frames are drawn.
    canvas: StoredValue<Option<HtmlCanvasElement>, LocalStorage>,
    classify: ClassifyController,
    training: TrainingController,
    engine: EngineHandle,
}

impl LiveController {
    /// Without a video.
    pub fn new(
        engine: EngineHandle,
        classify: ClassifyController,
        training: TrainingController,
    ) -> Self {
        Self {
            live: RwSignal::new(Live::default()),
            source: RwSignal::new_local(None),
            canvas: StoredValue::new_local(None),
            classify,
            training,
            engine,
        }
    }

    /// A video begins.
    pub fn begin(self) {
        self.live.update(Live::begin);
        self.classify.expect_own_images();
    }

    /// The video has ended.
    pub fn end(self) {
        self.canvas.set_value(None);
        self.live.try_update(Live::begin);
    }

    /// The worker is gone, and another one starts.
    pub fn restart(self) {
        self.live.update(Live::restart);
    }

    /// Sends what a video shows, if it is new and no frame is with the worker. `position` tells the
    /// video's frames apart.
    pub fn send_frame(self, video: &HtmlVideoElement, position: f64) {
        if !camera::has_image(video) {
            return;
        }
        let session = self.classify.session;
        let next = self.live.try_update_untracked(|live| {
            session.with_untracked(|session| live.next(session, position))
        });
        let Some(frame) = next.flatten() else {
            return;
        };
        match self.draw(video) {
            Ok((request, pixels)) => {
                let request = request(frame);
                self.engine.send(&request, Attachments::Bytes(pixels));
            }
            Err(error) => self
                .live
                .update(|live| live.failed(frame, &describe(&error).into())),
        }
    }

    /// The request for what a video shows, by its number, and the pixels.
    fn draw(
        self,
        video: &HtmlVideoElement,
    ) -> Result<(impl Fn(u32) -> Request, js_sys::ArrayBuffer), JsValue> {
        let kept = self.canvas.try_with_value(Option::clone).flatten();
        let canvas = match kept {
            Some(canvas) => canvas,
            None => camera::canvas()?,
        };
        camera::draw_whole(video, &canvas)?;
        let (width, height) = (canvas.width(), canvas.height());
        let pixels = camera::pixels(&canvas)?;
        self.canvas.set_value(Some(canvas));
        let request = move |frame| Request::ClassifyFrame {
            frame,
            width,
            height,
        };
        Ok((request, pixels))
    }

    /// Adds an image of what a video shows, whose kind begins its name; `done` hears of it.
    pub fn take(
        self,
        video: &HtmlVideoElement,
        kind: &str,
        to: Destination,
        done: Callback<Result<(), String>>,
    ) {
        let number = (self.live)
            .try_update_untracked(Live::count_kept)
            .unwrap_or_default();
        let frame = match to {
            // Its answer is that of the frame.
            Destination::Pictures => Frame::Whole,
            Destination::Class(_) => Frame::Square,
        };
        let captured = camera::capture(video, frame, &format!("{kind}-{number:03}"));
        spawn_local(async move {
            let added = captured.await.map(|file| self.add(file, to));
            // The video may be gone meanwhile.
            done.try_run(added);
        });
    }

    fn add(self, file: File, to: Destination) {
        match to {
            Destination::Pictures => self.classify.add_files([file]),
            Destination::Class(class) => self.training.add_samples(Some(class), vec![file]),
        }
    }

    /// The worker has answered a frame.
    pub fn on_event(self, event: Event) {
        let session = self.classify.session;
        self.live.update(|live| match event {
            Event::FrameClassified {
                frame,
                question,
                rankings,
                fit,
            } => session.with_untracked(|session| {
                live.answered(
                    session,
                    frame,
                    question,
                    &rankings,
                    fit,
                    js_sys::Date::now(),
                );
            }),
            Event::FrameFailed { frame, error } => live.failed(frame, &error),
            _ => {}
        });
    }
}
