/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The virtual machine control block: APM volume 2, appendix B. Own layout,
 * because that of the kernel's header changes between kernels; exit codes
 * are the kernel's UAPI ones.
 */
#ifndef VMM_SVM_VMCB_H
#define VMM_SVM_VMCB_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>
#include <uapi/asm/svm.h>

/* Words of vmcb_control.intercept[]. */
enum {
	ICPT_CR, ICPT_DR, ICPT_EXCEPTION, ICPT_MISC1, ICPT_MISC2, ICPT_MISC3,
	NR_ICPT_WORDS
};

/* ICPT_CR, ICPT_DR: reads of register n in bit n, writes in bit 16 + n. */
#define ICPT_READ(n)		BIT(n)
#define ICPT_WRITE(n)		BIT(16 + (n))

/* ICPT_MISC1 */
#define ICPT1_INTR		BIT(0)
#define ICPT1_NMI		BIT(1)
#define ICPT1_SMI		BIT(2)
#define ICPT1_INIT		BIT(3)
#define ICPT1_VINTR		BIT(4)
#define ICPT1_CR0_SEL_WRITE	BIT(5)
#define ICPT1_RDPMC		BIT(15)
#define ICPT1_CPUID		BIT(18)
#define ICPT1_RSM		BIT(19)
#define ICPT1_IRET		BIT(20)
#define ICPT1_INVD		BIT(22)
#define ICPT1_PAUSE		BIT(23)
#define ICPT1_HLT		BIT(24)
#define ICPT1_INVLPGA		BIT(26)
#define ICPT1_IOIO		BIT(27)
#define ICPT1_MSR		BIT(28)
#define ICPT1_TASK_SWITCH	BIT(29)
#define ICPT1_SHUTDOWN		BIT(31)

/* ICPT_MISC2 */
#define ICPT2_VMRUN		BIT(0)
#define ICPT2_VMMCALL		BIT(1)
#define ICPT2_VMLOAD		BIT(2)
#define ICPT2_VMSAVE		BIT(3)
#define ICPT2_STGI		BIT(4)
#define ICPT2_CLGI		BIT(5)
#define ICPT2_SKINIT		BIT(6)
#define ICPT2_RDTSCP		BIT(7)
#define ICPT2_WBINVD		BIT(9)
#define ICPT2_MONITOR		BIT(10)
#define ICPT2_MWAIT		BIT(11)
#define ICPT2_MWAIT_ARMED	BIT(12)
#define ICPT2_XSETBV		BIT(13)
#define ICPT2_RDPRU		BIT(14)

/* ICPT_MISC3 */
#define ICPT3_INVLPGB		BIT(0)
#define ICPT3_INVLPGB_ILLEGAL	BIT(1)
#define ICPT3_INVPCID		BIT(2)
#define ICPT3_MCOMMIT		BIT(3)
#define ICPT3_TLBSYNC		BIT(4)

/* vmcb_control.int_ctl */
#define INTCTL_TPR		0xfu
#define INTCTL_IRQ		BIT(8)
#define INTCTL_PRIO_SHIFT	16
#define INTCTL_PRIO		(0xfu << INTCTL_PRIO_SHIFT)
#define INTCTL_IGN_TPR		BIT(20)
#define INTCTL_MASKING		BIT(24)
#define INTCTL_IRQ_ALL		(INTCTL_IRQ | INTCTL_PRIO | INTCTL_IGN_TPR)

/* vmcb_control.int_state */
#define INTSTATE_SHADOW		BIT(0)

/* vmcb_control.tlb_ctl */
#define TLBCTL_NONE		0
#define TLBCTL_FLUSH_ALL	1
#define TLBCTL_FLUSH_ASID	3

/* vmcb_control.nested_ctl */
#define NESTED_NP		BIT(0)

/* vmcb_control.clean: the group has not changed since the last VMRUN. */
#define CLEAN_INTERCEPTS	BIT(0)	/* and TSC offset, pause filter */
#define CLEAN_PERM_MAPS		BIT(1)
#define CLEAN_ASID		BIT(2)
#define CLEAN_TPR		BIT(3)	/* int_ctl, int_vector */
#define CLEAN_NP		BIT(4)	/* nested CR3, g_pat */
#define CLEAN_CR		BIT(5)	/* CR0, CR3, CR4, EFER */
#define CLEAN_DR		BIT(6)	/* DR6, DR7 */
#define CLEAN_DT		BIT(7)	/* GDT, IDT */
#define CLEAN_SEG		BIT(8)	/* CS, DS, SS, ES, CPL */
#define CLEAN_CR2		BIT(9)
#define CLEAN_LBR		BIT(10)
#define CLEAN_ALL		(BIT(11) - 1)

/* event_inj and exit_int_info */
#define EVTINJ_VECTOR		0xffu
#define EVTINJ_TYPE_SHIFT	8
#define EVTINJ_TYPE		(7u << EVTINJ_TYPE_SHIFT)
#define EVTINJ_TYPE_INTR		(0u << EVTINJ_TYPE_SHIFT)
#define EVTINJ_TYPE_NMI		(2u << EVTINJ_TYPE_SHIFT)
#define EVTINJ_TYPE_EXCEPTION	(3u << EVTINJ_TYPE_SHIFT)
#define EVTINJ_TYPE_SOFT		(4u << EVTINJ_TYPE_SHIFT)
#define EVTINJ_HAS_ERROR		BIT(11)
#define EVTINJ_VALID		BIT(31)

struct vmcb_control {
	u32 intercept[NR_ICPT_WORDS];		/* 000 */
	u8 reserved_018[0x24];
	u16 pause_filter_thresh;		/* 03c */
	u16 pause_filter_count;
	u64 iopm_pa;				/* 040 */
	u64 msrpm_pa;
	u64 tsc_offset;				/* 050 */
	u32 asid;				/* 058 */
	u8 tlb_ctl;
	u8 reserved_05d[3];
	u32 int_ctl;				/* 060 */
	u32 int_vector;
	u64 int_state;				/* 068 */
	u64 exit_code;				/* 070 */
	u64 exit_info1;
	u64 exit_info2;				/* 080 */
	u32 exit_int_info;
	u32 exit_int_error;
	u64 nested_ctl;				/* 090 */
	u8 reserved_098[0x10];
	u32 event_inj;				/* 0a8 */
	u32 event_inj_error;
	u64 nested_cr3;				/* 0b0 */
	u64 virt_ext;
	u32 clean;				/* 0c0 */
	u32 reserved_0c4;
	u64 next_rip;				/* 0c8 */
	u8 nr_insn_bytes;			/* 0d0 */
	u8 insn_bytes[15];
	u8 reserved_0e0[0x320];
} __packed;

struct vmcb_segment {
	u16 selector;
	u16 attr;	/* descriptor bits 40-47, then 52-55 */
	u32 limit;
	u64 base;
} __packed;

struct vmcb_save {
	struct vmcb_segment es, cs, ss, ds, fs, gs;	/* 400 */
	struct vmcb_segment gdtr, ldtr, idtr, tr;
	u8 reserved_0a0[0x2b];
	u8 cpl;					/* 4cb */
	u32 reserved_0cc;
	u64 efer;				/* 4d0 */
	u8 reserved_0d8[0x70];
	u64 cr4, cr3, cr0;			/* 548 */
	u64 dr7, dr6;
	u64 rflags, rip;
	u8 reserved_180[0x58];
	u64 rsp;				/* 5d8 */
	u64 s_cet, ssp, isst_addr;
	u64 rax;				/* 5f8 */
	u64 star, lstar, cstar, sfmask, kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 cr2;				/* 640 */
	u8 reserved_248[0x20];
	u64 g_pat;				/* 668 */
	u64 dbgctl, br_from, br_to, last_excp_from, last_excp_to;
	u8 reserved_298[0x48];
	u64 spec_ctrl;				/* 6e0 */
	u8 reserved_2e8[0x918];
} __packed;

struct vmcb {
	struct vmcb_control control;
	struct vmcb_save save;
} __packed;

static_assert(sizeof(struct vmcb) == 4096);
static_assert(offsetof(struct vmcb, control.pause_filter_thresh) == 0x03c);
static_assert(offsetof(struct vmcb, control.asid) == 0x058);
static_assert(offsetof(struct vmcb, control.exit_code) == 0x070);
static_assert(offsetof(struct vmcb, control.nested_ctl) == 0x090);
static_assert(offsetof(struct vmcb, control.event_inj) == 0x0a8);
static_assert(offsetof(struct vmcb, control.clean) == 0x0c0);
static_assert(offsetof(struct vmcb, control.insn_bytes) == 0x0d1);
static_assert(offsetof(struct vmcb, save) == 0x400);
static_assert(offsetof(struct vmcb, save.cpl) == 0x4cb);
static_assert(offsetof(struct vmcb, save.efer) == 0x4d0);
static_assert(offsetof(struct vmcb, save.cr4) == 0x548);
static_assert(offsetof(struct vmcb, save.rsp) == 0x5d8);
static_assert(offsetof(struct vmcb, save.rax) == 0x5f8);
static_assert(offsetof(struct vmcb, save.cr2) == 0x640);
static_assert(offsetof(struct vmcb, save.g_pat) == 0x668);
static_assert(offsetof(struct vmcb, save.spec_ctrl) == 0x6e0);

#endif /* VMM_SVM_VMCB_H */
