//! All answers as a file to keep.

use serde_json::json;

use super::session::Session;
use crate::data::csv_field;

/// One row per picture and label.
pub fn csv(session: &Session) -> String {
    let mut text = String::from("picture,rank,label,probability,cosine_similarity\r\n");
    for picture in session.pictures.iter() {
        let Some(ranking) = session.pictures.answer_of(picture) else {
            continue;
        };
        for (place, ranked) in ranking.iter().enumerate() {
            text.push_str(&format!(
                "{},{},{},{:.6},{:.6}\r\n",
                csv_field(&picture.name),
                place + 1,
                csv_field(ranked.label),
                ranked.probability,
                ranked.similarity,
            ));
        }
    }
    text
}

/// The same with everything needed to repeat it: model, device, templates.
pub fn json(session: &Session) -> String {
    let pictures: Vec<_> = session
        .pictures
        .iter()
        .filter_map(|picture| {
            let ranking = session.pictures.answer_of(picture)?;
            Some(json!({
                "picture": picture.name,
                "size": picture.size,
                "preprocess_ms": picture.timing.as_ref().map(|timing| timing.preprocess_ms),
                "encode_ms": picture.timing.as_ref().map(|timing| timing.encode_ms),
                "fit": session.fit(picture).map(|(_, fit)| fit),
                "rejected": session.fit(picture).map(|(rejected, _)| rejected),
                "ranking": ranking.iter().collect::<Vec<_>>(),
            }))
        })
        .collect();
    let whole = json!({
        "model": session.worker.model.as_ref().map(|model| model.name.clone()),
        "device": session.worker.device.as_ref().map(|device| device.name.clone()),
        "templates": session.question.asked.as_ref().map(|asked| asked.templates.clone()),
        "pictures": pictures,
    });
    format!("{whole:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::messages::{DeviceChoice, Event};
    use crate::engine::rankings::Rankings;

    fn answered() -> Session {
        let mut session = Session::new(DeviceChoice::Cpu);
        let names = ["a, \"b\".png", "unanswered.png"].map(String::from);
        let images = session.pictures.add_batch(names);
        session.ask(vec!["cat".into()], vec!["{label}".into()]);
        let mut rankings = Rankings::default();
        rankings.push(images[0], [("cat".into(), 0.5, 0.25)]);
        let question = session.question.number;
        session.on_event(Event::Answers { question, rankings }, 0.0);
        session
    }

    #[test]
    fn csv_quotes_names_and_leaves_out_what_has_no_answer() {
        assert_eq!(
            csv(&answered()),
            "picture,rank,label,probability,cosine_similarity\r\n\
             \"a, \"\"b\"\".png\",1,cat,0.500000,0.250000\r\n"
        );
    }

    #[test]
    fn json_names_what_it_came_from() {
        let read: serde_json::Value = serde_json::from_str(&json(&answered())).unwrap_or_default();
        assert_eq!(read["templates"][0], "{label}");
        assert_eq!(read["pictures"].as_array().map(Vec::len), Some(1));
        assert_eq!(read["pictures"][0]["ranking"][0]["label"], "cat");
    }
}
