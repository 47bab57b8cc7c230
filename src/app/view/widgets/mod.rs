//! Components that are used in several places.

mod close_icon;
mod failure;
mod line_chart;
mod progress_bar;

pub use close_icon::{CloseIcon, RemoveButton};
pub use failure::Failure;
pub use line_chart::{LineChart, figures, percent, small};
pub use progress_bar::ProgressBar;
