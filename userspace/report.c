// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the user sees when a vCPU cannot go on.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kvm.h"
#include "machine.h"
#include "mem.h"
#include "util/list.h"
#include "vcpu.h"

struct report {
	char text[4096];
	size_t len;
};

__attribute__((format(printf, 2, 3)))
static void report_add(struct report *r, const char *fmt, ...)
{
	size_t room = sizeof(r->text) - r->len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(r->text + r->len, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		r->len += (size_t)n < room ? (size_t)n : room - 1;
}

static const char *report_reason_name(uint32_t reason)
{
	static const char *const names[] = {
		[KVM_EXIT_UNKNOWN] = "UNKNOWN",
		[KVM_EXIT_EXCEPTION] = "EXCEPTION",
		[KVM_EXIT_IO] = "IO",
		[KVM_EXIT_HYPERCALL] = "HYPERCALL",
		[KVM_EXIT_DEBUG] = "DEBUG",
		[KVM_EXIT_HLT] = "HLT",
		[KVM_EXIT_MMIO] = "MMIO",
		[KVM_EXIT_SHUTDOWN] = "SHUTDOWN",
		[KVM_EXIT_FAIL_ENTRY] = "FAIL_ENTRY",
		[KVM_EXIT_INTR] = "INTR",
		[KVM_EXIT_INTERNAL_ERROR] = "INTERNAL_ERROR",
		[KVM_EXIT_SYSTEM_EVENT] = "SYSTEM_EVENT",
	};

	if (reason >= ARRAY_SIZE(names) || !names[reason])
		return "?";
	return names[reason];
}

static void report_details(struct report *r, const struct kvm_run *run)
{
	uint32_t n = run->internal.ndata;

	switch (run->exit_reason) {
	case KVM_EXIT_UNKNOWN:
		report_add(r, "  hardware reason %#" PRIx64 "\n",
			   (uint64_t)run->hw.hardware_exit_reason);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		report_add(r, "  hardware reason %#" PRIx64 "\n",
			   (uint64_t)run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		report_add(r, "  suberror %u, data", run->internal.suberror);
		for (uint32_t i = 0; i < n && i < 16; i++)
			report_add(r, " %#" PRIx64,
				   (uint64_t)run->internal.data[i]);
		report_add(r, "\n");
		break;
	}
}

static void report_regs(struct report *r, struct vcpu *v)
{
	struct kvm_regs regs;
	struct kvm_sregs s;

	if (kvm_ioctl(v->fd, KVM_GET_REGS, &regs) < 0 ||
	    kvm_ioctl(v->fd, KVM_GET_SREGS, &s) < 0) {
		report_add(r, "  registers cannot be read\n");
		return;
	}
#define R64(field) (uint64_t)regs.field
	report_add(r, "  rip %016" PRIx64 "  rflags %08" PRIx64 "\n",
		   R64(rip), R64(rflags));
	report_add(r, "  rax %016" PRIx64 "  rbx %016" PRIx64 "  rcx %016" PRIx64 "  rdx %016" PRIx64 "\n",
		   R64(rax), R64(rbx), R64(rcx), R64(rdx));
	report_add(r, "  rsi %016" PRIx64 "  rdi %016" PRIx64 "  rbp %016" PRIx64 "  rsp %016" PRIx64 "\n",
		   R64(rsi), R64(rdi), R64(rbp), R64(rsp));
	report_add(r, "  r8  %016" PRIx64 "  r9  %016" PRIx64 "  r10 %016" PRIx64 "  r11 %016" PRIx64 "\n",
		   R64(r8), R64(r9), R64(r10), R64(r11));
	report_add(r, "  r12 %016" PRIx64 "  r13 %016" PRIx64 "  r14 %016" PRIx64 "  r15 %016" PRIx64 "\n",
		   R64(r12), R64(r13), R64(r14), R64(r15));
#undef R64
	report_add(r, "  cr0 %08" PRIx64 "  cr2 %016" PRIx64 "  cr3 %016" PRIx64 "  cr4 %08" PRIx64 "  efer %" PRIx64 "\n",
		   (uint64_t)s.cr0, (uint64_t)s.cr2, (uint64_t)s.cr3,
		   (uint64_t)s.cr4, (uint64_t)s.efer);
	report_add(r, "  cs %04x base %" PRIx64 " db %u l %u  ss %04x  ds %04x  tr %04x\n",
		   s.cs.selector, (uint64_t)s.cs.base, s.cs.db, s.cs.l,
		   s.ss.selector, s.ds.selector, s.tr.selector);
}

/* The bytes at rip, as far as KVM can translate and RAM can show them. */
static void report_code(struct report *r, struct vcpu *v)
{
	struct kvm_translation at = { 0 };
	struct kvm_regs regs;
	struct kvm_sregs s;
	const uint8_t *code;

	if (kvm_ioctl(v->fd, KVM_GET_REGS, &regs) < 0 ||
	    kvm_ioctl(v->fd, KVM_GET_SREGS, &s) < 0)
		return;
	at.linear_address = s.cs.l ? regs.rip : s.cs.base + regs.rip;
	if (kvm_ioctl(v->fd, KVM_TRANSLATE, &at) < 0 || !at.valid)
		return;
	code = mem_at(v->m, at.physical_address, 16);
	report_add(r, "  code at %#" PRIx64 ":",
		   (uint64_t)at.physical_address);
	for (int i = 0; code && i < 16; i++)
		report_add(r, " %02x", code[i]);
	report_add(r, code ? "\n" : " not in RAM\n");
}

void vcpu_report(struct vcpu *v, const char *why)
{
	struct report r = { .len = 0 };

	report_add(&r, "vmrun: vCPU %u: %s\n", v->id, why);
	report_add(&r, "  exit reason %u (%s)\n", v->run->exit_reason,
		   report_reason_name(v->run->exit_reason));
	report_details(&r, v->run);
	report_regs(&r, v);
	report_code(&r, v);
	fputs(r.text, stderr);
}
