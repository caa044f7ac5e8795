// SPDX-License-Identifier: BSD-2-Clause
cases! {
    the_start_information_names_all_domains,
    untyped_memory_is_where_the_information_says,
    device_memory_is_marked_as_such,
    address_spaces_can_be_named,
    interrupts_can_be_issued,
    threads_of_domains_can_be_stopped_and_continued,
    sessions_with_a_domain_can_be_minted,
    the_cspace_of_a_domain_can_be_filled,
    domains_can_be_signalled_on_their_channel,
    the_supervisor_refuses_what_makes_no_sense,
    callers_that_were_put_aside_can_be_answered_later,
    a_death_answers_all_callers_at_once,
    the_manager_is_signalled_and_told_once_who_died,
    a_domain_is_built_again_when_its_clients_are_disposed_of,
    what_the_manager_holds_of_a_domain_is_good_again,
}
