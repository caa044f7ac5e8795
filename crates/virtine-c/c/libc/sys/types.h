/* SPDX-License-Identifier: BSD-2-Clause */
/* For code that is written to a C library. */
#ifndef XOS_SYS_TYPES_H
#define XOS_SYS_TYPES_H
#include <stddef.h>
typedef int ssize_t;
#endif
