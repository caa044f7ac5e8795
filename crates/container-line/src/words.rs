// SPDX-License-Identifier: BSD-2-Clause
//! Words of a command line.

use alloc::string::{String, ToString};

/// Why words are no command.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// Too few or too many.
    #[error("usage: {0}")]
    Usage(&'static str),
    /// Not a size.
    #[error("`{0}` is no size; write bytes, or a number with K, M or G behind it")]
    Size(String),
}

/// Reads a size in bytes: `4096`, `64K`, `8M`, `1G`.
///
/// # Errors
/// [`CommandError::Size`].
pub fn size(text: &str) -> Result<u64, CommandError> {
    let error = || CommandError::Size(text.to_string());
    let (digits, shift) = match text.char_indices().last() {
        Some((end, 'K' | 'k')) => (&text[..end], 10),
        Some((end, 'M' | 'm')) => (&text[..end], 20),
        Some((end, 'G' | 'g')) => (&text[..end], 30),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| error())?;
    number.checked_mul(1 << shift).ok_or_else(error)
}

/// Whether a word sets a variable: a name, then `=`.
pub fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}
