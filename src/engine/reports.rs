//! Reports of evaluations as files.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::data::{LeftOut, Problem};
use crate::eval::Report;

/// Page of a report that needs no other file; `pictures` as for [`Report::html`], and
/// `problems` what the data set had to leave out.
pub fn html(report: &Report, problems: &[Problem], pictures: &BTreeMap<String, String>) -> String {
    let mut shown = report.clone();
    let left_out = LeftOut::count(problems);
    (shown.notes).extend(left_out.iter().map(|reason| format!("Left out: {reason}")));
    shown.html(pictures)
}

/// Everything that was measured, with what was left out.
pub fn json(report: &Report, problems: &[Problem]) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(report)?;
    if let Value::Object(fields) = &mut value {
        let left_out: Vec<Problem> = problems.iter().map(Problem::plain).collect();
        let by_reason: Vec<LeftOut> = (LeftOut::count(problems).iter())
            .map(LeftOut::plain)
            .collect();
        fields.insert("left_out".into(), json!(left_out));
        fields.insert("left_out_by_reason".into(), json!(by_reason));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_told() {
        let report = Report {
            data: "pets".into(),
            ..Report::default()
        };
        let problems = [Problem::Unlabelled {
            path: "a.png".into(),
        }];
        let value = json(&report, &problems).unwrap();
        assert_eq!(value["data"], "pets");
        assert_eq!(value["left_out"][0]["path"], "a.png");
        assert_eq!(value["left_out_by_reason"][0]["count"], 1);
        assert_eq!(
            value["left_out_by_reason"][0]["first"],
            "a.png has neither a class nor a caption"
        );
        assert!(html(&report, &problems, &BTreeMap::new()).contains("Left out: "));
        assert!(!html(&report, &[], &BTreeMap::new()).contains("Left out: "));
    }
}
