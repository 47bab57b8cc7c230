//! Recommended method and settings for the amount of training data.

pub use crate::engine::defaults::{DatasetStats, steps, training_settings as defaults};

use crate::engine::messages::{TrainedPart, TrainingSettings};
use crate::train::Method;

/// From quick to thorough.
pub const METHODS: [Method; 5] = [
    Method::Probe,
    Method::Adapter,
    Method::Lora,
    Method::Full,
    Method::Pretrain,
];

/// Title of a method.
pub fn title(method: Method) -> &'static str {
    match method {
        Method::Probe => "Linear probe",
        Method::Adapter => "Few-shot adapter",
        Method::Lora => "LoRA",
        Method::Full => "Full fine-tuning",
        Method::Pretrain => "Pre-training from scratch",
    }
}

/// Description of a method.
pub fn about(method: Method) -> &'static str {
    match method {
        Method::Probe => {
            "A linear classifier on frozen image features. Works best with 16 or more images per class."
        }
        Method::Adapter => {
            "Starts from the zero-shot classifier and corrects it. Works even with one image per class."
        }
        Method::Lora => {
            "Low-rank updates to the attention layers, saved as a small file. For captions, or for images unlike the training data of the model."
        }
        Method::Full => {
            "Trains the whole model or parts of it. For thousands of images; the model may forget what it knew."
        }
        Method::Pretrain => {
            "Trains a small model from random weights, to see how it works. A useful model needs millions of images."
        }
    }
}

/// Rough duration of a method.
pub fn duration_hint(method: Method) -> &'static str {
    match method {
        Method::Probe | Method::Adapter => "seconds",
        Method::Lora => "minutes",
        Method::Full => "minutes to hours",
        Method::Pretrain => "hours",
    }
}

/// Kind of result.
pub fn output_hint(method: Method) -> &'static str {
    match method {
        Method::Probe | Method::Adapter => "a classifier of a few kB",
        Method::Lora => "a LoRA of a few MB or less",
        Method::Full | Method::Pretrain => "a full model",
    }
}

/// Whether a method can train on captions alone.
pub fn takes_captions(method: Method) -> bool {
    !matches!(method, Method::Probe | Method::Adapter)
}

/// The recommended method for this amount of data, and why.
pub fn recommend(amount: DatasetStats) -> (Method, String) {
    let DatasetStats {
        classes,
        train,
        fewest,
        ..
    } = amount;
    if classes == 0 {
        return match train {
            ..5_000 => (
                Method::Lora,
                "captions train both encoders, and LoRA is less likely to overfit a small data set"
                    .into(),
            ),
            _ => (
                Method::Full,
                format!("{train} captioned images are enough to train the whole model"),
            ),
        };
    }
    let each = match fewest {
        1 => "1 image".into(),
        many => format!("{many} images"),
    };
    match fewest {
        ..16 => (
            Method::Adapter,
            format!(
                "with {each} in the smallest class, starting from the zero-shot classifier is safest"
            ),
        ),
        16..500 => (
            Method::Probe,
            format!("{each} or more per class are enough for a classifier on frozen features"),
        ),
        _ => (
            Method::Lora,
            format!("{each} or more per class are enough to adapt the encoders"),
        ),
    }
}

/// Why a method cannot be used with this data, if it cannot.
pub fn blocking_reason(method: Method, amount: DatasetStats) -> Option<&'static str> {
    match () {
        () if amount.train == 0 => Some("Add images first: there is nothing to train on yet."),
        () if !takes_captions(method) && amount.classes == 0 => Some(
            "This method needs classes. For captions, use LoRA, full fine-tuning or pre-training.",
        ),
        () if amount.classes == 1 => {
            Some("Add images of a second class: training needs at least two.")
        }
        () if amount.classes == 0 && amount.train < 2 => {
            Some("Add a second captioned image: training needs at least two.")
        }
        () => None,
    }
}

/// Invalid settings: the name of the field and what to do.
pub fn validate(settings: &TrainingSettings) -> Vec<(&'static str, &'static str)> {
    let mut faults = Vec::new();
    let mut check = |good: bool, field, what| {
        if !good {
            faults.push((field, what));
        }
    };
    check(
        (0.0..=0.9).contains(&settings.held_out),
        "held_out",
        "Choose a value from 0 to 90 %.",
    );
    if matches!(settings.method, Method::Probe | Method::Adapter) {
        return faults;
    }
    check(settings.epochs >= 1, "epochs", "At least 1.");
    check(
        settings.batch_size >= 2,
        "batch_size",
        "At least 2: the loss compares the images of a batch.",
    );
    check(
        (1..=settings.batch_size).contains(&settings.micro_batch),
        "micro_batch",
        "Between 1 and the batch size.",
    );
    check(
        settings.learning_rate > 0.0 && settings.learning_rate <= 1.0,
        "learning_rate",
        "More than 0 and at most 1, such as 0.001 or 1e-3.",
    );
    check(
        (0.0..=1.0).contains(&settings.weight_decay),
        "weight_decay",
        "Between 0 and 1.",
    );
    match settings.method {
        Method::Lora => {
            check(
                (1..=256).contains(&settings.rank),
                "rank",
                "Between 1 and 256.",
            );
            check(settings.alpha > 0.0, "alpha", "More than 0.");
            let both = [settings.image_tower, settings.text_tower];
            check(
                both != [TrainedPart::Frozen; 2],
                "image_tower",
                "Train at least one of the encoders.",
            );
        }
        Method::Full => check(
            settings.temperature
                || [settings.image_tower, settings.text_tower] != [TrainedPart::Frozen; 2],
            "image_tower",
            "Train at least one encoder or the temperature.",
        ),
        Method::Pretrain => {
            check(
                (32..=512).contains(&settings.width) && settings.width.is_multiple_of(32),
                "width",
                "A multiple of 32 from 32 to 512.",
            );
            check(
                (1..=12).contains(&settings.layers),
                "layers",
                "Between 1 and 12.",
            );
        }
        Method::Probe | Method::Adapter => {}
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(classes: usize, fewest: usize) -> DatasetStats {
        DatasetStats {
            classes,
            train: classes.max(1) * fewest,
            held_out: 0,
            fewest,
        }
    }

    #[test]
    fn more_data_more_thorough() {
        let method = |classes, fewest| recommend(amount(classes, fewest)).0;
        assert_eq!(method(3, 1), Method::Adapter);
        assert_eq!(method(3, 30), Method::Probe);
        assert_eq!(method(3, 1_000), Method::Lora);
        assert_eq!(method(0, 20), Method::Lora);
        assert_eq!(method(0, 20_000), Method::Full);
        assert!(recommend(amount(3, 1)).1.contains("1 image "));
    }

    #[test]
    fn what_cannot_be_trained_is_refused_in_words() {
        assert!(
            blocking_reason(Method::Probe, amount(0, 20))
                .unwrap()
                .contains("classes")
        );
        assert!(blocking_reason(Method::Lora, amount(0, 20)).is_none());
        assert!(
            blocking_reason(Method::Lora, amount(1, 20))
                .unwrap()
                .contains("second class")
        );
        assert!(
            blocking_reason(Method::Lora, amount(2, 0))
                .unwrap()
                .contains("Add images")
        );
        assert!(blocking_reason(Method::Adapter, amount(2, 1)).is_none());
    }

    #[test]
    fn defaults_have_no_faults() {
        for method in METHODS {
            for train in [(2, 1), (3, 30), (100, 1_000), (0, 2), (0, 5_000)] {
                let settings = defaults(method, amount(train.0, train.1), None);
                assert_eq!(validate(&settings), [], "{settings:?}");
                assert!(steps(&settings, amount(train.0, train.1).train) >= 1);
            }
        }
    }

    #[test]
    fn faults_name_their_field() {
        let mut settings = defaults(Method::Full, amount(3, 30), None);
        settings.batch_size = 1;
        settings.micro_batch = 4;
        settings.learning_rate = 0.0;
        let fields: Vec<&str> = validate(&settings)
            .iter()
            .map(|(field, _)| *field)
            .collect();
        assert_eq!(fields, ["batch_size", "micro_batch", "learning_rate"]);
        // A probe has none of these.
        settings.method = Method::Probe;
        assert_eq!(validate(&settings), []);
    }
}
