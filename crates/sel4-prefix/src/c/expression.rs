// SPDX-License-Identifier: BSD-2-Clause
//! Integer constant expressions, as in enumerators and preprocessor conditions.

use std::iter::Peekable;

use thiserror::Error;

/// What identifiers in an expression mean.
pub trait Environment {
    /// The value of an enumerator or macro.
    fn value(&self, name: &str) -> Option<i128>;

    /// Whether `defined(name)` holds.
    fn defined(&self, name: &str) -> bool {
        self.value(name).is_some()
    }
}

/// Why an expression has no value here.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EvalError {
    /// The text ends where an operand should be.
    #[error("the expression is incomplete")]
    End,
    /// A token that does not belong here, or an operation that is not supported.
    #[error("`{0}` is not understood here")]
    Token(String),
    /// An identifier without a value.
    #[error("`{0}` has no integer value")]
    Unknown(String),
    /// Division by zero, a shift out of range or a number over 127 bits.
    #[error("the value is out of range")]
    Range,
}

/// Evaluates an integer expression; unknown identifiers are errors.
///
/// # Errors
/// [`EvalError`].
pub fn eval(text: &str, environment: &dyn Environment) -> Result<i128, EvalError> {
    run(text, environment, false)
}

/// Evaluates a preprocessor condition: unknown identifiers are 0, as the preprocessor has it.
///
/// # Errors
/// [`EvalError`].
pub fn eval_condition(text: &str, environment: &dyn Environment) -> Result<bool, EvalError> {
    run(text, environment, true).map(|value| value != 0)
}

fn run(text: &str, environment: &dyn Environment, lenient: bool) -> Result<i128, EvalError> {
    let mut parser = Parser {
        tokens: tokens(text).into_iter().peekable(),
        environment,
        lenient,
        depth: 0,
    };
    let value = parser.binary(0)?;
    match parser.tokens.next() {
        None => Ok(value),
        Some(token) => Err(EvalError::Token(token)),
    }
}

/// Splits C text into identifiers, numbers, string literals and operators.
pub(crate) fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let start = i;
        let c = chars[i];
        if c.is_whitespace() {
            i += 1;
            continue;
        } else if c.is_ascii_alphanumeric() || c == '_' {
            while i < chars.len() && (chars[i].is_ascii_alphanumeric() || chars[i] == '_') {
                i += 1;
            }
        } else if c == '"' || c == '\'' {
            i += 1;
            while i < chars.len() && chars[i] != c {
                i += if chars[i] == '\\' { 2 } else { 1 };
            }
            i = (i + 1).min(chars.len());
        } else {
            let pair: String = chars[i..(i + 2).min(chars.len())].iter().collect();
            let wide = ["<<", ">>", "<=", ">=", "==", "!=", "&&", "||"];
            i += if wide.contains(&&*pair) { 2 } else { 1 };
        }
        out.push(chars[start..i].iter().collect());
    }
    out
}

/// Reads an integer constant with its suffix.
fn number(token: &str) -> Option<i128> {
    let digits = token.trim_end_matches(['u', 'U', 'l', 'L']);
    match digits.get(..2) {
        Some("0x" | "0X") => i128::from_str_radix(&digits[2..], 16).ok(),
        Some(_) if digits.starts_with('0') => i128::from_str_radix(&digits[1..], 8).ok(),
        _ => digits.parse().ok(),
    }
}

/// Operators by increasing precedence.
const LEVELS: [&[&str]; 10] = [
    &["||"],
    &["&&"],
    &["|"],
    &["^"],
    &["&"],
    &["==", "!="],
    &["<", ">", "<=", ">="],
    &["<<", ">>"],
    &["+", "-"],
    &["*", "/", "%"],
];

/// Nesting that no header comes near; hostile text must not exhaust the stack.
const MAX_DEPTH: usize = 64;

struct Parser<'a, I: Iterator<Item = String>> {
    tokens: Peekable<I>,
    environment: &'a dyn Environment,
    lenient: bool,
    depth: usize,
}

impl<I: Iterator<Item = String>> Parser<'_, I> {
    fn binary(&mut self, level: usize) -> Result<i128, EvalError> {
        let Some(operators) = LEVELS.get(level) else {
            return self.unary();
        };
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = self.tokens.next_if(|t| operators.contains(&t.as_str())) {
            let right = self.binary(level + 1)?;
            left = apply(&operator, left, right).ok_or(EvalError::Range)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<i128, EvalError> {
        if self.depth == MAX_DEPTH {
            return Err(EvalError::Range);
        }
        self.depth += 1;
        let token = self.tokens.next().ok_or(EvalError::End)?;
        let value = match token.as_str() {
            "!" => i128::from(self.unary()? == 0),
            "~" => !self.unary()?,
            "-" => self.unary()?.checked_neg().ok_or(EvalError::Range)?,
            "+" => self.unary()?,
            "(" => {
                let value = self.binary(0)?;
                self.expect(")")?;
                value
            }
            "defined" => {
                let parenthesised = self.tokens.next_if(|t| t == "(").is_some();
                let name = self.tokens.next().ok_or(EvalError::End)?;
                if parenthesised {
                    self.expect(")")?;
                }
                i128::from(self.environment.defined(&name))
            }
            _ if token.starts_with(|c: char| c.is_ascii_digit()) => {
                number(&token).ok_or(EvalError::Token(token))?
            }
            _ if token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') => {
                match self.environment.value(&token) {
                    Some(value) => value,
                    None if self.lenient => 0,
                    None => return Err(EvalError::Unknown(token)),
                }
            }
            _ => return Err(EvalError::Token(token)),
        };
        self.depth -= 1;
        Ok(value)
    }

    fn expect(&mut self, wanted: &str) -> Result<(), EvalError> {
        match self.tokens.next() {
            Some(token) if token == wanted => Ok(()),
            Some(token) => Err(EvalError::Token(token)),
            None => Err(EvalError::End),
        }
    }
}

fn apply(operator: &str, left: i128, right: i128) -> Option<i128> {
    let shift = || u32::try_from(right).ok().filter(|bits| *bits < 127);
    Some(match operator {
        "||" => i128::from(left != 0 || right != 0),
        "&&" => i128::from(left != 0 && right != 0),
        "|" => left | right,
        "^" => left ^ right,
        "&" => left & right,
        "==" => i128::from(left == right),
        "!=" => i128::from(left != right),
        "<" => i128::from(left < right),
        ">" => i128::from(left > right),
        "<=" => i128::from(left <= right),
        ">=" => i128::from(left >= right),
        "<<" => left.checked_mul(1i128.checked_shl(shift()?)?)?,
        ">>" => left >> shift()?,
        "+" => left.checked_add(right)?,
        "-" => left.checked_sub(right)?,
        "*" => left.checked_mul(right)?,
        "/" => left.checked_div(right)?,
        "%" => left.checked_rem(right)?,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    impl Environment for HashMap<&str, i128> {
        fn value(&self, name: &str) -> Option<i128> {
            self.get(name).copied()
        }
    }

    #[test]
    fn expressions_have_the_values_that_c_gives_them() {
        let names = HashMap::from([("BITS", 7)]);
        for (text, value) in [
            ("1", 1),
            ("0x1Ful", 31),
            ("017", 15),
            ("0", 0),
            ("1ul<<(BITS)", 128),
            ("(1ULL << ((8*8) - 1)) - 1", i128::from(i64::MAX)),
            ("2 + 3 * 4 - -1", 15),
            ("7 & 3 | 8", 11),
            ("1 << 2 + 1", 8),
            ("~0 & 0xff", 255),
            ("10 - 4 - 3", 3),
            ("0x20 + 16", 48),
            ("1 == 1 && 2 > 3", 0),
        ] {
            assert_eq!(eval(text, &names), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_has_no_integer_value_is_refused() {
        let names = HashMap::new();
        for text in [
            "", "1 +", "f(1)", "X", "1 2", "\"s\"", "1 / 0", "1 << 200", "(1", "0x",
        ] {
            assert!(eval(text, &names).is_err(), "{text}");
        }
        assert!(eval(&"(".repeat(100_000), &names).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_evaluated_or_refused(text in "[0-9a-z()<>|&!~*/+= -]{0,80}") {
            let _ = eval(&text, &HashMap::new());
        }

        #[test]
        fn sums_agree_with_rust(a in any::<i32>(), b in any::<i32>()) {
            let text = format!("({a}) + ({b})");
            prop_assert_eq!(eval(&text, &HashMap::new()), Ok(i128::from(a) + i128::from(b)));
        }
    }
}
