// SPDX-License-Identifier: BSD-2-Clause
// The same, of those that send anything to anybody: afterwards the system works, and nothing is missing.
cases! {
    the_manager_survives_any_message,
    the_process_factory_survives_any_message,
    the_thread_factory_survives_any_message,
    handles_survive_any_message,
    the_console_survives_any_message,
    the_timer_survives_any_message,
}
