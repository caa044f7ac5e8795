# SPDX-License-Identifier: BSD-2-Clause
# One source with two C libraries.
mkdir glibc musl
(cd glibc && library > ../with-glibc; echo $?)
(cd musl && library-musl > ../with-musl; echo $?)
cat with-musl
cmp with-glibc with-musl
