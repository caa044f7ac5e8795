// SPDX-License-Identifier: BSD-2-Clause
cases! {
    a_call_reaches_the_server_and_its_answer_the_caller,
    a_notification_carries_the_receivers_id,
    contents_of_a_region_are_there,
    physical_memory_is_where_the_description_says,
    a_region_is_the_same_memory_in_all_who_map_it,
    ports_that_were_not_given_are_refused,
    interrupts_arrive,
    interrupts_go_on_after_their_driver_died,
    whoever_waits_for_a_server_that_dies_gets_an_answer,
    a_server_that_died_starts_from_its_first_state,
    a_crash_leaves_other_servers_as_they_were,
    queued_callers_are_served_by_the_next_instance,
    a_server_that_keeps_dying_is_given_up_and_its_callers_get_errors,
    a_childs_fault_reaches_its_parent_alone,
    a_parent_can_start_its_child_again,
}
