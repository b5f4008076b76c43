# SPDX-License-Identifier: GPL-2.0-only
# The project's commands. `make help` lists them; README.md explains them. (Kbuild, next door, lists the module's objects.)

LAB := selftests/lab
SHELL := /bin/bash

# The module is built for the running kernel if its headers are here, else for the kernel of the lab.
KDIR ?= $(wildcard /lib/modules/$(shell uname -r)/build)

export CPUS GUEST_MEM HERE VENDOR CMD SHARE SMP MEM KVM KERNEL DEBUG_KERNEL MODEL TESTS TIMEOUT APPEND PARAMS GUEST VIRT LINK FULL DEBUG ROWS SUITE SIDE MINUTES VMM_CACHE

.PHONY: all module userspace run check check-full soak conformance conformance-report bench bench-smoke lab setup symbols gates
.PHONY: clean help

all: module userspace

ifneq ($(KDIR),)
module:
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules
else
module:
	@$(LAB)/setup.sh tree trixie
	@$(LAB)/build-module
	@. $(LAB)/env.sh && cp "$$(build_dir "$$(lab_kernel)")/vmm.ko" vmm.ko
endif

userspace:
	@$(LAB)/setup.sh compiler
	$(MAKE) -C userspace

lab:
	@$(LAB)/setup.sh host
	@$(LAB)/lab.py

run:
	@$(LAB)/setup.sh host
	@$(LAB)/run.py

check:
	@$(LAB)/setup.sh host
	@$(LAB)/check.py

# With the tests that take too long for every day: an hour and more
check-full:
	@$(LAB)/setup.sh host
	@FULL=1 $(LAB)/check.py

# Two hours of mixed load on both machines at once (MINUTES=)
soak:
	@$(LAB)/setup.sh host
	@selftests/soak/soak.py

# KVM's own selftests on the stock modules and on vmm.ko
conformance:
	@$(LAB)/setup.sh host
	@selftests/conformance/conformance.py

# docs/conformance.md from the results of the last runs
conformance-report:
	@selftests/conformance/page.py

# Path lengths beside those of the stock modules: docs/benchmarks.md
bench:
	@$(LAB)/setup.sh host
	@selftests/bench/bench.py

bench-smoke:
	@$(LAB)/setup.sh host
	@selftests/bench/bench.py --smoke

# Everything that the other commands would fetch or build when first needed
setup:
	@$(LAB)/setup.sh lint tree trixie machine guest guest virt bootdisk tree bookworm tree forky checkpatch

symbols:
	@$(LAB)/setup.sh host
	@selftests/gates/symbols

gates:
	@$(LAB)/setup.sh host
	@TESTS='gate-*' $(LAB)/check.py

clean:
	rm -f vmm.ko
	$(if $(wildcard userspace/Makefile),$(MAKE) -C userspace clean)
	$(if $(wildcard selftests/Makefile),$(MAKE) -C selftests clean)

help:
	@echo "make                      build vmm.ko and userspace/vmrun (KDIR= chooses the kernel)"
	@echo "make run                  boot a Debian guest under vmm (VENDOR=amd|intel)"
	@echo "make check                all tests (VENDOR=, TESTS='first-*')"
	@echo "                          (DEBUG=1: on the module's debug build; DEBUG_KERNEL=1|kcsan|preempt: on a kernel that finds mistakes)"
	@echo "make check-full           and those that take too long for every day"
	@echo "make soak                 two hours of mixed load on both machines (MINUTES= VENDOR= DEBUG_KERNEL=1), and the figures"
	@echo "make conformance          KVM's selftests, on KVM and on vmm (VENDOR= TESTS= SUITE=6.12|6.1 SIDE=kvm|vmm)"
	@echo "make conformance-report   docs/conformance.md from their last results"
	@echo "make bench                vmm's paths beside KVM's, in instructions (VENDOR=, ROWS='1 2': groups)"
	@echo "make bench-smoke          fails if a round trip has become longer than docs/benchmarks.json has it"
	@echo "make lab                  an emulated machine with vmm loaded: CMD='...' or a shell"
	@echo "                          (VENDOR= SHARE=dir SMP= MEM= KVM=1 DEBUG=1 DEBUG_KERNEL= KERNEL= GUEST=1 VIRT=1 LINK=name TIMEOUT= PARAMS= APPEND= MODEL=)"
	@echo "make symbols              the kernel symbols that vmm.ko imports, judged"
	@echo "make setup                fetch and build all that the others need, now"
	@echo "make clean"
