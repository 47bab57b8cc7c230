//! The page: a section for each part of the report, each chart with its table.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::super::chart::{
    Changes, Chart, IntervalRow, Intervals, Line, MatrixChart, Point, ReliabilityDiagram, escaped,
};
use super::super::{
    Bin, ClassChange, FewShotMethod, IntervalEstimate, Metrics, PromptComparison, PromptResult,
    ShotsCurve, Worth, mean_and_spread,
};
use super::{Report, ReportSection};

/// Bars of a chart of classes: above it only the worst and the best are drawn.
const BARS: usize = 40;
/// Classes at each end of the chart of changes.
const MOST_CHANGED: usize = 12;
/// Mistakes and confused pairs that are shown.
const SHOWN: usize = 20;

const STYLE: &str = include_str!("style.css");

pub fn page(report: &Report, pictures: &BTreeMap<String, String>) -> String {
    let sections = sections(report, pictures);
    let links: Vec<String> = (sections.iter())
        .map(|section| format!("<a href=\"#{}\">{}</a>", section.id, section.heading))
        .collect();
    let body: Vec<String> = (sections.iter())
        .map(|ReportSection { id, heading, html }| {
            format!(
                "<section id=\"{id}\" aria-labelledby=\"{id}-heading\">\n<h2 id=\"{id}-heading\">{heading}</h2>\n{html}</section>\n"
            )
        })
        .collect();
    let title = format!("{} on {}", report.model, report.data);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{summary}\
         <nav aria-label=\"Sections\">{links}</nav>\n{body}</main>\n</body>\n</html>\n",
        title = escaped(&title),
        summary = summary(report),
        links = links.join(" "),
        body = body.concat()
    )
}

/// The parts that the report has, in the order of the page.
pub fn sections(report: &Report, pictures: &BTreeMap<String, String>) -> Vec<ReportSection> {
    let page = Page { report };
    let parts = [
        ("prompts", "Prompts", page.prompts()),
        ("shots", "Zero-shot against few images", page.shots()),
        ("models", "Two models", page.comparison()),
        ("calibration", "Calibration", page.calibration()),
        ("classes", "Classes", Some(page.classes())),
        (
            "confusion",
            "What is taken for what",
            Some(page.confusion()),
        ),
        ("mistakes", "Worst mistakes", page.mistakes(pictures)),
        ("limits", "Limits", page.limits()),
        ("method", "How this was measured", Some(page.method())),
    ];
    (parts.into_iter())
        .filter_map(|(id, heading, html)| {
            Some(ReportSection {
                id,
                heading,
                html: html?,
            })
        })
        .collect()
}

/// Figures at a glance.
pub fn summary(report: &Report) -> String {
    let metrics = &report.metrics;
    let seen = metrics
        .classes
        .iter()
        .filter(|class| class.images > 0)
        .count();
    let tile = |name: &str, value: String, below: String| {
        format!(
            "<div><dt>{name}</dt><dd>{value} <small class=\"muted\">{below}</small></dd></div>\n"
        )
    };
    let estimate = |name: &str, estimate: IntervalEstimate| {
        tile(name, percent(estimate.value), range(estimate))
    };
    let mut tiles = vec![
        estimate("Top-1", metrics.top_1),
        estimate("Top-5", metrics.top_5),
        estimate("Mean of classes", metrics.mean_per_class),
        estimate("Macro F1", metrics.macro_f1),
    ];
    if let Some(calibration) = &report.calibration {
        let below = format!("{} with temperature", percent(calibration.after.ece));
        tiles.push(tile(
            "Calibration error",
            percent(calibration.before.ece),
            below,
        ));
    }
    format!(
        "<p class=\"muted\">Zero-shot, {} images, {seen} classes. Below each figure its 95 % \
         confidence interval.</p>\n<dl class=\"tiles\">\n{}</dl>\n",
        metrics.images,
        tiles.concat()
    )
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn range(estimate: IntervalEstimate) -> String {
    format!(
        "{:.1} to {:.1}",
        100.0 * estimate.low,
        100.0 * estimate.high
    )
}

/// Value of a probability test, as it is usually written.
fn p_value(p: f64) -> String {
    match p {
        p if p < 0.001 => "p < 0.001".into(),
        p => format!("p = {p:.3}"),
    }
}

/// Cell of a table; numbers stand at the right.
enum Cell {
    Text(String),
    Number(String),
}

fn text(text: &str) -> Cell {
    Cell::Text(escaped(text))
}

fn number(text: impl std::fmt::Display) -> Cell {
    Cell::Number(escaped(&text.to_string()))
}

/// Table whose first column names its rows.
fn table(caption: &str, heads: &[&str], rows: Vec<Vec<Cell>>) -> String {
    let numeric: Vec<bool> = (0..heads.len())
        .map(|column| {
            rows.iter()
                .any(|row| matches!(row.get(column), Some(Cell::Number(_))))
        })
        .collect();
    let heads: Vec<String> = (heads.iter().zip(numeric))
        .map(|(head, numeric)| {
            let class = if numeric { " class=\"n\"" } else { "" };
            match head.is_empty() {
                // A head without words heads nothing.
                true => "<td></td>".to_owned(),
                false => format!("<th scope=\"col\"{class}>{head}</th>"),
            }
        })
        .collect();
    let rows: Vec<String> = (rows.into_iter())
        .map(|row| {
            let cells: Vec<String> = (row.into_iter().enumerate())
                .map(|(column, cell)| match (column, cell) {
                    (0, Cell::Text(text)) => format!("<th scope=\"row\">{text}</th>"),
                    (0, Cell::Number(text)) => format!("<th scope=\"row\" class=\"n\">{text}</th>"),
                    (_, Cell::Text(text)) => format!("<td>{text}</td>"),
                    (_, Cell::Number(text)) => format!("<td class=\"n\">{text}</td>"),
                })
                .collect();
            format!("<tr>{}</tr>\n", cells.concat())
        })
        .collect();
    format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\"><table>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody></table></div>\n",
        heads.concat(),
        rows.concat(),
        caption = escaped(caption)
    )
}

/// Chart with its table folded away below it.
fn figure(caption: &str, svg: &str, table: &str) -> String {
    let table = match table {
        "" => String::new(),
        table => format!("<details><summary>Table</summary>\n{table}</details>\n"),
    };
    format!(
        "<figure>\n<figcaption>{}</figcaption>\n{svg}{table}</figure>\n",
        escaped(caption)
    )
}

/// Chart with its table beside it.
fn beside(caption: &str, svg: &str, table: &str) -> String {
    let figure = figure(caption, svg, "");
    format!("<div class=\"pair\">\n{figure}<div>{table}</div></div>\n")
}

struct Page<'a> {
    report: &'a Report,
}

impl Page<'_> {
    fn prompts(&self) -> Option<String> {
        let prompts = self.report.prompts.as_ref()?;
        let rows = (prompts.sets.iter())
            .map(|set| IntervalRow {
                name: set.name.clone(),
                share: set.top_1,
                mark: None,
            })
            .collect();
        let chart = Intervals {
            label: "Accuracy by set of templates, with 95 % intervals".into(),
            rows,
            ..Intervals::default()
        };
        let first = prompts.sets.first().map_or("", |set| set.name.as_str());
        let lines = (prompts.sets.iter())
            .map(|set| {
                let (difference, p) = match &set.against_first {
                    Some(test) => (
                        format!(
                            "{:+.1} ({})",
                            100.0 * test.difference.value,
                            range(test.difference)
                        ),
                        p_value(test.p_value),
                    ),
                    None => ("".into(), "".into()),
                };
                vec![
                    text(&set.name),
                    number(set.templates.len()),
                    number(format!(
                        "{} ({})",
                        percent(set.top_1.value),
                        range(set.top_1)
                    )),
                    number(format!(
                        "{} ({})",
                        percent(set.mean_per_class.value),
                        range(set.mean_per_class)
                    )),
                    number(difference),
                    number(p),
                ]
            })
            .collect();
        let against = format!("top-1 against “{}”", escaped(first));
        let heads = [
            "templates",
            "number",
            "top-1",
            "mean of classes",
            against.as_str(),
            "McNemar",
        ];
        let mut content = String::new();
        if let Some(best) = prompts.best_other().map(|index| &prompts.sets[index]) {
            let _ = writeln!(content, "<p>{}</p>", against_first(best, first));
            let least = prompts.sets.iter().skip(1);
            let least = least.min_by(|a, b| a.top_1.value.total_cmp(&b.top_1.value));
            if let Some(least) = least.filter(|least| least.name != best.name) {
                let _ = writeln!(content, "<p>{}</p>", against_first(least, first));
            }
        }
        content.push_str("<div class=\"pair\">\n");
        content.push_str(&figure(
            "Top-1 accuracy by set of templates",
            &chart.svg(),
            &table("Accuracy by set of templates", &heads, lines),
        ));
        for index in 1..prompts.sets.len() {
            content.push_str(&self.changes(prompts, index));
        }
        content.push_str("</div>\n");
        Some(content)
    }

    /// Classes that gain or lose with a set of templates.
    fn changes(&self, prompts: &PromptComparison, index: usize) -> String {
        let changes = prompts.changes(index);
        if changes.is_empty() {
            return String::new();
        }
        let classes = &self.report.metrics.classes;
        let name = |class: usize| classes.get(class).map_or("", |class| class.name.as_str());
        let drawn: Vec<&ClassChange> = match changes.len() {
            count if count <= 2 * MOST_CHANGED => changes.iter().collect(),
            count => {
                let last = &changes[count - MOST_CHANGED..];
                changes[..MOST_CHANGED].iter().chain(last).collect()
            }
        };
        let drawn = (drawn.into_iter())
            .map(|change| (name(change.class).to_owned(), change.after - change.before))
            .collect();
        let lines = (changes.iter())
            .map(|change| {
                vec![
                    text(name(change.class)),
                    number(percent(change.before)),
                    number(percent(change.after)),
                    number(format!("{:+.1}", 100.0 * (change.after - change.before))),
                ]
            })
            .collect();
        let set = prompts.sets.get(index).map_or("", |set| set.name.as_str());
        let caption = format!("Classes that gain or lose with “{set}”, in points of recall");
        let chart = Changes {
            label: caption.clone(),
            rows: drawn,
        };
        let heads = ["class", "before", "after", "change"];
        figure(&caption, &chart.svg(), &table(&caption, &heads, lines))
    }

    fn shots(&self) -> Option<String> {
        let shots = self.report.shots.as_ref()?;
        let points = shots.methods.first().map_or(&[][..], |curve| &curve.points);
        let name = |shots: Option<usize>, per_class: f64| match shots {
            Some(shots) => shots.to_string(),
            None => format!("all ({per_class:.0})"),
        };
        let ticks: Vec<String> = points
            .iter()
            .map(|point| name(point.shots, point.per_class))
            .collect();
        let lines = (shots.methods.iter())
            .map(|curve| Line {
                name: curve.method.name().into(),
                points: (curve.points.iter().enumerate())
                    .map(|(tick, point)| {
                        let (mean, spread) = point.mean_and_spread();
                        Point {
                            tick,
                            mean: 100.0 * mean,
                            spread: 100.0 * spread,
                        }
                    })
                    .collect(),
            })
            .collect();
        let chart = Chart {
            title: "Mean of classes, band: spread of the draws".into(),
            x: "labelled images per class".into(),
            y: "mean of classes (%)".into(),
            ticks,
            lines,
            level: Some(("zero-shot".into(), 100.0 * shots.zero_shot)),
        };
        let rows = (points.iter().enumerate())
            .map(|(index, point)| {
                let mut row = vec![
                    text(&name(point.shots, point.per_class)),
                    number(point.accuracies.len()),
                ];
                row.extend(shots.methods.iter().map(|curve| {
                    let (mean, spread) = curve.points[index].mean_and_spread();
                    number(format!("{:.1} ± {:.1}", 100.0 * mean, 100.0 * spread))
                }));
                row
            })
            .collect();
        let mut heads = vec!["images per class", "draws"];
        heads.extend(shots.methods.iter().map(|curve| curve.method.name()));
        let mut content = format!(
            "<p>The same features: classifiers that learn from a few labelled images, against the class names alone. \
             Tested on {} images; the shots are drawn from {} others. Zero-shot has {} here.</p>\n<ul>\n",
            shots.tested,
            shots.pool,
            percent(shots.zero_shot)
        );
        for sentence in told(shots) {
            let _ = writeln!(content, "<li>{sentence}</li>");
        }
        content.push_str("</ul>\n");
        content.push_str(&beside(
            "Accuracy by number of labelled images",
            &chart.svg(),
            &table("Accuracy by number of labelled images", &heads, rows),
        ));
        Some(content)
    }

    fn comparison(&self) -> Option<String> {
        let other = self.report.comparison.as_ref()?;
        let (own, test) = (&self.report.metrics, &other.test);
        let verdict = match (test.p_value < 0.05, test.difference.value > 0.0) {
            (false, _) => "The two cannot be told apart on these images".to_owned(),
            (true, true) => format!("<b>{}</b> is better", escaped(&other.model)),
            (true, false) => format!("<b>{}</b> is better", escaped(&self.report.model)),
        };
        let how = match test.statistic {
            Some(statistic) => format!("χ² = {statistic:.2} with continuity correction"),
            None => "exact binomial test".into(),
        };
        let row = |name: &str, share| IntervalRow {
            name: name.into(),
            share,
            mark: None,
        };
        let chart = Intervals {
            label: "Accuracy of two models, with 95 % intervals".into(),
            rows: vec![
                row(&self.report.model, own.top_1),
                row(&other.model, other.metrics.top_1),
            ],
            ..Intervals::default()
        };
        let cells = |name: &str, metrics: &Metrics| {
            let estimate =
                |e: IntervalEstimate| number(format!("{} ({})", percent(e.value), range(e)));
            vec![
                text(name),
                estimate(metrics.top_1),
                estimate(metrics.top_5),
                estimate(metrics.mean_per_class),
            ]
        };
        let models = table(
            "Accuracy of two models",
            &["model", "top-1", "top-5", "mean of classes"],
            vec![
                cells(&self.report.model, own),
                cells(&other.model, &other.metrics),
            ],
        );
        let pairs = table(
            "Images that the models name right and wrong",
            &["", "second right", "second wrong"],
            vec![
                vec![
                    text("first right"),
                    number(test.both),
                    number(test.only_first),
                ],
                vec![
                    text("first wrong"),
                    number(test.only_second),
                    number(test.neither),
                ],
            ],
        );
        let content = format!(
            "<p>{verdict}: second less first is {:+.1} points ({}); McNemar’s test, {how}, {}.</p>\n<div class=\"pair\">\n{}<div>\
             <h3>First: {}; second: {}</h3>\n{pairs}</div></div>\n",
            100.0 * test.difference.value,
            range(test.difference),
            p_value(test.p_value),
            figure("Top-1 accuracy", &chart.svg(), &models),
            escaped(&self.report.model),
            escaped(&other.model)
        );
        Some(content)
    }

    fn calibration(&self) -> Option<String> {
        let calibration = self.report.calibration.as_ref()?;
        let (before, after) = (&calibration.before, &calibration.after);
        let sure = match calibration.temperature {
            t if t > 1.05 => "it is too sure of itself",
            t if t < 0.95 => "it is not sure enough",
            _ => "it is about as sure as it should be",
        };
        let label = format!(
            "Reliability diagram: calibration error {} as it is, {} with the temperature",
            percent(before.ece),
            percent(after.ece)
        );
        let diagram = ReliabilityDiagram {
            label: &label,
            before,
            after,
        };
        let rows = (before.bins.iter().zip(&after.bins))
            .filter(|(before, after)| before.images + after.images > 0)
            .map(|(before, after)| {
                let share = |bin: &Bin, value: f64| match bin.images {
                    0 => number("–"),
                    _ => number(percent(value)),
                };
                vec![
                    text(&format!(
                        "{:.0} to {:.0} %",
                        100.0 * before.low,
                        100.0 * before.high
                    )),
                    number(before.images),
                    share(before, before.confidence),
                    share(before, before.accuracy),
                    number(after.images),
                    share(after, after.confidence),
                    share(after, after.accuracy),
                ]
            })
            .collect();
        let bins = table(
            "Bins of the reliability diagram",
            &[
                "probability",
                "answers",
                "mean probability",
                "right",
                "answers, with temperature",
                "mean probability",
                "right",
            ],
            rows,
        );
        let summary = table(
            "Calibration before and after temperature scaling",
            &["", "as it is", "with the temperature"],
            [
                (
                    "expected calibration error",
                    percent(before.ece),
                    percent(after.ece),
                ),
                (
                    "negative log-likelihood",
                    format!("{:.3}", before.nll),
                    format!("{:.3}", after.nll),
                ),
                (
                    "Brier score",
                    format!("{:.3}", before.brier),
                    format!("{:.3}", after.brier),
                ),
            ]
            .into_iter()
            .map(|(name, before, after)| vec![text(name), number(before), number(after)])
            .collect(),
        );
        let content = format!(
            "<p>Of answers with a probability of 80 %, 80 % should be right. The temperature that fits best is {:.2}: {sure}. \
             It was fitted on {} images; all figures are of the {} others.</p>\n<div class=\"pair\">\n{}<div>{summary}</div></div>\n",
            calibration.temperature,
            calibration.fitted_on,
            before.images,
            figure("Reliability diagram", &diagram.svg(), &bins)
        );
        Some(content)
    }

    fn classes(&self) -> String {
        let classes = &self.report.metrics.classes;
        let mut order: Vec<usize> = (0..classes.len())
            .filter(|c| classes[*c].images > 0)
            .collect();
        order.sort_by(|a, b| {
            let recall = |class: &usize| classes[*class].recall.value;
            recall(b).total_cmp(&recall(a))
        });
        let drawn: Vec<usize> = match order.len() {
            count if count > BARS => [&order[..BARS / 4], &order[count - 3 * BARS / 4..]].concat(),
            _ => order.clone(),
        };
        let rows = (drawn.iter())
            .map(|class| IntervalRow {
                name: classes[*class].name.clone(),
                share: classes[*class].recall,
                mark: (classes[*class].named > 0).then_some(classes[*class].precision.value),
            })
            .collect();
        let chart = Intervals {
            label: "Recall of the classes with 95 % intervals, precision as diamonds".into(),
            rows,
            bars: true,
            ..Intervals::default()
        };
        let lines = (order.iter().map(|class| &classes[*class]))
            .map(|class| {
                let precision = match class.named {
                    0 => number("–"),
                    _ => number(percent(class.precision.value)),
                };
                vec![
                    text(&class.name),
                    number(class.images),
                    number(class.named),
                    number(format!(
                        "{} ({})",
                        percent(class.recall.value),
                        range(class.recall)
                    )),
                    precision,
                    number(format!("{:.3}", class.f1)),
                ]
            })
            .collect();
        let metrics = &self.report.metrics;
        let some = match order.len() > BARS {
            true => format!(
                " Drawn are the {} best and the {} worst of {} classes; the table has all.",
                BARS / 4,
                3 * BARS / 4,
                order.len()
            ),
            false => String::new(),
        };
        let content = format!(
            "<p>Bars: recall, the share of a class’s images that is named right, with its 95 % interval. Diamonds: \
             precision, the share of a name’s answers that is right. Macro averages: precision {}, recall {}, F1 {} ({}).{some}</p>\n{}",
            percent(metrics.macro_precision),
            percent(metrics.macro_recall),
            percent(metrics.macro_f1.value),
            range(metrics.macro_f1),
            beside(
                "Recall and precision by class",
                &chart.svg(),
                &table(
                    "Metrics of every class",
                    &["class", "images", "named so", "recall", "precision", "F1"],
                    lines
                )
            )
        );
        content
    }

    fn confusion(&self) -> String {
        let evaluation = &self.report.evaluation;
        let names: Vec<String> = evaluation
            .classes
            .iter()
            .map(|class| class.name.clone())
            .collect();
        let mut pairs: Vec<_> = evaluation
            .confusion
            .iter()
            .filter(|e| e.truth != e.answer)
            .collect();
        pairs.sort_by_key(|entry| std::cmp::Reverse(entry.images));
        let rows = (pairs.iter().take(SHOWN))
            .map(|entry| {
                let of = &evaluation.classes[entry.truth];
                vec![
                    text(&of.name),
                    text(&names[entry.answer]),
                    number(entry.images),
                    number(percent(entry.images as f64 / of.images.max(1) as f64)),
                ]
            })
            .collect();
        let matrix = MatrixChart {
            label: "Confusion matrix: rows are true classes, columns answers".into(),
            counts: evaluation.confusion_matrix(),
            names,
        };
        let common = table(
            "Most common confusions",
            &["true class", "named", "images", "of the class"],
            rows,
        );
        let content = format!(
            "<p>Rows are true classes, columns what they were named; the stronger a cell, the larger its share of the row.</p>\n\
             <div class=\"pair\">\n{}<div><h3>Most common confusions</h3>\n{common}</div></div>\n",
            figure("Confusion matrix", &matrix.svg(), "")
        );
        content
    }

    fn mistakes(&self, pictures: &BTreeMap<String, String>) -> Option<String> {
        let mistakes = &self.report.evaluation.mistakes;
        if mistakes.is_empty() {
            return None;
        }
        let items: Vec<String> = (mistakes.iter().take(SHOWN))
            .map(|mistake| {
                let picture = match pictures.get(&mistake.path) {
                    Some(address) => format!(
                        "<img src=\"{}\" alt=\"image of class {}\">",
                        escaped(address),
                        escaped(&mistake.truth)
                    ),
                    None => String::new(),
                };
                format!(
                    "<li>{picture}<b>{}</b> {:.0} %<br>is <b>{}</b> {:.0} %<br><small>{}</small></li>\n",
                    escaped(&mistake.answer),
                    100.0 * mistake.probability,
                    escaped(&mistake.truth),
                    100.0 * mistake.truth_probability,
                    escaped(&mistake.path)
                )
            })
            .collect();
        let content = format!(
            "<p>Wrong answers of the highest probability. Some may be mistakes of the data.</p>\n<ul class=\"mistakes\">\n{}</ul>\n",
            items.concat()
        );
        Some(content)
    }

    fn limits(&self) -> Option<String> {
        let limits = &self.report.limits;
        if limits.is_empty() {
            return None;
        }
        let mut content = String::from(
            "<p>What the paper says CLIP is bad at, tried with this model on small sets.</p>\n<div class=\"pair\">\n",
        );
        for limit in limits {
            let rows = (limit.rows.iter())
                .map(|row| IntervalRow {
                    name: row.name.clone(),
                    share: row.share,
                    mark: None,
                })
                .collect();
            let chart = Intervals {
                label: format!(
                    "{}: share of right answers by kind, with 95 % intervals",
                    limit.name
                ),
                rows,
                level: limit
                    .chance
                    .map(|chance| (format!("guessing {:.0} %", 100.0 * chance), chance)),
                bars: true,
            };
            let lines = (limit.rows.iter())
                .map(|row| {
                    vec![
                        text(&row.name),
                        number(percent(row.share.value)),
                        number(range(row.share)),
                    ]
                })
                .collect();
            let _ = writeln!(
                content,
                "<div><h3>{}</h3>\n<p>{} <span class=\"muted\">({} images)</span></p>\n<p>{}</p>\n{}</div>",
                escaped(&limit.name),
                escaped(&limit.question),
                limit.images,
                escaped(&limit.finding),
                figure(
                    &format!("{}: {} right", limit.name, percent(limit.accuracy.value)),
                    &chart.svg(),
                    &table(&limit.name, &["kind", "share", "95 % interval"], lines)
                )
            );
        }
        content.push_str("</div>\n");
        Some(content)
    }

    fn method(&self) -> String {
        let templates: Vec<String> = (self.report.templates.iter())
            .map(|template| format!("<code>{}</code>", escaped(template)))
            .collect();
        let templates = match templates.len() {
            ..=8 => templates.join(", "),
            count => format!("{} and {} more", templates[..5].join(", "), count - 5),
        };
        let notes: Vec<String> = (self.report.notes.iter())
            .map(|note| format!("<li>{}</li>\n", escaped(note)))
            .collect();
        let notes = match notes.is_empty() {
            true => String::new(),
            false => format!("<h3>Notes</h3>\n<ul>\n{}</ul>\n", notes.concat()),
        };
        let content = format!(
            "<p>Templates: {templates}. A class is the normalised mean of its prompts’ features; an image gets the class \
             of the greatest cosine. A tie is no right answer.</p>\n\
             <p>Intervals of plain shares are Wilson’s; those of the mean of classes and of macro F1 are percentiles of \
             1,000 bootstrap samples of each class’s images, with a fixed seed; those of differences are Wald’s for pairs. \
             Precision, recall, F1 and the mean of classes are as in scikit-learn. The calibration error has 15 bins of \
             equal width. McNemar’s test is exact below 25 disagreements. Several comparisons in one report are not \
             corrected for.</p>\n{notes}"
        );
        content
    }
}

/// A set of templates against the first one, as a sentence of HTML.
fn against_first(set: &PromptResult, first: &str) -> String {
    let (difference, p) =
        (set.against_first).map_or((0.0, 1.0), |test| (test.difference.value, test.p_value));
    let judged = match p < 0.05 {
        true => "a significant difference",
        false => "which may be chance",
    };
    format!(
        "<b>{}</b> has {}: {:+.1} points against <b>{}</b>, {judged} ({}).",
        escaped(&set.name),
        percent(set.top_1.value),
        100.0 * difference,
        escaped(first),
        p_value(p)
    )
}

/// What the curves say, as HTML.
fn told(shots: &ShotsCurve) -> Vec<String> {
    let mut sentences = Vec::new();
    let count = |images: f64| match images {
        images if images < 9.5 && (images - images.round()).abs() > 0.05 => format!("{images:.1}"),
        images => format!("{images:.0}"),
    };
    if let Some(worth) = shots.worth(FewShotMethod::Probe) {
        sentences.push(match worth {
            Worth::AtMost(images) => format!(
                "Zero-shot is worth <b>less than {}</b> images of each class: the linear probe is above it from the start.",
                count(images)
            ),
            Worth::About(images) => format!(
                "Zero-shot is worth about <b>{} images of each class</b>: there the linear probe overtakes it.",
                count(images)
            ),
            Worth::MoreThan(images) => format!(
                "Zero-shot is worth <b>more than {} images of each class</b>: the linear probe does not reach it.",
                count(images)
            ),
        });
    }
    for curve in &shots.methods {
        let name = match curve.method {
            FewShotMethod::Probe => "The linear probe",
            FewShotMethod::Adapter => "The adapter",
            FewShotMethod::Gda => "GDA",
        };
        sentences.push(match shots.dip(curve.method) {
            Some((at, gap)) => format!(
                "{name} falls below zero-shot, most with {}: by {:.1} points.",
                at.map_or("all images".into(), |shots| match shots {
                    1 => "one image of each class".into(),
                    shots => format!("{shots} images of each class"),
                }),
                -100.0 * gap
            ),
            None => format!("{name} is on average never below zero-shot."),
        });
    }
    let average = |method: FewShotMethod| {
        let curve = shots.methods.iter().find(|curve| curve.method == method)?;
        let means: Vec<f64> = curve
            .points
            .iter()
            .map(|point| point.mean_and_spread().0)
            .collect();
        Some(mean_and_spread(&means).0)
    };
    if let (Some(gda), Some(adapter)) =
        (average(FewShotMethod::Gda), average(FewShotMethod::Adapter))
    {
        sentences.push(format!(
            "On average over the numbers of images, GDA has {} and the adapter {}.",
            percent(gda),
            percent(adapter)
        ));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::super::super::*;
    use super::*;

    fn report() -> Report {
        let classes = ["cat <i>", "dog"].map(String::from);
        let logits: Vec<Vec<f32>> = (0..40)
            .map(|i| {
                if i % 5 == 0 {
                    vec![0.0, 1.5]
                } else {
                    vec![1.0, 0.5]
                }
            })
            .collect();
        let truth: Vec<usize> = (0..40).map(|i| usize::from(i % 4 == 0)).collect();
        let predictions = Predictions {
            classes: &classes,
            logits: &logits,
            truth: &truth,
        };
        let judged: Vec<Judged> = (truth.iter().zip(&logits))
            .map(|(truth, logits)| Judged {
                path: "a.png",
                truth: *truth,
                probabilities: softmax(logits),
            })
            .collect();
        let right = predictions.right();
        let mut prompts = PromptComparison::default();
        prompts.add("label only", &["{label}".into()], &predictions, None);
        prompts.add(
            "photo",
            &["A photo of a {label}.".into()],
            &predictions,
            Some(&right),
        );
        let point = |shots: Option<usize>, accuracy: f64| ShotPoint {
            shots,
            per_class: shots.unwrap_or(20) as f64,
            accuracies: vec![accuracy],
        };
        Report {
            data: "pets & more".into(),
            model: "toy".into(),
            templates: vec!["A {label}.".into(); 80],
            evaluation: Evaluation::new(&classes, &judged),
            metrics: Metrics::new(&predictions),
            calibration: Calibration::new(&predictions),
            prompts: Some(prompts),
            shots: Some(ShotsCurve {
                classes: 2,
                pool: 40,
                tested: 20,
                zero_shot: 0.6,
                methods: vec![MethodCurve {
                    method: FewShotMethod::Probe,
                    points: vec![point(Some(1), 0.4), point(Some(4), 0.8), point(None, 0.9)],
                }],
            }),
            comparison: Some(ModelComparison {
                model: "other".into(),
                metrics: Metrics::new(&predictions),
                test: McNemar::new(&right, &right),
            }),
            limits: vec![LimitResult::attack(10, AttackCounts::default())],
            notes: vec!["one <b>".into()],
        }
    }

    #[test]
    fn a_report_is_one_page_with_every_part() {
        let report = report();
        let pictures = BTreeMap::from([("a.png".into(), "data:image/png;base64,AAAA".into())]);
        let page = report.html(&pictures);
        for id in [
            "prompts",
            "shots",
            "models",
            "calibration",
            "classes",
            "confusion",
            "mistakes",
            "limits",
            "method",
        ] {
            assert!(page.contains(&format!("<section id=\"{id}\"")), "{id}");
            assert!(page.contains(&format!("href=\"#{id}\"")), "{id}");
        }
        assert!(page.contains("cat &lt;i&gt;") && !page.contains("<i>"));
        assert!(page.contains("one &lt;b&gt;") && page.contains("pets &amp; more"));
        assert!(
            page.contains("worth about <b>2 images of each class</b>"),
            "two of 1 and 4"
        );
        assert!(page.contains("data:image/png;base64,AAAA"));
        assert!(page.contains("and 75 more"));
        // It is whole without a script, a network or another file.
        let without_names = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for outside in ["<script", "http:", "https:", "<link"] {
            assert!(!without_names.contains(outside), "{outside}");
        }
        assert!(!page.contains("NaN") && !page.contains("inf"));
        for tag in [
            "section", "figure", "table", "svg", "div", "ul", "details", "g", "p", "li",
        ] {
            let opened = page.matches(&format!("<{tag}>")).count()
                + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
        // Every chart has its words.
        assert_eq!(
            page.matches("<svg").count(),
            page.matches("role=\"img\" aria-label=").count()
        );
    }

    #[test]
    fn a_report_survives_json_and_may_be_nearly_empty() {
        let report = report();
        let json = serde_json::to_string(&report).unwrap();
        // JSON may round the last digit.
        let read: Report = serde_json::from_str(&json).unwrap();
        assert_eq!(read.html(&BTreeMap::new()), report.html(&BTreeMap::new()));
        let page = Report::default().html(&BTreeMap::new());
        assert!(page.contains("</html>") && !page.contains("NaN"));
        assert!(!page.contains("id=\"shots\""));
    }
}
