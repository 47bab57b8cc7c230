//! Recommended method and settings for the amount of training data.

pub use crate::engine::defaults::{DatasetStats, steps, training_settings as defaults};

use crate::app::i18n::{message, t};
use crate::diagnostic::Diagnostic;
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
pub fn title(method: Method) -> Diagnostic {
    match method {
        Method::Probe => message!("probe"),
        Method::Adapter => message!("adapter"),
        Method::Lora => message!("lora"),
        Method::Full => message!("full"),
        Method::Pretrain => message!("pretrain"),
    }
}

/// Description of a method.
pub fn about(method: Method) -> &'static str {
    match method {
        Method::Probe => {
            t!("probe-about")
        }
        Method::Adapter => {
            t!("adapter-about")
        }
        Method::Lora => {
            t!("lora-about")
        }
        Method::Full => {
            t!("full-about")
        }
        Method::Pretrain => {
            t!("pretrain-about")
        }
    }
}

/// Rough duration of a method.
pub fn duration_hint(method: Method) -> &'static str {
    match method {
        Method::Probe | Method::Adapter => t!("takes-seconds"),
        Method::Lora => t!("takes-minutes"),
        Method::Full => t!("takes-minutes-to-hours"),
        Method::Pretrain => t!("takes-hours"),
    }
}

/// Kind of result.
pub fn output_hint(method: Method) -> &'static str {
    match method {
        Method::Probe | Method::Adapter => t!("produces-classifier"),
        Method::Lora => t!("produces-lora"),
        Method::Full | Method::Pretrain => t!("produces-model"),
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
            ..5_000 => (Method::Lora, t!("why-lora-captions").into()),
            _ => (Method::Full, t!("why-full", train = train)),
        };
    }
    let each = t!("images", count = fewest);
    match fewest {
        ..16 => (Method::Adapter, t!("why-adapter", each = each)),
        16..500 => (Method::Probe, t!("why-probe", each = each)),
        _ => (Method::Lora, t!("why-lora", each = each)),
    }
}

/// Why a method cannot be used with this data, if it cannot.
pub fn blocking_reason(method: Method, amount: DatasetStats) -> Option<&'static str> {
    match () {
        () if amount.train == 0 => Some(t!("no-training-images")),
        () if !takes_captions(method) && amount.classes == 0 => Some(t!("needs-classes")),
        () if amount.classes == 1 => Some(t!("needs-second-class")),
        () if amount.classes == 0 && amount.train < 2 => Some(t!("needs-second-image")),
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
        t!("fault-held-out"),
    );
    if matches!(settings.method, Method::Probe | Method::Adapter) {
        return faults;
    }
    check(settings.epochs >= 1, "epochs", t!("fault-epochs"));
    check(settings.batch_size >= 2, "batch_size", t!("fault-batch"));
    check(
        (1..=settings.batch_size).contains(&settings.micro_batch),
        "micro_batch",
        t!("fault-micro-batch"),
    );
    check(
        settings.learning_rate > 0.0 && settings.learning_rate <= 1.0,
        "learning_rate",
        t!("fault-learning-rate"),
    );
    check(
        (0.0..=1.0).contains(&settings.weight_decay),
        "weight_decay",
        t!("fault-weight-decay"),
    );
    match settings.method {
        Method::Lora => {
            check((1..=256).contains(&settings.rank), "rank", t!("fault-rank"));
            check(settings.alpha > 0.0, "alpha", t!("fault-alpha"));
            let both = [settings.image_tower, settings.text_tower];
            check(
                both != [TrainedPart::Frozen; 2],
                "image_tower",
                t!("fault-frozen"),
            );
        }
        Method::Full => check(
            settings.temperature
                || [settings.image_tower, settings.text_tower] != [TrainedPart::Frozen; 2],
            "image_tower",
            t!("fault-all-frozen"),
        ),
        Method::Pretrain => {
            check(
                (32..=512).contains(&settings.width) && settings.width.is_multiple_of(32),
                "width",
                t!("fault-width"),
            );
            check(
                (1..=12).contains(&settings.layers),
                "layers",
                t!("fault-layers"),
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
