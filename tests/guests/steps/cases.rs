// SPDX-License-Identifier: BSD-2-Clause
// The cases of the suite of steps.
cases! {
    a_process_may_die_at_each_step_of_the_manager,
    the_client_of_a_process_may_die_at_each_step_of_the_manager,
    the_process_factory_may_die_at_each_step_of_the_manager,
    a_thread_may_die_at_each_step_of_the_manager,
    the_client_of_a_thread_may_die_at_each_step_of_the_manager,
    the_thread_factory_may_die_at_each_step_of_the_manager,

    a_process_may_die_at_each_step_of_its_factory,
    a_sibling_may_die_at_each_step_of_the_process_factory,
    the_client_may_die_at_each_step_of_the_process_factory,
    the_process_factory_may_die_at_each_of_its_steps,
    a_thread_may_die_at_each_step_of_its_factory,
    a_sibling_may_die_at_each_step_of_the_thread_factory,
    the_client_may_die_at_each_step_of_the_thread_factory,
    the_thread_factory_may_die_at_each_of_its_steps,

    the_console_may_die_at_each_of_its_steps_while_clients_wait,
    the_timer_may_die_at_each_of_its_steps_while_clients_wait,

    after_all_that_everything_works,
    a_domain_that_keeps_dying_rests_ever_longer_and_is_given_up,
}
