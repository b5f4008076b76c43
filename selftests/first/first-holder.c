// SPDX-License-Identifier: GPL-2.0-only
/* Helper of first-module: keeps a VM, or a vCPU in the guest, until it is killed. */
#include "first.h"

GUEST_CODE(spin, ".code64\n1: jmp 1b\n");

int main(int argc, char **argv)
{
	struct guest_cpu *cpu;
	struct guest g;

	test_device = "/dev/vmm";
	cpu = long_guest(&g);
	/* IF, or Bochs has no host interrupt end its stay. */
	g.rflags = 0x200;
	guest_load_code(&g, spin);
	if (argc > 1 && !strcmp(argv[1], "run")) {
		guest_call(cpu, 0, 0, 0, 0, 0);
		guest_run(cpu);
	}
	pause();
	return 0;
}
