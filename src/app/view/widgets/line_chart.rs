//! Small charts of our own: a curve that grows while it is watched.

use leptos::prelude::*;

use crate::app::i18n::t;

/// Of the drawing, in its own units.
const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 120.0;
/// More points than this are a blur.
const MOST: usize = 240;

/// Neighbouring points averaged, until few enough are left.
fn thinned(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let each = points.len().div_ceil(MOST).max(1);
    (points.chunks(each))
        .map(|part| {
            let mean = |axis: usize| part.iter().map(|p| p[axis]).sum::<f64>() / part.len() as f64;
            [mean(0), mean(1)]
        })
        .collect()
}

/// A running mean, without the pull to its beginning.
fn smoothed(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let keep = 1.0 - 1.0 / (points.len() as f64 / 24.0).max(1.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    (points.iter())
        .map(|[x, y]| {
            sum = keep * sum + y;
            weight = keep * weight + 1.0;
            [*x, sum / weight]
        })
        .collect()
}

/// What the axes reach over.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    x: [f64; 2],
    y: [f64; 2],
}

impl Span {
    fn of(points: &[[f64; 2]], floor: Option<[f64; 2]>) -> Self {
        let range = |axis: usize| {
            let values = points.iter().map(|p| p[axis]).filter(|v| v.is_finite());
            let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| {
                (low.min(v), high.max(v))
            });
            if low > high { [0.0, 1.0] } else { [low, high] }
        };
        let mut y = floor.unwrap_or_else(|| range(1));
        if y[1] - y[0] < 1e-9 {
            let around = (y[0].abs() * 0.05).max(1e-3);
            y = [y[0] - around, y[1] + around];
        }
        let mut x = range(0);
        if x[1] <= x[0] {
            x[1] = x[0] + 1.0;
        }
        Self { x, y }
    }

    fn place(self, [x, y]: [f64; 2]) -> [f64; 2] {
        let share = |value: f64, [low, high]: [f64; 2]| (value - low) / (high - low);
        [
            share(x, self.x) * WIDTH,
            HEIGHT - 4.0 - share(y, self.y) * (HEIGHT - 8.0),
        ]
    }

    fn path(self, points: &[[f64; 2]]) -> String {
        let places = points.iter().filter(|p| p[1].is_finite()).map(|point| {
            let [x, y] = self.place(*point);
            format!("{x:.1},{y:.1}")
        });
        places.collect::<Vec<_>>().join(" ")
    }
}

/// A chart with one curve. `range`: what its values reach over, where that is
/// known beforehand.
#[component]
pub fn LineChart(
    title: &'static str,
    about: &'static str,
    #[prop(into)] points: Signal<Vec<[f64; 2]>>,
    format: fn(f64) -> String,
    /// Draws the running mean, and the points themselves faintly.
    #[prop(optional)]
    smooth: bool,
    #[prop(optional)] range: Option<[f64; 2]>,
    /// Name of the horizontal axis.
    #[prop(default = t!("step"))]
    axis: &'static str,
) -> impl IntoView {
    let thin = Memo::new(move |_| points.with(|points| thinned(points)));
    let span = Memo::new(move |_| thin.with(|points| Span::of(points, range)));
    let line = move || {
        thin.with(|points| match smooth {
            true => span.get().path(&smoothed(points)),
            false => span.get().path(points),
        })
    };
    let faint = move || thin.with(|points| span.get().path(points));
    let last = Memo::new(move |_| points.with(|points| points.last().copied()));
    let now = move || last.get().map(|point| format(point[1]));
    let dot = move || {
        thin.with(|points| {
            let points = if smooth {
                smoothed(points)
            } else {
                points.clone()
            };
            points.last().map(|point| span.get().place(*point))
        })
    };
    let spoken = move || match last.get() {
        Some([x, y]) => t!(
            "chart-at",
            title = title,
            value = format(y),
            axis = axis,
            x = format!("{x:.0}")
        ),
        None => t!("chart-empty", title = title),
    };
    view! {
        <figure class="chart" data-testid="chart" data-points=move || points.with(Vec::len).to_string()>
            <figcaption title=about>
                <span>{title}</span>
                <strong>{now}</strong>
            </figcaption>
            <div class="chart-body">
                <svg
                    viewBox=format!("0 0 {WIDTH} {HEIGHT}")
                    preserveAspectRatio="none"
                    role="img"
                    aria-label=spoken
                >
                    <path class="grid" d="M0 4H320M0 60H320M0 116H320" />
                    {smooth.then(|| view! { <polyline class="faint" points=faint /> })}
                    <polyline class="line" points=line />
                    {move || {
                        dot().map(|[x, y]| view! { <path class="dot" d=format!("M{x:.1} {y:.1}h0") /> })
                    }}
                </svg>
                <span class="chart-high" aria-hidden="true">
                    {move || last.get().map(|_| format(span.get().y[1]))}
                </span>
                <span class="chart-low" aria-hidden="true">
                    {move || last.get().map(|_| format(span.get().y[0]))}
                </span>
            </div>
            <p class="chart-axis" aria-hidden="true">
                <span>{move || last.get().map(|_| t!("step-number", step = format!("{:.0}", span.get().x[0].floor())))}</span>
                <span>{move || last.get().map(|[x, _]| format!("{x:.0}"))}</span>
            </p>
        </figure>
    }
}

/// A number to three figures.
pub fn figures(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        1e-3..1.0 => format!("{value:.3}"),
        1.0..10.0 => format!("{value:.2}"),
        10.0..1e4 => format!("{value:.1}"),
        _ => format!("{value:.1e}"),
    }
}

/// The same for numbers that are small by nature.
pub fn small(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        1e-3.. => format!("{value:.4}"),
        _ => format!("{value:.1e}"),
    }
}

/// A share in per cent.
pub fn percent(value: f64) -> String {
    t!("percent", value = format!("{:.0}", value * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_points_become_few_and_keep_their_ends_together() {
        let points: Vec<[f64; 2]> = (0..10_000).map(|i| [f64::from(i), 1.0]).collect();
        let thin = thinned(&points);
        assert!(thin.len() <= MOST);
        assert!(thin.iter().all(|point| point[1] == 1.0));
        assert_eq!(thinned(&points[..5]), points[..5]);
        assert!(thinned(&[]).is_empty());
    }

    #[test]
    fn smoothing_leaves_a_constant_and_calms_a_zigzag() {
        let zigzag: Vec<[f64; 2]> = (0..200).map(|i| [f64::from(i), f64::from(i % 2)]).collect();
        let calm = smoothed(&zigzag);
        assert!(calm[150..].iter().all(|p| (p[1] - 0.5).abs() < 0.1));
        let flat = [[0.0, 3.0], [1.0, 3.0]];
        assert_eq!(smoothed(&flat), flat);
    }

    #[test]
    fn everything_is_drawn_inside() {
        for points in [
            vec![],
            vec![[1.0, 5.0]],
            vec![[1.0, 0.0], [2.0, 0.0]],
            vec![[1.0, f64::NAN], [3.0, 2.0], [9.0, -7.0]],
        ] {
            let span = Span::of(&points, None);
            for point in points.iter().filter(|p| p[1].is_finite()) {
                let [x, y] = span.place(*point);
                assert!(
                    (0.0..=WIDTH).contains(&x) && (0.0..=HEIGHT).contains(&y),
                    "{points:?}"
                );
            }
            assert!(!span.path(&points).contains("NaN"));
        }
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(figures(0.0123), "0.012");
        assert_eq!(figures(4.158_88), "4.16");
        assert_eq!(figures(14.285), "14.3");
        assert_eq!(figures(0.0001), "1.0e-4");
        assert_eq!(percent(0.8333), "83 %");
    }
}
