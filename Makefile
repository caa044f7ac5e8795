# SPDX-License-Identifier: BSD-2-Clause
# The short way to the host tool; `cargo xtask help` has the long one.
#
#   make run                       boot on this terminal; leave with Ctrl-A x
#   make exec CMD='list'           boot, run one line of the monitor's, print its output
#   make exec IMAGE=path [CMD=..]  the same with a container of an OCI bundle or image, and a command in it
#   make test [NAME=text]          all tests, or those whose name contains text
#   make conform FACTORY=name [PROGRAM=file]
#                                  the conformance suite, against a factory: one of a boot domain's, or of a program's
#   make check                     format, lints, documentation
#   make bench                     measure; writes docs/benchmarks.md, -posix, -containers, -virtual
#   make graph [WITH='lines']      draw the running system, after running these: target/graph.svg
#   make deps                      install what is missing on this machine
#   make clean                     remove all that was built
#
# ADD='host=guest ...'  files or folders for the guest's file tree (run, exec, conform, graph)
# SIM=bochs             a machine with virtual processors, slowly (run, exec, graph)
# FLAVOUR=debug         the kernel with its messages (run, exec, graph)
# SYSTEM=file           another system description (run, exec, graph)

XTASK = cargo xtask
ADDITIONS = $(foreach add,$(ADD),--add '$(add)')
OPTIONS = $(if $(SIM),--sim '$(SIM)') $(if $(FLAVOUR),--flavour '$(FLAVOUR)') $(if $(SYSTEM),--system '$(SYSTEM)') $(ADDITIONS)

# By way of the environment, so that no quote in it is the shell's.
export CMD

.PHONY: run exec test conform bench graph check deps clean

# The tool's own output only: `make exec` is for pipes.
.SILENT:

run: deps
	$(XTASK) run $(OPTIONS)

exec: deps
	$(if $(CMD)$(IMAGE),,$(error say what to run: make exec CMD='run process hello'))
	$(XTASK) exec $(OPTIONS) $(if $(IMAGE),--image '$(IMAGE)') -- "$$CMD"

test: deps
	$(XTASK) test $(if $(NAME),-- '$(NAME)')

conform: deps
	$(if $(FACTORY),,$(error say which factory: make conform FACTORY=process))
	$(XTASK) conform '$(FACTORY)' $(if $(PROGRAM),--program '$(PROGRAM)') $(ADDITIONS)

bench: deps
	$(XTASK) bench

graph: deps
	$(XTASK) graph $(OPTIONS) $(if $(WITH),--with '$(WITH)')

check: deps
	$(XTASK) check

deps:
	# Not quietly, because the first time takes a while.
	cargo build --package xtask
	$(XTASK) deps

clean:
	cargo clean
