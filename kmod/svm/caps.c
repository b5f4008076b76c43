// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the CPUs offer, the permission maps, and AMD-V on and off per CPU.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cc_platform.h>
#include <linux/cpumask.h>
#include <linux/gfp.h>
#include <asm/cpufeature.h>
#include <asm/processor.h>

#include "svm.h"

#define SVM_LEAF	0x8000000a
#define VM_CR_SVMDIS	BIT_ULL(4)

#define IOPM_ORDER	2	/* 12 KB: 15.10.1 */
#define MSRPM_ORDER	1	/* 8 KB: 15.11 */

struct svm_caps svm_caps __ro_after_init;
struct page *svm_iopm __read_mostly;
struct page *svm_msrpm[NR_MSRPMS] __read_mostly;
DEFINE_PER_CPU(struct svm_cpu, svm_cpus);

int svm_probe(void)
{
	u64 vm_cr;

	if (boot_cpu_data.x86_vendor != X86_VENDOR_AMD &&
	    boot_cpu_data.x86_vendor != X86_VENDOR_HYGON)
		return -ENODEV;
	if (!boot_cpu_has(X86_FEATURE_SVM))
		return -ENODEV;
	if (cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT)) {
		pr_err("an encrypted guest cannot run guests of its own\n");
		return -EOPNOTSUPP;
	}
	if (!vmm_rdmsr_safe(MSR_VM_CR, &vm_cr) && (vm_cr & VM_CR_SVMDIS)) {
		pr_err("AMD-V is disabled by the firmware; enable SVM in its setup\n");
		return -EOPNOTSUPP;
	}
	/* Guests that map memory in two sizes would bring the host down by machine checks. */
	if (boot_cpu_has_bug(X86_BUG_AMD_TLB_MMATCH)) {
		pr_err("this CPU has AMD's erratum 383, against which nothing is done here\n");
		return -EOPNOTSUPP;
	}
	if (!boot_cpu_has(X86_FEATURE_NPT)) {
		pr_err("this CPU lacks nested paging, which is required\n");
		return -EOPNOTSUPP;
	}
	return 0;
}

static void read_caps(void)
{
	svm_caps = (struct svm_caps){
		.nrips = boot_cpu_has(X86_FEATURE_NRIPS),
		.decode = boot_cpu_has(X86_FEATURE_DECODEASSISTS),
		.flush_asid = boot_cpu_has(X86_FEATURE_FLUSHBYASID),
		/* CR2 and the interrupt control word change too often to be worth comparing. */
		.clean_after_exit = boot_cpu_has(X86_FEATURE_VMCBCLEAN) ?
				    CLEAN_ALL & ~(CLEAN_CR2 | CLEAN_TPR) : 0,
		.pause_filter = boot_cpu_has(X86_FEATURE_PAUSEFILTER),
		.pause_thresh = boot_cpu_has(X86_FEATURE_PFTHRESHOLD),
		.tsc_ratio = boot_cpu_has(X86_FEATURE_TSCRATEMSR),
		.virt_spec_ctrl = boot_cpu_has(X86_FEATURE_V_SPEC_CTRL),
		.spec_ctrl = boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL),
		.ibpb = boot_cpu_has(X86_FEATURE_IBPB),
		.rdtscp = boot_cpu_has(X86_FEATURE_RDTSCP) ||
			  boot_cpu_has(X86_FEATURE_RDPID),
		.bus_lock_detect = boot_cpu_has(X86_FEATURE_BUS_LOCK_DETECT),
		.nr_asids = cpuid_ebx(SVM_LEAF),
	};
}

static void fill_vendor_caps(void)
{
	vendor_caps.vcpu_size = sizeof(struct vcpu_svm);
	vendor_caps.tsc_scaling = svm_caps.tsc_ratio;
	vendor_caps.xsaves = true;
	vendor_caps.tsc_ratio_frac_bits = 32;
	vendor_caps.tsc_ratio_max = GENMASK_ULL(39, 0);
	vendor_caps.tsc_ratio_default = BIT_ULL(32);
	vendor_caps.timer = false;
	vendor_caps.insn_bytes = svm_caps.decode;
	vendor_caps.pdptrs_in_memory = true;
	vendor_caps.vmcall = false;
	/* 15.14.3 */
	vendor_caps.shutdown_loses_state = true;
	vendor_caps.efer_mask = EFER_SCE | EFER_LME | EFER_LMA | EFER_NX;
	if (boot_cpu_has(X86_FEATURE_FXSR_OPT))
		vendor_caps.efer_mask |= EFER_FFXSR;
}

/* MSRs the guest reads and writes by itself: all in the VMCB, all switched. */
static const u32 passthrough_msrs[] = {
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK,
	MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
};

/* 15.11: three vectors of 8192 MSRs, 2 bits each, even bit reads, odd writes. */
static void msrpm_allow(struct page *page, u32 msr)
{
	static const u32 bases[] = { 0, 0xc0000000, 0xc0010000 };
	unsigned long *map = page_address(page);
	int i;

	for (i = 0; i < ARRAY_SIZE(bases); i++) {
		u32 bit = (i * 8192 + (msr - bases[i])) * 2;

		if (msr - bases[i] >= 8192)
			continue;
		__clear_bit(bit, map);
		__clear_bit(bit + 1, map);
		return;
	}
}

static struct page *alloc_map(unsigned int order)
{
	struct page *page = alloc_pages(GFP_KERNEL, order);

	if (page)
		memset(page_address(page), 0xff, PAGE_SIZE << order);
	return page;
}

static int setup_maps(void)
{
	int i;

	svm_iopm = alloc_map(IOPM_ORDER);
	if (!svm_iopm)
		return -ENOMEM;
	for (i = 0; i < NR_MSRPMS; i++) {
		svm_msrpm[i] = alloc_map(MSRPM_ORDER);
		if (!svm_msrpm[i])
			return -ENOMEM;
	}
	for (i = 0; i < ARRAY_SIZE(passthrough_msrs); i++) {
		msrpm_allow(svm_msrpm[MSRPM_BASE], passthrough_msrs[i]);
		msrpm_allow(svm_msrpm[MSRPM_SPEC_CTRL], passthrough_msrs[i]);
	}
	msrpm_allow(svm_msrpm[MSRPM_SPEC_CTRL], MSR_IA32_SPEC_CTRL);
	return 0;
}

/*
 * Hosts with SNP mark the page of a VMCB as in use, and some processors then fault on all of a
 * huge mapping that begins with it: so none is the first of two.
 */
struct page *svm_alloc_page(int node, gfp_t gfp)
{
	struct page *page;

	if (!compat_host_snp())
		return alloc_pages_node(node, gfp, 0);
	page = alloc_pages_node(node, gfp, 1);
	if (!page)
		return NULL;
	split_page(page, 1);
	__free_page(page);
	return page + 1;
}

static int setup_cpus(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct svm_cpu *c = per_cpu_ptr(&svm_cpus, cpu);

		c->hsave = svm_alloc_page(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO);
		c->host = svm_alloc_page(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO);
		if (!c->hsave || !c->host)
			return -ENOMEM;
	}
	return 0;
}

int svm_setup(void)
{
	int err;

	read_caps();
	if (svm_caps.nr_asids < 2) {
		pr_err("this CPU has no address space identifiers for guests\n");
		return -EOPNOTSUPP;
	}
	err = setup_maps();
	if (!err)
		err = setup_cpus();
	if (err) {
		svm_unsetup();
		return err;
	}
	fill_vendor_caps();
	svm_pause_setup();
	svm_tdp_setup();
	return 0;
}

static void free_map(struct page **page, unsigned int order)
{
	if (*page)
		__free_pages(*page, order);
	*page = NULL;
}

void svm_unsetup(void)
{
	int i;

	for_each_possible_cpu(i) {
		struct svm_cpu *c = per_cpu_ptr(&svm_cpus, i);

		free_map(&c->hsave, 0);
		free_map(&c->host, 0);
	}
	for (i = 0; i < NR_MSRPMS; i++)
		free_map(&svm_msrpm[i], MSRPM_ORDER);
	free_map(&svm_iopm, IOPM_ORDER);
}

/* Where the kernel leaves it to hypervisors that guests do not train the host's returns (SRSO). */
static void reduce_speculation(bool on)
{
#ifdef X86_FEATURE_SRSO_BP_SPEC_REDUCE
	u64 val;

	if (!cpu_feature_enabled(X86_FEATURE_SRSO_BP_SPEC_REDUCE))
		return;
	vmm_rdmsr(MSR_ZEN4_BP_CFG, val);
	val &= ~BIT_ULL(MSR_ZEN4_BP_CFG_BP_SPEC_REDUCE_BIT);
	if (on)
		val |= BIT_ULL(MSR_ZEN4_BP_CFG_BP_SPEC_REDUCE_BIT);
	vmm_wrmsr(MSR_ZEN4_BP_CFG, val);
#endif
}

int svm_cpu_on(void)
{
	struct svm_cpu *cpu = this_cpu_ptr(&svm_cpus);
	u64 efer;

	vmm_rdmsr(MSR_EFER, efer);
	if (efer & EFER_SVME)
		return -EBUSY;
	vmm_wrmsr(MSR_EFER, efer | EFER_SVME);
	vmm_wrmsr(MSR_VM_HSAVE_PA, svm_page_pa(cpu->hsave));
	reduce_speculation(true);
	svm_asid_on(cpu);
	cpu->last_serial = 0;
	if (svm_caps.rdtscp)
		vmm_rdmsr(MSR_TSC_AUX, cpu->tsc_aux);
	if (svm_caps.tsc_ratio) {
		vmm_wrmsr(MSR_AMD64_TSC_RATIO, vendor_caps.tsc_ratio_default);
		cpu->tsc_ratio = vendor_caps.tsc_ratio_default;
	}
	return 0;
}

/* Also from an NMI that stopped this CPU between CLGI and STGI: GIF comes back. */
void svm_cpu_off(void)
{
	u64 efer;

	vmm_rdmsr(MSR_EFER, efer);
	if (!(efer & EFER_SVME))
		return;
	if (svm_caps.tsc_ratio)
		vmm_wrmsr(MSR_AMD64_TSC_RATIO, vendor_caps.tsc_ratio_default);
	reduce_speculation(false);
	vmm_wrmsr(MSR_VM_HSAVE_PA, 0);
	asm volatile("1: stgi\n2:\n" _ASM_EXTABLE(1b, 2b) : : : "memory");
	vmm_wrmsr(MSR_EFER, efer & ~(u64)EFER_SVME);
}
