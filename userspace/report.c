// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the user sees when a vCPU cannot go on.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kvm.h"
#include "machine.h"
#include "mem.h"
#include "util/list.h"
#include "util/msg.h"
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
		report_add(r, "  hardware reason %#llx\n",
			   (unsigned long long)run->hw.hardware_exit_reason);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		report_add(r, "  hardware reason %#llx\n",
			   (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		report_add(r, "  suberror %u, data", run->internal.suberror);
		for (uint32_t i = 0; i < n && i < 16; i++)
			report_add(r, " %#llx",
				   (unsigned long long)run->internal.data[i]);
		report_add(r, "\n");
		break;
	}
}

static void report_reg(struct report *r, const char *name, uint64_t value,
		       const char *end)
{
	report_add(r, "  %-3s %016llx%s", name, (unsigned long long)value, end);
}

/* General registers, four in a line. */
static void report_gprs(struct report *r, const struct kvm_regs *regs)
{
	const struct {
		const char *name;
		uint64_t value;
	} gprs[] = {
		{ "rip", regs->rip }, { "rfl", regs->rflags },
		{ "rsp", regs->rsp }, { "rbp", regs->rbp },
		{ "rax", regs->rax }, { "rbx", regs->rbx },
		{ "rcx", regs->rcx }, { "rdx", regs->rdx },
		{ "rsi", regs->rsi }, { "rdi", regs->rdi },
		{ "r8", regs->r8 }, { "r9", regs->r9 },
		{ "r10", regs->r10 }, { "r11", regs->r11 },
		{ "r12", regs->r12 }, { "r13", regs->r13 },
		{ "r14", regs->r14 }, { "r15", regs->r15 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(gprs); i++)
		report_reg(r, gprs[i].name, gprs[i].value,
			   i % 4 == 3 ? "\n" : "");
	report_add(r, "\n");
}

static void report_sregs(struct report *r, const struct kvm_sregs *s)
{
	report_reg(r, "cr0", s->cr0, "");
	report_reg(r, "cr2", s->cr2, "");
	report_reg(r, "cr3", s->cr3, "");
	report_reg(r, "cr4", s->cr4, "\n");
	report_reg(r, "efr", s->efer, "");
	report_add(r, "  cs %04x base %llx db %u l %u  ss %04x  ds %04x  tr %04x\n",
		   s->cs.selector, (unsigned long long)s->cs.base, s->cs.db,
		   s->cs.l, s->ss.selector, s->ds.selector, s->tr.selector);
}

static void report_regs(struct report *r, struct vcpu *v)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;

	if (kvm_ioctl(v->fd, KVM_GET_REGS, &regs) < 0 ||
	    kvm_ioctl(v->fd, KVM_GET_SREGS, &sregs) < 0) {
		report_add(r, "  registers cannot be read\n");
		return;
	}
	report_gprs(r, &regs);
	report_sregs(r, &sregs);
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
	report_add(r, "  code at %#llx:",
		   (unsigned long long)at.physical_address);
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
	msg_text(r.text);
}
