//! Which published model suits the visitor's device, in words.

use super::format;
use crate::app::i18n::t;
use crate::catalogue::{Reason, SizeLimit};

/// Reason of a recommendation as a sentence.
pub fn reason(reason: Reason) -> String {
    let (limit, gpu) = match reason {
        Reason::SaveData => return t!("reason-save-data").into(),
        Reason::SlowConnection => return t!("reason-slow-connection").into(),
        Reason::LittleMemory => return t!("reason-little-memory").into(),
        Reason::BestWithin { limit, gpu } => (limit, gpu),
    };
    let limit = match limit {
        SizeLimit::MemoryGb(gigabytes) => t!("limit-memory", gigabytes = gigabytes),
        SizeLimit::ConnectionBytes(bytes) => {
            t!("limit-connection", bytes = format::bytes(bytes))
        }
        SizeLimit::DownloadBytes(bytes) => t!("limit-download", bytes = format::bytes(bytes)),
    };
    let speed = match gpu {
        true => t!("fast-on-gpu"),
        false => t!("fast-enough-on-cpu"),
    };
    t!("reason-best-within", limit = limit, speed = speed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::i18n::{Language, in_language};

    #[test]
    fn every_reason_is_a_sentence_in_both_languages() {
        let best = |limit, gpu| Reason::BestWithin { limit, gpu };
        let reasons = [
            (Reason::SaveData, "save data"),
            (Reason::SlowConnection, "slow"),
            (Reason::LittleMemory, "memory"),
            (best(SizeLimit::MemoryGb(0.5), false), "0.5 GB"),
            (
                best(SizeLimit::ConnectionBytes(100_000_000), true),
                "100.0 MB",
            ),
            (
                best(SizeLimit::DownloadBytes(1_000_000_000), true),
                "1.00 GB",
            ),
        ];
        for (given, word) in reasons {
            let text = reason(given);
            assert!(text.contains(word) && text.ends_with('.'), "{text}");
            let text = in_language(Language::Chinese, || reason(given));
            assert!(text.ends_with('。') && !text.contains('{'), "{text}");
        }
        let text = reason(best(SizeLimit::DownloadBytes(1_000_000_000), true));
        assert!(text.contains("GPU"), "{text}");
    }
}
