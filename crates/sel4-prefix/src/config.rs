// SPDX-License-Identifier: BSD-2-Clause
//! The kernel's configuration and the conditions that refer to it.

use std::collections::BTreeMap;

use crate::c::{Environment, EvalError, eval_condition};

/// The value of a configuration key: seL4's build writes switches as JSON booleans and everything
/// else as JSON strings, numbers included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A switch.
    Bool(bool),
    /// A number or a text.
    Text(String),
}

/// The configuration of a kernel: keys without the `CONFIG_` that they carry in C.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config(BTreeMap<String, Value>);

impl Config {
    /// Parses the flat JSON object that seL4's build writes as `gen_config.json`.
    ///
    /// # Errors
    /// A text that says what is wrong with it.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let json: serde_json::Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let object = json.as_object().ok_or("not a JSON object")?;
        let mut map = BTreeMap::new();
        for (key, value) in object {
            let value = match value {
                serde_json::Value::Bool(b) => Value::Bool(*b),
                serde_json::Value::String(s) => Value::Text(s.clone()),
                serde_json::Value::Number(n) => Value::Text(n.to_string()),
                _ => return Err(format!("{key} is neither a boolean nor a string")),
            };
            map.insert(key.clone(), value);
        }
        Ok(Self(map))
    }

    /// Writes what [`from_json`](Self::from_json) reads.
    pub fn to_json(&self) -> String {
        let mut object = serde_json::Map::new();
        for (key, value) in &self.0 {
            let value = match value {
                Value::Bool(b) => serde_json::Value::Bool(*b),
                Value::Text(s) => serde_json::Value::String(s.clone()),
            };
            object.insert(key.clone(), value);
        }
        serde_json::to_string_pretty(&object).expect("strings and booleans serialise")
    }

    /// Adds or replaces a key.
    pub fn insert(&mut self, key: impl Into<String>, value: Value) {
        self.0.insert(key.into(), value);
    }

    /// Adds all of `other`'s keys.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The value of `key`, written without `CONFIG_`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// Whether the switch `key` is there and on.
    pub fn is_set(&self, key: &str) -> bool {
        self.get(key) == Some(&Value::Bool(true))
    }

    /// All keys with their values, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// Evaluates a preprocessor condition as it appears in an interface definition
    /// (`defined(CONFIG_VTX)`, `CONFIG_MAX_NUM_NODES > 1`). No condition holds.
    ///
    /// # Errors
    /// If it is not a condition.
    pub fn holds(&self, condition: Option<&str>) -> Result<bool, EvalError> {
        match condition.map(str::trim) {
            None | Some("") => Ok(true),
            Some(text) => eval_condition(text, self),
        }
    }
}

impl Environment for Config {
    fn value(&self, name: &str) -> Option<i128> {
        match self.get(name.strip_prefix("CONFIG_")?)? {
            Value::Bool(true) => Some(1),
            Value::Bool(false) => None,
            Value::Text(text) => text.parse().ok(),
        }
    }

    fn defined(&self, name: &str) -> bool {
        name.strip_prefix("CONFIG_")
            .and_then(|key| self.get(key))
            .is_some_and(|value| *value != Value::Bool(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::from_json(r#"{"VTX": false, "DEBUG_BUILD": true, "MAX_NUM_NODES": "4"}"#).unwrap()
    }

    #[test]
    fn json_round_trips() {
        assert_eq!(Config::from_json(&config().to_json()).unwrap(), config());
    }

    #[test]
    fn nested_json_is_refused() {
        assert!(Config::from_json(r#"{"A": {}}"#).is_err());
        assert!(Config::from_json("[]").is_err());
    }

    #[test]
    fn conditions_follow_the_configuration() {
        let config = config();
        for (condition, expected) in [
            ("", true),
            ("defined CONFIG_DEBUG_BUILD", true),
            ("defined(CONFIG_VTX)", false),
            ("!defined(CONFIG_VTX)", true),
            ("defined(CONFIG_UNHEARD_OF)", false),
            ("CONFIG_MAX_NUM_NODES > 1", true),
            ("CONFIG_MAX_NUM_NODES > 4", false),
            ("defined(CONFIG_VTX) || CONFIG_MAX_NUM_NODES == 4", true),
            ("defined(CONFIG_VTX) && CONFIG_MAX_NUM_NODES == 4", false),
        ] {
            assert_eq!(config.holds(Some(condition)), Ok(expected), "{condition}");
        }
        assert!(config.holds(Some("defined(")).is_err());
    }
}
