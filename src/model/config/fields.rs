//! JSON object of a config file, whose keys are taken out as they are read: what is left
//! at the end was not understood.

use serde_json::{Map, Value};

use super::ConfigError;
use crate::model::Activation;

/// Object with its place in its file, for error messages.
pub(super) struct Fields {
    file: &'static str,
    /// Path of the object, with a dot at its end; empty for the file itself.
    path: String,
    values: Map<String, Value>,
}

impl Fields {
    pub fn parse(file: &'static str, json: &[u8]) -> Result<Self, ConfigError> {
        let values =
            serde_json::from_slice(json).map_err(|source| ConfigError::Json { file, source })?;
        Ok(Self {
            file,
            path: String::new(),
            values,
        })
    }

    /// Object without keys, in place of one that the file does not have.
    pub fn empty(&self, key: &str) -> Self {
        Self {
            file: self.file,
            path: format!("{}{key}.", self.path),
            values: Map::new(),
        }
    }

    /// Takes a value; `None` if there is none, or `null`.
    fn take(&mut self, key: &str) -> Option<Value> {
        self.values.remove(key).filter(|value| !value.is_null())
    }

    pub fn has(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(|value| !value.is_null())
    }

    /// Whether a value is written as `null`, which is not the same as leaving it out where
    /// that has a default.
    pub fn is_null(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(Value::is_null)
    }

    pub fn object(&mut self, key: &str) -> Result<Option<Self>, ConfigError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Object(values)) => Ok(Some(Self {
                values,
                ..self.empty(key)
            })),
            Some(_) => Err(self.wrong(key, "an object")),
        }
    }

    pub fn list(&mut self, key: &str) -> Option<Vec<Value>> {
        match self.values.get(key) {
            Some(Value::Array(_)) => match self.take(key) {
                Some(Value::Array(values)) => Some(values),
                _ => None,
            },
            _ => None,
        }
    }

    pub fn number(&mut self, key: &str) -> Result<Option<usize>, ConfigError> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let number = value.as_u64().and_then(|n| usize::try_from(n).ok());
        (number.map(Some)).ok_or_else(|| self.wrong(key, "a whole number"))
    }

    pub fn number_or(&mut self, key: &str, default: usize) -> Result<usize, ConfigError> {
        Ok(self.number(key)?.unwrap_or(default))
    }

    /// A number, or a list of two equal ones.
    pub fn square_or(&mut self, key: &str, default: usize) -> Result<usize, ConfigError> {
        match self.list(key) {
            None => self.number_or(key, default),
            Some(sides) => match sides.as_slice() {
                [height, width] if height == width && height.is_u64() => {
                    self.values.insert(key.into(), height.clone());
                    self.number_or(key, default)
                }
                _ => Err(self.unsupported(key, &Value::Array(sides))),
            },
        }
    }

    pub fn token_id(&mut self, key: &str) -> Result<Option<u32>, ConfigError> {
        let id = self.number(key)?.map(u32::try_from).transpose();
        id.map_err(|_| self.wrong(key, "the id of a token"))
    }

    pub fn float_or(&mut self, key: &str, default: f64) -> Result<f64, ConfigError> {
        match self.take(key) {
            None => Ok(default),
            Some(value) => (value.as_f64()).ok_or_else(|| self.wrong(key, "a number")),
        }
    }

    pub fn flag_or(&mut self, key: &str, default: bool) -> Result<bool, ConfigError> {
        match self.take(key) {
            None => Ok(default),
            Some(value) => (value.as_bool()).ok_or_else(|| self.wrong(key, "true or false")),
        }
    }

    pub fn text(&mut self, key: &str) -> Result<Option<String>, ConfigError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "a text")),
        }
    }

    /// `width` times the ratio of a key (4 when absent).
    pub fn scaled(&mut self, key: &str, width: usize) -> Result<usize, ConfigError> {
        Ok((self.float_or(key, 4.0)? * width as f64) as usize)
    }

    /// Activation by its name in transformers.
    pub fn activation_or(
        &mut self,
        key: &str,
        default: Activation,
    ) -> Result<Activation, ConfigError> {
        match self.text(key)?.as_deref() {
            None => Ok(default),
            Some("quick_gelu") => Ok(Activation::QuickGelu),
            Some("gelu") => Ok(Activation::Gelu),
            // Three names of one formula.
            Some("gelu_pytorch_tanh" | "gelu_new" | "gelu_fast") => Ok(Activation::GeluTanh),
            Some(other) => Err(self.unsupported(key, &other.into())),
        }
    }

    /// Key of which one of a few values is implemented, the first if it is absent.
    pub fn one_of<const N: usize>(
        &mut self,
        key: &str,
        values: [Value; N],
    ) -> Result<(), ConfigError> {
        match self.take(key) {
            Some(found) if !values.contains(&found) => Err(self.unsupported(key, &found)),
            _ => Ok(()),
        }
    }

    /// Features that are not implemented: each must be switched off.
    pub fn all_off(&mut self, keys: &[&str]) -> Result<(), ConfigError> {
        keys.iter()
            .try_for_each(|key| self.one_of(key, [false.into()]))
    }

    /// Keys that cannot change the answer.
    pub fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            self.values.remove(*key);
        }
    }

    /// Refuses what was not read.
    pub fn finish(self) -> Result<(), ConfigError> {
        match self.values.iter().find(|(_, value)| !value.is_null()) {
            None => Ok(()),
            Some((key, _)) => Err(ConfigError::UnknownKey {
                file: self.file,
                key: format!("{}{key}", self.path),
            }),
        }
    }

    pub fn wrong(&self, key: &str, expected: &'static str) -> ConfigError {
        ConfigError::Field {
            file: self.file,
            field: format!("{}{key}", self.path),
            expected,
        }
    }

    /// Refusal of a value that is not implemented.
    pub fn unsupported(&self, key: &str, value: &Value) -> ConfigError {
        // A long value would bury the message.
        let value: String = value.to_string().chars().take(80).collect();
        self.refuse(format!("`{}{key}` is {value}", self.path))
    }

    /// Refusal of a model of another kind.
    pub fn refuse(&self, what: String) -> ConfigError {
        ConfigError::Unsupported {
            file: self.file,
            what,
        }
    }
}
