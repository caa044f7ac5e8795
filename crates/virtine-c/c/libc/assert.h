/* SPDX-License-Identifier: BSD-2-Clause */
/* For code that is written to a C library. */
#include "../virtine.h"
#define assert(holds) ((holds) ? (void)0 : xos_panic())
