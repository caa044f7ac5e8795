// SPDX-License-Identifier: BSD-2-Clause
cases! {
    an_idle_container_costs_little,
    a_hundred_containers_run_at_once,
}
