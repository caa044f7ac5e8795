// SPDX-License-Identifier: BSD-2-Clause
// The cases of the suite of steps. Those of the drivers, and of the domain that is given up, are in the judge but not
// here: nobody has seen them end yet.
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
}
