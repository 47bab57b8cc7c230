//! Which method, and its settings.

use leptos::prelude::*;

use crate::app::controller::training::{Derived, TrainingController};
use crate::app::domain::training::recommendation::{self, DatasetStats};
use crate::app::i18n::{self, t};
use crate::app::view::widgets::StepTitle;
use crate::engine::messages::{TrainedPart, TrainingSettings};
use crate::train::Method;

/// The second part of the training side.
#[component]
pub fn MethodSection(
    trainer: TrainingController,
    derived: Derived,
    settings: Memo<TrainingSettings>,
) -> impl IntoView {
    let amount = derived.amount;
    let method = Memo::new(move |_| settings.with(|s| s.method));
    let recommended = Memo::new(move |_| {
        let amount = amount.get();
        (amount.train > 0).then(|| recommendation::recommend(amount))
    });
    let card = move |this: Method| {
        let value = this.name();
        let refused = Memo::new(move |_| {
            let amount = amount.get();
            amount.train > 0 && amount.classes == 0 && !recommendation::takes_captions(this)
        });
        let is_recommended =
            Memo::new(move |_| recommended.with(|r| r.as_ref().is_some_and(|(m, _)| *m == this)));
        view! {
            <label class="method" data-testid="method" data-method=value class:refused=move || refused.get()>
                <input
                    type="radio"
                    name="method"
                    value=value
                    prop:checked=move || method.get() == this
                    disabled=move || refused.get()
                    on:change=move |_| trainer.session.update(|t| t.choose(this))
                />
                <span class="method-title">
                    {i18n::said(&recommendation::title(this))}
                    <Show when=move || is_recommended.get()>
                        <em data-testid="recommended">{t!("recommended")}</em>
                    </Show>
                </span>
                <span class="method-facts">
                    {t!("method-facts", duration = recommendation::duration_hint(this), output = recommendation::output_hint(this))}
                </span>
                <span class="method-about">
                    {move || {
                        if refused.get() {
                            t!("needs-classes-short")
                        } else {
                            recommendation::about(this)
                        }
                    }}
                </span>
            </label>
        }
    };
    view! {
        <section class="train-part" aria-labelledby="method-title" data-testid="train-method">
            <div class="part-head">
                <StepTitle number=2 id="method-title" title=t!("method") />
                <p class="part-note" data-testid="advice">
                    {move || {
                        recommended
                            .get()
                            .map(|(method, why)| {
                                t!("method-recommended", method = recommendation::title(method), why = why)
                            })
                    }}
                </p>
            </div>
            <div class="methods" role="radiogroup" aria-labelledby="method-title">
                {recommendation::METHODS.map(card).collect_view()}
            </div>
            <Advanced trainer amount settings />
        </section>
    }
}

/// A setting that is a number.
#[derive(Clone, Copy)]
struct NumberSetting {
    field: &'static str,
    label: fn() -> &'static str,
    help: fn() -> &'static str,
    get: fn(&TrainingSettings) -> f64,
    set: fn(&mut TrainingSettings, f64),
}

const EPOCHS: NumberSetting = NumberSetting {
    field: "epochs",
    label: || t!("epochs"),
    help: || t!("epochs-help"),
    get: |s| f64::from(s.epochs),
    set: |s, v| s.epochs = v as u32,
};
const BATCH: NumberSetting = NumberSetting {
    field: "batch_size",
    label: || t!("batch-size"),
    help: || t!("batch-size-help"),
    get: |s| f64::from(s.batch_size),
    set: |s, v| {
        s.batch_size = v as u32;
        s.micro_batch = s.micro_batch.min(s.batch_size);
    },
};
const MICRO_BATCH: NumberSetting = NumberSetting {
    field: "micro_batch",
    label: || t!("micro-batch"),
    help: || t!("micro-batch-help"),
    get: |s| f64::from(s.micro_batch),
    set: |s, v| s.micro_batch = v as u32,
};
const LEARNING_RATE: NumberSetting = NumberSetting {
    field: "learning_rate",
    label: || t!("learning-rate"),
    help: || t!("learning-rate-help"),
    get: |s| s.learning_rate,
    set: |s, v| s.learning_rate = v,
};
const WEIGHT_DECAY: NumberSetting = NumberSetting {
    field: "weight_decay",
    label: || t!("weight-decay"),
    help: || t!("weight-decay-help"),
    get: |s| s.weight_decay,
    set: |s, v| s.weight_decay = v,
};
const WARMUP: NumberSetting = NumberSetting {
    field: "warmup_steps",
    label: || t!("warmup"),
    help: || t!("warmup-help"),
    get: |s| f64::from(s.warmup_steps),
    set: |s, v| s.warmup_steps = v as u32,
};
const RANK: NumberSetting = NumberSetting {
    field: "rank",
    label: || t!("rank"),
    help: || t!("rank-help"),
    get: |s| f64::from(s.rank),
    set: |s, v| s.rank = v as u32,
};
const ALPHA: NumberSetting = NumberSetting {
    field: "alpha",
    label: || t!("alpha"),
    help: || t!("alpha-help"),
    get: |s| s.alpha,
    set: |s, v| s.alpha = v,
};
const WIDTH: NumberSetting = NumberSetting {
    field: "width",
    label: || t!("width"),
    help: || t!("width-help"),
    get: |s| f64::from(s.width),
    set: |s, v| s.width = v as u32,
};
const LAYERS: NumberSetting = NumberSetting {
    field: "layers",
    label: || t!("layers"),
    help: || t!("layers-help"),
    get: |s| f64::from(s.layers),
    set: |s, v| s.layers = v as u32,
};

fn number_settings(method: Method) -> Vec<NumberSetting> {
    let steps = [
        EPOCHS,
        BATCH,
        MICRO_BATCH,
        LEARNING_RATE,
        WEIGHT_DECAY,
        WARMUP,
    ];
    match method {
        Method::Probe | Method::Adapter => Vec::new(),
        Method::Lora => [steps.as_slice(), &[RANK, ALPHA]].concat(),
        Method::Full => steps.to_vec(),
        Method::Pretrain => [&[WIDTH, LAYERS], steps.as_slice()].concat(),
    }
}

/// Everything that has a sensible default.
#[component]
fn Advanced(
    trainer: TrainingController,
    amount: Memo<DatasetStats>,
    settings: Memo<TrainingSettings>,
) -> impl IntoView {
    let method = Memo::new(move |_| settings.with(|s| s.method));
    let own = Memo::new(move |_| trainer.session.with(|t| t.settings.is_some()));
    let change = move |change: &dyn Fn(&mut TrainingSettings)| {
        let mut changed = settings.get_untracked();
        change(&mut changed);
        trainer.session.update(|t| t.settings = Some(changed));
    };
    let number = move |number: NumberSetting| {
        let fault = Memo::new(move |_| {
            settings.with(|s| {
                let faults = recommendation::validate(s);
                let found = faults.into_iter().find(|(field, _)| *field == number.field);
                found.map(|(_, what)| what)
            })
        });
        let id = format!("setting-{}", number.field);
        let help = format!("{id}-help");
        view! {
            <div class="setting">
                <label for=id.clone()>{(number.label)()}</label>
                <input
                    id=id
                    data-testid=format!("setting-{}", number.field)
                    type="text"
                    inputmode="decimal"
                    aria-describedby=help.clone()
                    aria-invalid=move || fault.get().is_some().to_string()
                    prop:value=move || settings.with(|s| format_number((number.get)(s)))
                    on:change=move |event| {
                        // What is no number is a fault of the field, and said so.
                        let text = event_target_value(&event).replace(',', ".");
                        let value = text.trim().parse().unwrap_or(-1.0);
                        change(&|s| (number.set)(s, value));
                    }
                />
                <p id=help class="help">
                    {(number.help)()}
                    <span class="problem">
                        {move || fault.get().map(|what| format!(" {what}"))}
                    </span>
                </p>
            </div>
        }
    };
    let tick = move |id: &'static str,
                     label: &'static str,
                     help: &'static str,
                     get: fn(&TrainingSettings) -> bool,
                     set: fn(&mut TrainingSettings, bool)| {
        view! {
            <div class="setting">
                <label class="tick">
                    <input
                        type="checkbox"
                        data-testid=format!("setting-{id}")
                        aria-describedby=format!("setting-{id}-help")
                        prop:checked=move || settings.with(get)
                        on:change=move |event| {
                            let on = event_target_checked(&event);
                            change(&|s| set(s, on));
                        }
                    />
                    <span>{label}</span>
                </label>
                <p id=format!("setting-{id}-help") class="help">{help}</p>
            </div>
        }
    };
    let towers = move || {
        let lora = method.get() == Method::Lora;
        view! {
            <TowerSetting
                id="image_tower"
                label=t!("image-encoder")
                lora
                part=Memo::new(move |_| settings.with(|s| s.image_tower))
                change=Callback::new(move |part| change(&|s| s.image_tower = part))
            />
            <TowerSetting
                id="text_tower"
                label=t!("text-encoder")
                lora
                part=Memo::new(move |_| settings.with(|s| s.text_tower))
                change=Callback::new(move |part| change(&|s| s.text_tower = part))
            />
        }
    };
    let seed = move || {
        view! {
            <div class="setting">
                <label for="setting-seed">{t!("seed")}</label>
                <input
                    id="setting-seed"
                    data-testid="setting-seed"
                    type="text"
                    inputmode="numeric"
                    aria-describedby="setting-seed-help"
                    prop:value=move || settings.with(|s| s.seed.to_string())
                    on:change=move |event| {
                        let seed = event_target_value(&event).trim().parse().unwrap_or(0);
                        trainer.session.update(|t| t.edit(|project| project.seed = seed));
                    }
                />
                <p id="setting-seed-help" class="help">
                    {t!("seed-help")}
                </p>
            </div>
        }
    };
    view! {
        <details class="advanced" data-testid="advanced">
            <summary>
                <span>{t!("advanced-settings")}</span>
                <span class="summary-value">
                    {move || {
                        let steps = recommendation::steps(&settings.get(), amount.get().train);
                        match method.get() {
                            Method::Probe | Method::Adapter => t!("tuned-automatically").into(),
                            _ => t!("steps", steps = steps),
                        }
                    }}
                </span>
            </summary>
            <div class="settings">
                {move || number_settings(method.get()).into_iter().map(number).collect_view()}
                {move || matches!(method.get(), Method::Lora | Method::Full).then(towers)}
                {move || {
                    (method.get() == Method::Lora)
                        .then(|| {
                            tick(
                                "mlp",
                                t!("lora-mlp"),
                                t!("lora-mlp-help"),
                                |s| s.mlp,
                                |s, on| s.mlp = on,
                            )
                        })
                }}
                {move || {
                    matches!(method.get(), Method::Full | Method::Pretrain)
                        .then(|| {
                            tick(
                                "temperature",
                                t!("train-temperature"),
                                t!("train-temperature-help"),
                                |s| s.temperature,
                                |s, on| s.temperature = on,
                            )
                        })
                }}
                {move || {
                    matches!(method.get(), Method::Lora | Method::Full | Method::Pretrain)
                        .then(|| {
                            tick(
                                "checkpointing",
                                t!("gradient-checkpointing"),
                                t!("gradient-checkpointing-help"),
                                |s| s.gradient_checkpointing,
                                |s, on| s.gradient_checkpointing = on,
                            )
                        })
                }}
                {seed()}
            </div>
            <Show when=move || own.get()>
                <button
                    type="button"
                    class="quiet"
                    data-testid="defaults"
                    on:click=move |_| trainer.session.update(|t| t.settings = None)
                >
                    {t!("restore-defaults")}
                </button>
            </Show>
        </details>
    }
}

/// How much of an encoder learns.
#[component]
fn TowerSetting(
    id: &'static str,
    label: &'static str,
    /// Then it is all or nothing.
    lora: bool,
    part: Memo<TrainedPart>,
    change: Callback<TrainedPart>,
) -> impl IntoView {
    const LAST: [u32; 4] = [0, 1, 2, 4];
    let option = move |this: TrainedPart| {
        view! {
            <option value=part_value(this) selected=move || part.get() == this>
                {part_text(this)}
            </option>
        }
    };
    view! {
        <div class="setting">
            <label for=format!("setting-{id}")>{label}</label>
            <select
                id=format!("setting-{id}")
                data-testid=format!("setting-{id}")
                on:change=move |event| change.run(part_of(&event_target_value(&event)))
            >
                {option(TrainedPart::Whole)}
                {(!lora).then(|| LAST.map(|blocks| option(TrainedPart::Last(blocks))).collect_view())}
                {option(TrainedPart::Frozen)}
            </select>
            <p class="help">{t!("frozen-help")}</p>
        </div>
    }
}

fn part_text(part: TrainedPart) -> String {
    match part {
        TrainedPart::Whole => t!("train-all").into(),
        TrainedPart::Last(0) => t!("train-output-layers").into(),
        TrainedPart::Last(1) => t!("train-last-block").into(),
        TrainedPart::Last(blocks) => t!("train-last-blocks", blocks = blocks),
        TrainedPart::Frozen => t!("frozen").into(),
    }
}

fn part_value(part: TrainedPart) -> String {
    match part {
        TrainedPart::Whole => "whole".into(),
        TrainedPart::Last(blocks) => blocks.to_string(),
        TrainedPart::Frozen => "frozen".into(),
    }
}

fn part_of(value: &str) -> TrainedPart {
    match value.parse() {
        Ok(blocks) => TrainedPart::Last(blocks),
        Err(_) if value == "frozen" => TrainedPart::Frozen,
        Err(_) => TrainedPart::Whole,
    }
}

/// A number as it is typed.
fn format_number(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-3 {
        format!("{value:e}")
    } else {
        format!("{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_they_are_written() {
        for part in [
            TrainedPart::Frozen,
            TrainedPart::Last(2),
            TrainedPart::Whole,
        ] {
            assert_eq!(part_of(&part_value(part)), part);
        }
    }

    #[test]
    fn numbers_are_plain() {
        assert_eq!(format_number(64.0), "64");
        assert_eq!(format_number(0.0001), "1e-4");
        assert_eq!(format_number(0.2), "0.2");
        assert_eq!(format_number(0.0), "0");
    }

    #[test]
    fn every_number_is_set_as_it_is_got() {
        let mut settings = recommendation::defaults(Method::Lora, DatasetStats::default(), None);
        for number in [Method::Lora, Method::Pretrain]
            .into_iter()
            .flat_map(number_settings)
        {
            let value = (number.get)(&settings);
            (number.set)(&mut settings, value);
            assert_eq!((number.get)(&settings), value, "{}", number.field);
        }
    }
}
