// SPDX-License-Identifier: BSD-2-Clause
// The cases of the suite of restarts.
cases! {
    the_manager_cannot_be_brought_down,
    each_domain_is_restarted_in_turn_and_serves_again,
    what_a_domain_had_is_back_when_it_has_restarted,
    who_sleeps_when_the_timer_dies_gets_an_error_and_goes_on,
    who_reads_when_the_console_dies_gets_an_error_and_goes_on,
    domains_die_again_and_again_under_load_and_clients_go_on,
    a_domain_that_keeps_dying_is_not_there_at_once_and_nobody_hangs,
}
