// SPDX-License-Identifier: BSD-2-Clause
//! Lines of input that are typed for somebody else: the monitor is the terminal then.

use alloc::vec::Vec;

use xos_container_line::MAX_INPUT;

/// The end of input, as it is typed.
const END: u8 = 4;
/// What takes back the character before it, as terminals send it.
const ERASE: [u8; 2] = [8, 127];

/// A line that is being typed.
#[derive(Default, Debug)]
pub struct Line {
    text: Vec<u8>,
}

impl Line {
    /// Takes in what was typed: what is shown, and what is input now; an empty piece of that is the end of input.
    pub fn take(&mut self, typed: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
        let (mut shown, mut input) = (Vec::new(), Vec::new());
        for byte in typed.iter().copied() {
            match byte {
                b'\r' | b'\n' => {
                    shown.push(b'\n');
                    self.text.push(b'\n');
                    input.push(core::mem::take(&mut self.text));
                }
                END => input.push(core::mem::take(&mut self.text)),
                byte if ERASE.contains(&byte) => {
                    let erased = self.text.pop().map_or(&b""[..], |_| b"\x08 \x08");
                    shown.extend_from_slice(erased);
                }
                byte if self.text.len() < MAX_INPUT - 1 => {
                    shown.push(byte);
                    self.text.push(byte);
                }
                _ => {}
            }
        }
        (shown, input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_shown_and_is_input_a_line_at_a_time() {
        let mut line = Line::default();
        assert_eq!(
            line.take(b"ax\x7fb"),
            (b"ax\x08 \x08b".to_vec(), Vec::new())
        );
        assert_eq!(line.take(b"\r"), (b"\n".to_vec(), vec![b"ab\n".to_vec()]));
        // Within a line the end character hands in what there is; alone it is the end.
        let (_, input) = line.take(b"c\x04\x04");
        assert_eq!(input, [b"c".to_vec(), Vec::new()]);
        let (_, input) = line.take(&[b'x'; 2 * MAX_INPUT]);
        assert!(input.is_empty());
        assert_eq!(line.take(b"\n").1[0].len(), MAX_INPUT);
    }
}
