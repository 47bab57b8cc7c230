//! Components that are used in several places.

mod close_icon;
mod failure;
mod file_input;
mod line_chart;
mod notes;
mod paced_for;
mod progress_bar;
mod step_title;

pub use close_icon::{CloseIcon, RemoveButton};
pub use failure::Failure;
pub use file_input::{ChooseFiles, FileInput};
pub use line_chart::{LineChart, figures, percent, small};
pub use notes::NoteList;
pub use paced_for::PacedFor;
pub use progress_bar::ProgressBar;
pub use step_title::StepTitle;
