// SPDX-License-Identifier: BSD-2-Clause
// What is called to see what a call costs: it writes to as many pages as its argument says, makes as many
// hypercalls, and gives its argument back.
#include "virtine.h"

struct xos_bytes virtine(const uint8_t *argument, uint32_t length)
{
    for (uint32_t page = 0; page < argument[0]; page++) {
        *(volatile uint32_t *)(XOS_HEAP + 4096 * (1 + page)) = page;
    }
    for (uint32_t call = 0; call < argument[1]; call++) {
        xos_hypercall(1, argument, 8, (void *)XOS_HEAP);
    }
    return (struct xos_bytes){ argument, length };
}
