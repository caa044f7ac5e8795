# SPDX-License-Identifier: BSD-2-Clause
# For those who build in Docker: the seL4 community's toolchain image and stable Rust.
#
#   docker build -t xos .
#   docker run --rm -it -v "$PWD:/xos" xos make run
#
# All that is built lies in target/ of the mounted checkout, so that a new container goes on where
# the last one ended.
FROM trustworthysystems/sel4:latest

ENV RUSTUP_HOME=/opt/rustup CARGO_HOME=/opt/cargo PATH=/opt/cargo/bin:$PATH
COPY rust-toolchain.toml /tmp/
RUN curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs \
    | sh -s -- -y --no-modify-path --profile minimal --component clippy --component rustfmt \
        --default-toolchain "$(sed -n 's/^channel = "\(.*\)"/\1/p' /tmp/rust-toolchain.toml)"

# What `make deps` would install, so that it has nothing left to do.
RUN apt-get update -q \
    && apt-get install -y -q --no-install-recommends \
        binutils bochs bochsbios gcc git graphviz grub-common grub-pc-bin make mtools patch \
        python3-pip qemu-system-x86 vgabios xorriso \
    && rm -rf /var/lib/apt/lists/*

# Git refuses the files of another user otherwise, and they are the host user's.
RUN git config --system --add safe.directory /xos
WORKDIR /xos
CMD ["make", "run"]
