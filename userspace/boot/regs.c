// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registers of the first vCPU at a kernel's entry.
 */
#include <errno.h>
#include <string.h>

#include "boot/boot.h"
#include "kvm.h"
#include "machine.h"
#include "mem.h"
#include "util/msg.h"
#include "vcpu.h"

#define CR0_PE		(1ull << 0)
#define CR0_ET		(1ull << 4)
#define CR0_PG		(1ull << 31)
#define CR4_PAE		(1ull << 5)
#define EFER_LME	(1ull << 8)
#define EFER_LMA	(1ull << 10)
#define RFLAGS_FIXED	(1ull << 1)

#define PTE_PRESENT	(1ull << 0)
#define PTE_WRITE	(1ull << 1)
#define PTE_LARGE	(1ull << 7)

/* Selectors of Linux's boot protocol; PVH leaves them to us. */
#define SEL_CODE	0x10
#define SEL_DATA	0x18
#define SEL_TSS		0x20
#define GDT_ENTRIES	5

static const struct kvm_segment seg_data = {
	.limit = 0xffffffff, .selector = SEL_DATA, .type = 3, .present = 1,
	.db = 1, .s = 1, .g = 1,
};

static const struct kvm_segment seg_code32 = {
	.limit = 0xffffffff, .selector = SEL_CODE, .type = 11, .present = 1,
	.db = 1, .s = 1, .g = 1,
};

static const struct kvm_segment seg_code64 = {
	.limit = 0xffffffff, .selector = SEL_CODE, .type = 11, .present = 1,
	.l = 1, .s = 1, .g = 1,
};

/* A busy TSS: VT-x enters with nothing else in TR. */
static const struct kvm_segment seg_tss = {
	.limit = 0x67, .selector = SEL_TSS, .type = 11, .present = 1,
};

static uint64_t gdt_entry(const struct kvm_segment *seg)
{
	uint64_t limit = seg->g ? seg->limit >> 12 : seg->limit;

	return (limit & 0xffff) | (limit & 0xf0000) << 32 |
	       (uint64_t)seg->type << 40 | (uint64_t)seg->s << 44 |
	       (uint64_t)seg->dpl << 45 | (uint64_t)seg->present << 47 |
	       (uint64_t)seg->l << 53 | (uint64_t)seg->db << 54 |
	       (uint64_t)seg->g << 55 | (seg->base & 0xffffff) << 16 |
	       (seg->base >> 24 & 0xff) << 56;
}

static int boot_gdt(struct machine *m, struct kvm_sregs *sregs,
		    const struct kvm_segment *code)
{
	uint64_t gdt[GDT_ENTRIES] = {
		[SEL_CODE / 8] = gdt_entry(code),
		[SEL_DATA / 8] = gdt_entry(&seg_data),
		[SEL_TSS / 8] = gdt_entry(&seg_tss),
	};

	sregs->cs = *code;
	sregs->ds = seg_data;
	sregs->es = seg_data;
	sregs->fs = seg_data;
	sregs->gs = seg_data;
	sregs->ss = seg_data;
	sregs->tr = seg_tss;
	sregs->gdt.base = BOOT_GDT;
	sregs->gdt.limit = sizeof(gdt) - 1;
	sregs->idt.limit = 0;
	return mem_write(m, BOOT_GDT, gdt, sizeof(gdt));
}

/* PML4, PDPT and four page directories: 4 GiB in 2 MiB pages. */
static int boot_tables(struct machine *m)
{
	uint64_t (*table)[512] = mem_at(m, BOOT_TABLES, 6 * 4096);
	uint64_t bits = PTE_PRESENT | PTE_WRITE;

	if (!table)
		return -EFAULT;
	memset(table, 0, 6 * 4096);
	table[0][0] = (BOOT_TABLES + 0x1000) | bits;
	for (uint64_t i = 0; i < 4; i++)
		table[1][i] = (BOOT_TABLES + 0x2000 + (i << 12)) | bits;
	for (uint64_t i = 0; i < 4 * 512; i++)
		table[2 + i / 512][i % 512] = i << 21 | bits | PTE_LARGE;
	return 0;
}

static int boot_regs_set(struct machine *m, struct kvm_sregs *sregs,
			 struct kvm_regs *regs)
{
	struct vcpu *v = &m->vcpus[0];
	int err;

	regs->rflags = RFLAGS_FIXED;
	err = kvm_ioctl(v->fd, KVM_SET_SREGS, sregs);
	if (err >= 0)
		err = kvm_ioctl(v->fd, KVM_SET_REGS, regs);
	if (err < 0)
		return msg_fail(err, "cannot set the first vCPU's registers: %s",
				strerror(-err));
	return 0;
}

int boot_regs_long(struct machine *m, uint64_t rip, uint64_t rsi)
{
	struct kvm_sregs sregs = m->vcpus[0].initial.sregs;
	struct kvm_regs regs = { .rip = rip, .rsi = rsi };
	int err;

	err = boot_gdt(m, &sregs, &seg_code64);
	if (!err)
		err = boot_tables(m);
	if (err)
		return err;
	sregs.cr0 = CR0_PE | CR0_ET | CR0_PG;
	sregs.cr3 = BOOT_TABLES;
	sregs.cr4 = CR4_PAE;
	sregs.efer = EFER_LME | EFER_LMA;
	return boot_regs_set(m, &sregs, &regs);
}

int boot_regs_flat(struct machine *m, uint32_t rip, uint32_t rbx)
{
	struct kvm_sregs sregs = m->vcpus[0].initial.sregs;
	struct kvm_regs regs = { .rip = rip, .rbx = rbx };
	int err;

	err = boot_gdt(m, &sregs, &seg_code32);
	if (err)
		return err;
	sregs.cr0 = CR0_PE | CR0_ET;
	sregs.cr4 = 0;
	sregs.efer = 0;
	return boot_regs_set(m, &sregs, &regs);
}
