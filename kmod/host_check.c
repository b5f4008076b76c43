// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a stay must leave as it found it: read before and after, and compared.
 *
 * Left out is what the host itself may change meanwhile, by an interrupt: the
 * MSRs of performance counters, CR4.PCE, virtualization being switched off by
 * a reboot. DR0-3 count only while breakpoints of the host are on; else an
 * exit may leave the guest's there, and nobody can read them. The limit of
 * IDTR is 64 KB after any exit of VT-x: see vmx_stay_end(). That of TR cannot
 * be read at all.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitmap.h>
#include <linux/percpu.h>
#include <linux/ratelimit.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fpu/xcr.h>
#include <asm/msr-index.h>

#include "compat.h"
#include "host_check.h"

#define FLAGS_CHECKED	(X86_EFLAGS_TF | X86_EFLAGS_IF | X86_EFLAGS_DF | X86_EFLAGS_IOPL | \
			 X86_EFLAGS_NT | X86_EFLAGS_AC)
#define DR7_FIXED	0x400ul
#define DR7_ENABLED	0xfful
#define CR4_IGNORED	(X86_CR4_PCE | X86_CR4_VMXE)
#define DEBUGCTL_PERF	(DEBUGCTLMSR_LBR | DEBUGCTLMSR_FREEZE_LBRS_ON_PMI | \
			 DEBUGCTLMSR_FREEZE_PERFMON_ON_PMI)

static const struct {
	const char *name;
	u32 msr;
	u64 ignored;
} msrs[] = {
	{ "STAR", MSR_STAR },
	{ "LSTAR", MSR_LSTAR },
	{ "CSTAR", MSR_CSTAR },
	{ "SYSCALL_MASK", MSR_SYSCALL_MASK },
	{ "SYSENTER_CS", MSR_IA32_SYSENTER_CS },
	{ "SYSENTER_ESP", MSR_IA32_SYSENTER_ESP },
	{ "SYSENTER_EIP", MSR_IA32_SYSENTER_EIP },
	{ "FS_BASE", MSR_FS_BASE },
	{ "GS_BASE", MSR_GS_BASE },
	{ "KERNEL_GS_BASE", MSR_KERNEL_GS_BASE },
	{ "TSC_AUX", MSR_TSC_AUX },
	{ "EFER", MSR_EFER, EFER_SVME },
	{ "PAT", MSR_IA32_CR_PAT },
	{ "XSS", MSR_IA32_XSS },
	{ "SPEC_CTRL", MSR_IA32_SPEC_CTRL },
	{ "VIRT_SPEC_CTRL", MSR_AMD64_VIRT_SPEC_CTRL },
	{ "DEBUGCTL", MSR_IA32_DEBUGCTLMSR, DEBUGCTL_PERF },
	{ "APICBASE", MSR_IA32_APICBASE },
	{ "MISC_FEATURES_ENABLES", MSR_MISC_FEATURES_ENABLES },
	{ "TSX_CTRL", MSR_IA32_TSX_CTRL },
	{ "UMWAIT_CONTROL", MSR_IA32_UMWAIT_CONTROL },
	{ "U_CET", MSR_IA32_U_CET },
	{ "S_CET", MSR_IA32_S_CET },
	{ "PL0_SSP", MSR_IA32_PL0_SSP },
	{ "PL1_SSP", MSR_IA32_PL1_SSP },
	{ "PL2_SSP", MSR_IA32_PL2_SSP },
	{ "PL3_SSP", MSR_IA32_PL3_SSP },
	{ "INT_SSP_TAB", MSR_IA32_INT_SSP_TAB },
};

enum host_reg {
	CR0, CR3, CR4, CR8, DR0, DR1, DR2, DR3, DR6, DR7, FLAGS, XCR0, PKRU,
	GDT_BASE, GDT_LIMIT, IDT_BASE, IDT_LIMIT, SEL_TR, SEL_LDT,
	SEL_CS, SEL_SS, SEL_DS, SEL_ES, SEL_FS, SEL_GS, NR_HOST_REGS
};

static const char * const names[] = {
	[CR0] = "CR0", [CR3] = "CR3", [CR4] = "CR4", [CR8] = "CR8", [DR0] = "DR0",
	[DR1] = "DR1", [DR2] = "DR2", [DR3] = "DR3", [DR6] = "DR6", [DR7] = "DR7",
	[FLAGS] = "FLAGS", [XCR0] = "XCR0", [PKRU] = "PKRU", [GDT_BASE] = "GDT_BASE",
	[GDT_LIMIT] = "GDT_LIMIT", [IDT_BASE] = "IDT_BASE", [IDT_LIMIT] = "IDT_LIMIT",
	[SEL_TR] = "SEL_TR", [SEL_LDT] = "SEL_LDT", [SEL_CS] = "SEL_CS", [SEL_SS] = "SEL_SS",
	[SEL_DS] = "SEL_DS", [SEL_ES] = "SEL_ES", [SEL_FS] = "SEL_FS", [SEL_GS] = "SEL_GS",
};

struct host_state {
	u64 reg[NR_HOST_REGS];
	u64 msr[ARRAY_SIZE(msrs)];
};

static DEFINE_PER_CPU(struct host_state, found);
static DEFINE_PER_CPU(struct host_state, left);
static DECLARE_BITMAP(have_msr, ARRAY_SIZE(msrs));

static void read_segments(u64 *reg)
{
	struct desc_ptr gdt, idt;
	u16 sel;

	native_store_gdt(&gdt);
	store_idt(&idt);
	reg[GDT_BASE] = gdt.address;
	reg[GDT_LIMIT] = gdt.size;
	reg[IDT_BASE] = idt.address;
	reg[IDT_LIMIT] = idt.size;
	asm volatile("str %0" : "=r" (sel));
	reg[SEL_TR] = sel;
	asm volatile("sldt %0" : "=r" (sel));
	reg[SEL_LDT] = sel;
	savesegment(cs, reg[SEL_CS]);
	savesegment(ss, reg[SEL_SS]);
	savesegment(ds, reg[SEL_DS]);
	savesegment(es, reg[SEL_ES]);
	savesegment(fs, reg[SEL_FS]);
	savesegment(gs, reg[SEL_GS]);
}

static void read_debug(u64 *reg)
{
	unsigned long val;

	get_debugreg(val, 6);
	reg[DR6] = val;
	get_debugreg(val, 7);
	reg[DR7] = val & ~DR7_FIXED;
	memset(&reg[DR0], 0, 4 * sizeof(*reg));
	if (!(val & DR7_ENABLED))
		return;
	get_debugreg(val, 0);
	reg[DR0] = val;
	get_debugreg(val, 1);
	reg[DR1] = val;
	get_debugreg(val, 2);
	reg[DR2] = val;
	get_debugreg(val, 3);
	reg[DR3] = val;
}

static void read_state(struct host_state *s)
{
	int i;

	s->reg[CR0] = read_cr0();
	s->reg[CR3] = __read_cr3();
	s->reg[CR4] = native_read_cr4() & ~CR4_IGNORED;
	asm volatile("mov %%cr8, %0" : "=r" (s->reg[CR8]));
	s->reg[FLAGS] = native_save_fl() & FLAGS_CHECKED;
	s->reg[XCR0] = boot_cpu_has(X86_FEATURE_OSXSAVE) ? xgetbv(XCR_XFEATURE_ENABLED_MASK) : 0;
	s->reg[PKRU] = boot_cpu_has(X86_FEATURE_OSPKE) ? rdpkru() : 0;
	read_debug(s->reg);
	read_segments(s->reg);
	for_each_set_bit(i, have_msr, ARRAY_SIZE(msrs)) {
		vmm_rdmsr(msrs[i].msr, s->msr[i]);
		s->msr[i] &= ~msrs[i].ignored;
	}
}

void __init host_check_init(void)
{
	u64 val;
	int i;

	for (i = 0; i < ARRAY_SIZE(msrs); i++)
		if (!vmm_rdmsr_safe(msrs[i].msr, &val))
			__set_bit(i, have_msr);
}

void host_check_begin(void)
{
	read_state(this_cpu_ptr(&found));
}

static bool reg_is_right(const struct host_state *was, const struct host_state *is, int i)
{
	if (is->reg[i] == was->reg[i])
		return true;
	/* Somebody's breakpoint came or went by an interrupt. */
	if (i >= DR0 && i <= DR7 && i != DR6)
		return is->reg[DR7] != was->reg[DR7] &&
		       is->reg[DR7] == (this_cpu_read(cpu_dr7) & ~DR7_FIXED);
	/* Empty behind a thread that an interrupt had stopped (SDM 6.14.4); VT-x loads it. */
	if (i == SEL_SS)
		return !was->reg[i] && is->reg[i] == __KERNEL_DS;
	return i == IDT_LIMIT && is->reg[i] == 0xffff;
}

static void tell(const char *name, u64 was, u64 is)
{
	WARN_RATELIMIT(1, "a stay has changed the host's %s from %#llx to %#llx\n", name, was, is);
}

void host_check_end(void)
{
	const struct host_state *was = this_cpu_ptr(&found);
	struct host_state *is = this_cpu_ptr(&left);
	int i;

	read_state(is);
	for (i = 0; i < NR_HOST_REGS; i++)
		if (!reg_is_right(was, is, i))
			tell(names[i], was->reg[i], is->reg[i]);
	for_each_set_bit(i, have_msr, ARRAY_SIZE(msrs))
		if (is->msr[i] != was->msr[i])
			tell(msrs[i].name, was->msr[i], is->msr[i]);
}
