# SPDX-License-Identifier: BSD-2-Clause
# As many processes at once.
load 200
ls
