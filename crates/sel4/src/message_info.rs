// SPDX-License-Identifier: BSD-2-Clause
//! The tag of a message.

use crate::helpers::newtype_methods;
use crate::{Word, sys};

/// Corresponds to `seL4_MessageInfo_t`.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct MessageInfo(sys::seL4_MessageInfo);

impl MessageInfo {
    newtype_methods!(sys::seL4_MessageInfo);

    /// From the fields. What does not fit into one is dropped, which a debug build asserts; labels
    /// have [`label_width`](Self::label_width) bits.
    #[inline(always)]
    pub const fn new(label: Word, caps_unwrapped: usize, extra_caps: usize, length: usize) -> Self {
        Self(sys::seL4_MessageInfo::new(
            label,
            caps_unwrapped as Word,
            extra_caps as Word,
            length as Word,
        ))
    }

    /// What the message is about.
    #[inline(always)]
    pub const fn label(&self) -> Word {
        self.0.get_label()
    }

    /// The number of bits of a label.
    pub const fn label_width() -> usize {
        sys::seL4_MessageInfo::width_of_label()
    }

    /// Which of the capabilities were replaced by their badges: a bit each.
    #[inline(always)]
    pub const fn caps_unwrapped(&self) -> usize {
        self.0.get_capsUnwrapped() as usize
    }

    /// The number of capabilities.
    #[inline(always)]
    pub const fn extra_caps(&self) -> usize {
        self.0.get_extraCaps() as usize
    }

    /// The number of words.
    #[inline(always)]
    pub const fn length(&self) -> usize {
        self.0.get_length() as usize
    }
}

impl From<MessageInfoBuilder> for MessageInfo {
    fn from(builder: MessageInfoBuilder) -> Self {
        builder.build()
    }
}

/// Builds a [`MessageInfo`] field by field.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub struct MessageInfoBuilder {
    label: Word,
    caps_unwrapped: usize,
    extra_caps: usize,
    length: usize,
}

impl MessageInfoBuilder {
    /// The tag.
    #[inline(always)]
    pub const fn build(self) -> MessageInfo {
        MessageInfo::new(
            self.label,
            self.caps_unwrapped,
            self.extra_caps,
            self.length,
        )
    }

    /// Sets the label.
    #[must_use]
    #[inline(always)]
    pub const fn label(mut self, label: Word) -> Self {
        self.label = label;
        self
    }

    /// Sets which capabilities are unwrapped.
    #[must_use]
    #[inline(always)]
    pub const fn caps_unwrapped(mut self, caps_unwrapped: usize) -> Self {
        self.caps_unwrapped = caps_unwrapped;
        self
    }

    /// Sets the number of capabilities.
    #[must_use]
    #[inline(always)]
    pub const fn extra_caps(mut self, extra_caps: usize) -> Self {
        self.extra_caps = extra_caps;
        self
    }

    /// Sets the number of words.
    #[must_use]
    #[inline(always)]
    pub const fn length(mut self, length: usize) -> Self {
        self.length = length;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_the_bits_that_the_kernel_reads() {
        // libsel4's shared_types_64.bf: label 20 bits, then 3, 2 and 7.
        let info = MessageInfo::new(0xabcde, 5, 2, 120);
        assert_eq!(
            info.into_inner().into_words(),
            [0xabcde << 12 | 5 << 9 | 2 << 7 | 120]
        );
        let fields = (
            info.label(),
            info.caps_unwrapped(),
            info.extra_caps(),
            info.length(),
        );
        assert_eq!(fields, (0xabcde, 5, 2, 120));
        assert_eq!(MessageInfo::label_width(), 20);
    }
}
