//! What a visitor chooses to evaluate with.

/// Templates that are chosen to evaluate with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TemplateChoice {
    #[default]
    Default,
    LabelOnly,
    /// Of the data set.
    Own,
    /// Of a published data set, by name.
    Set(String),
    /// The visitor's.
    Written,
}

impl TemplateChoice {
    /// Value of an option.
    pub fn value(&self) -> String {
        match self {
            Self::Default => "default".into(),
            Self::LabelOnly => "label".into(),
            Self::Own => "own".into(),
            Self::Written => "written".into(),
            Self::Set(name) => format!("set {name}"),
        }
    }

    /// The choice of an option's value.
    pub fn of_value(value: &str) -> Self {
        match value {
            "label" => Self::LabelOnly,
            "own" => Self::Own,
            "written" => Self::Written,
            value => match value.strip_prefix("set ") {
                Some(name) => Self::Set(name.into()),
                None => Self::Default,
            },
        }
    }
}

/// Names for classes that are numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NameChoice {
    /// Those of the data set.
    #[default]
    Own,
    /// Of a published data set, by name.
    Set(String),
    /// The visitor's.
    Written,
}

impl NameChoice {
    /// Value of an option.
    pub fn value(&self) -> String {
        match self {
            Self::Own => "own".into(),
            Self::Written => "written".into(),
            Self::Set(name) => format!("set {name}"),
        }
    }

    /// The choice of an option's value.
    pub fn of_value(value: &str) -> Self {
        match value {
            "written" => Self::Written,
            value => match value.strip_prefix("set ") {
                Some(name) => Self::Set(name.into()),
                None => Self::Own,
            },
        }
    }
}
