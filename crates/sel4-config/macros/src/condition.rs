// SPDX-License-Identifier: BSD-2-Clause
//! Conditions on a kernel's configuration.

use sel4_prefix::Config;
use sel4_prefix::config::Value;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, LitStr, Result, Token};

/// A parsed condition.
pub(crate) enum Condition {
    Key(Ident),
    Equal(Ident, LitStr),
    Not(Box<Condition>),
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

impl Parse for Condition {
    fn parse(input: ParseStream) -> Result<Self> {
        let name: Ident = input.parse()?;
        if input.peek(syn::token::Paren) {
            let content;
            syn::parenthesized!(content in input);
            let inner = Punctuated::<Self, Token![,]>::parse_terminated(&content)?;
            let mut inner: Vec<_> = inner.into_iter().collect();
            return match name.to_string().as_str() {
                "not" if inner.len() == 1 => Ok(Self::Not(Box::new(inner.remove(0)))),
                "all" => Ok(Self::All(inner)),
                "any" => Ok(Self::Any(inner)),
                _ => Err(Error::new(
                    name.span(),
                    "expected not(_), all(...) or any(...)",
                )),
            };
        }
        if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            return Ok(Self::Equal(name, input.parse()?));
        }
        Ok(Self::Key(name))
    }
}

impl Condition {
    /// Whether it holds. Every part is looked at, so that an unknown key never goes unnoticed.
    pub(crate) fn eval(&self, config: &Config) -> Result<bool> {
        let all =
            |list: &[Self]| -> Result<Vec<bool>> { list.iter().map(|c| c.eval(config)).collect() };
        match self {
            Self::Key(key) => match config.get(&key.to_string()) {
                Some(Value::Bool(value)) => Ok(*value),
                Some(Value::Text(_)) => Err(Error::new(
                    key.span(),
                    "this key is no switch: compare it with a text",
                )),
                None => Err(unknown(key)),
            },
            Self::Equal(key, value) => match config.get(&key.to_string()) {
                Some(Value::Text(text)) => Ok(*text == value.value()),
                Some(Value::Bool(_)) => Err(Error::new(key.span(), "this key is a switch")),
                None => Err(unknown(key)),
            },
            Self::Not(inner) => Ok(!inner.eval(config)?),
            Self::All(list) => Ok(all(list)?.into_iter().all(|holds| holds)),
            Self::Any(list) => Ok(all(list)?.into_iter().any(|holds| holds)),
        }
    }
}

/// The error for a key that the kernel's configuration does not have.
pub(crate) fn unknown(key: &Ident) -> Error {
    Error::new(
        key.span(),
        format!("the kernel's configuration has no key {key}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eval(text: &str) -> std::result::Result<bool, String> {
        let config = Config::from_json(r#"{"ON": true, "OFF": false, "N": "4"}"#).unwrap();
        syn::parse_str::<Condition>(text)
            .and_then(|condition| condition.eval(&config))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn conditions_combine_as_in_cfg() {
        for (text, expected) in [
            ("ON", true),
            ("OFF", false),
            ("not(OFF)", true),
            ("all(ON, OFF)", false),
            ("any(ON, OFF,)", true),
            ("all()", true),
            ("any()", false),
            ("N = \"4\"", true),
            ("all(ON, not(any(OFF, N = \"1\")))", true),
        ] {
            assert_eq!(eval(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn keys_that_the_kernel_lacks_are_errors_everywhere() {
        for text in ["X", "X = \"1\"", "any(ON, X)", "all(OFF, X)"] {
            assert!(eval(text).unwrap_err().contains("no key X"), "{text}");
        }
    }

    #[test]
    fn switches_and_texts_are_not_mixed_up() {
        for text in ["N", "ON = \"1\"", "not(ON, OFF)", "some(ON)", "N = 4"] {
            assert!(eval(text).is_err(), "{text}");
        }
    }
}
