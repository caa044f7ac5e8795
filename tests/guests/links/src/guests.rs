// SPDX-License-Identifier: BSD-2-Clause
cases! {
    a_guest_that_was_given_nothing_reaches_nobody_and_is_told_so,
    a_process_and_a_guest_have_a_channel_that_each_can_end,
    a_guest_and_a_process_have_a_channel_that_each_can_end,
    a_guest_and_a_guest_have_a_channel_that_each_can_end,
    whoever_calls_a_guest_that_dies_is_told_so,
    nothing_is_left_of_guests,
}
