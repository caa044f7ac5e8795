// SPDX-License-Identifier: BSD-2-Clause
//! What the parser in the virtine says of a message, and what its client reads of that.
//!
//! | program | what it is |
//! | --- | --- |
//! | `parse-http` | the image of a virtine: an HTTP request in, a line that says what it is out |
//! | `parse` | reads messages that strangers have sent, each by a call of that function |
//!
//! The summary comes from whoever has broken into the parser, at worst. So the client reads it as it would
//! read the message: here it is text of a bounded length, and nothing else.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

use alloc::format;
use alloc::string::String;

/// Headers that a request may have.
pub const MAX_HEADERS: usize = 32;
/// The header by which a message says that it breaks into the parser: what comes of that, in the example.
pub const EXPLOIT: &str = "x-exploit";

/// What the parser says of a message: a line.
pub fn summary(message: &[u8]) -> String {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(message) {
        Ok(httparse::Status::Complete(body)) => {
            let method = request.method.unwrap_or_default();
            let path = request.path.unwrap_or_default();
            let count = request.headers.len();
            let bytes = message.len() - body;
            format!("{method} {path}: {count} headers, {bytes} bytes of body")
        }
        Ok(httparse::Status::Partial) => String::from("a request that is cut short"),
        Err(error) => format!("no request: {error}"),
    }
}

/// What a message says that it does to the parser.
pub fn exploit(message: &[u8]) -> Option<&[u8]> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    request.parse(message).ok()?;
    let is_exploit = |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case(EXPLOIT);
    // A value of a header of the message, which outlives the array that refers to it.
    request
        .headers
        .iter()
        .find(is_exploit)
        .map(|header| header.value)
}

/// What the client makes of a result: text that is safe to print, at most so many characters.
pub fn printable(result: &[u8], most: usize) -> String {
    String::from_utf8_lossy(result)
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(most)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_is_summarised() {
        let message = b"GET /index.html HTTP/1.1\r\nHost: a\r\nX-Exploit: spin\r\n\r\nbody";
        assert_eq!(
            summary(message),
            "GET /index.html: 2 headers, 4 bytes of body"
        );
        assert_eq!(exploit(message), Some(&b"spin"[..]));
    }

    #[test]
    fn what_is_no_request_is_said_to_be_none() {
        assert_eq!(summary(b"GET / HT"), "a request that is cut short");
        assert!(summary(b"\x00\x01 /").starts_with("no request: "));
    }

    proptest! {
        #[test]
        fn any_message_has_a_summary(message: Vec<u8>) {
            let _ = (summary(&message), exploit(&message));
        }

        #[test]
        fn what_is_printed_has_no_control_characters(result: Vec<u8>, most in 0usize..100) {
            let text = printable(&result, most);
            prop_assert!(text.chars().count() <= most && !text.chars().any(char::is_control));
        }
    }
}
