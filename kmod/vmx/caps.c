// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the CPUs offer: negotiated once at load, compared on every CPU that
 * comes up, and VMXON/VMXOFF. SDM appendix A, 24.6, 24.7.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/gfp.h>
#include <linux/percpu.h>
#include <linux/seq_buf.h>
#include <asm/cpufeature.h>

#include "vmx.h"

struct vmx_caps vmx_caps __ro_after_init;
struct vmx_host_caps vmx_host __ro_after_init;

/* The VMXON region of each possible CPU; NULL until setup. */
static DEFINE_PER_CPU(struct vmcs_region *, vmxon_region);

/*
 * required: no VM runs without it, and it is always set;
 * always: set wherever it exists;
 * optional: known and set when a guest needs it.
 */
struct ctl_wish {
	u32 msr, true_msr;
	u32 required, always, optional;
};

static const struct ctl_wish wishes[NR_NEGOTIATED] = {
	[VCTL_PIN] = {
		MSR_IA32_VMX_PINBASED_CTLS, MSR_IA32_VMX_TRUE_PINBASED_CTLS,
		.required = PIN_BASED_EXT_INTR_MASK | PIN_BASED_NMI_EXITING |
			    PIN_BASED_VIRTUAL_NMIS,
		.optional = PIN_BASED_VMX_PREEMPTION_TIMER,
	},
	[VCTL_CPU] = {
		MSR_IA32_VMX_PROCBASED_CTLS, MSR_IA32_VMX_TRUE_PROCBASED_CTLS,
		.required = CPU_BASED_HLT_EXITING | CPU_BASED_MWAIT_EXITING |
			    CPU_BASED_MONITOR_EXITING | CPU_BASED_RDPMC_EXITING |
			    CPU_BASED_MOV_DR_EXITING | CPU_BASED_UNCOND_IO_EXITING |
			    CPU_BASED_USE_TSC_OFFSETTING | CPU_BASED_USE_MSR_BITMAPS |
			    CPU_BASED_ACTIVATE_SECONDARY_CONTROLS,
		.optional = CPU_BASED_TPR_SHADOW | CPU_BASED_CR8_LOAD_EXITING |
			    CPU_BASED_CR8_STORE_EXITING |
			    CPU_BASED_INTR_WINDOW_EXITING | CPU_BASED_NMI_WINDOW_EXITING,
	},
	[VCTL_CPU2] = {
		MSR_IA32_VMX_PROCBASED_CTLS2, 0,
		.required = SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_UNRESTRICTED_GUEST,
		.always = SECONDARY_EXEC_WBINVD_EXITING | SECONDARY_EXEC_ENCLS_EXITING,
		.optional = SECONDARY_EXEC_ENABLE_VPID | SECONDARY_EXEC_PAUSE_LOOP_EXITING |
			    SECONDARY_EXEC_ENABLE_RDTSCP | SECONDARY_EXEC_ENABLE_INVPCID |
			    VMX_CTL2_XSAVES | SECONDARY_EXEC_TSC_SCALING |
			    SECONDARY_EXEC_RDRAND_EXITING | SECONDARY_EXEC_RDSEED_EXITING |
			    SECONDARY_EXEC_ENABLE_PML,
	},
	[VCTL_EXIT] = {
		MSR_IA32_VMX_EXIT_CTLS, MSR_IA32_VMX_TRUE_EXIT_CTLS,
		.required = VM_EXIT_HOST_ADDR_SPACE_SIZE | VM_EXIT_LOAD_IA32_PAT |
			    VM_EXIT_LOAD_IA32_EFER,
	},
	[VCTL_ENTRY] = {
		MSR_IA32_VMX_ENTRY_CTLS, MSR_IA32_VMX_TRUE_ENTRY_CTLS,
		.required = VM_ENTRY_LOAD_DEBUG_CONTROLS | VM_ENTRY_LOAD_IA32_PAT |
			    VM_ENTRY_LOAD_IA32_EFER,
		.optional = VM_ENTRY_IA32E_MODE,
	},
};

/* Names for the one line that says what is missing. */
static const struct {
	u8 ctl;
	u32 bit;
	const char *name;
} ctl_names[] = {
	{ VCTL_CPU, CPU_BASED_ACTIVATE_SECONDARY_CONTROLS, "secondary controls" },
	{ VCTL_CPU2, SECONDARY_EXEC_ENABLE_EPT, "EPT" },
	{ VCTL_CPU2, SECONDARY_EXEC_UNRESTRICTED_GUEST, "unrestricted guest" },
	{ VCTL_PIN, PIN_BASED_VIRTUAL_NMIS, "virtual NMIs" },
	{ VCTL_CPU, CPU_BASED_USE_MSR_BITMAPS, "MSR bitmaps" },
	{ VCTL_ENTRY, VM_ENTRY_LOAD_IA32_EFER, "EFER switching" },
	{ VCTL_ENTRY, VM_ENTRY_LOAD_IA32_PAT, "PAT switching" },
};

/* Reads a capability MSR; 0 where it does not exist. */
static u64 cap_msr(u32 msr)
{
	u64 val = 0;

	if (vmm_rdmsr_safe(msr, &val))
		return 0;
	return val;
}

static void report_missing(const u32 *missing)
{
	char text[160];
	struct seq_buf s;
	int i;

	seq_buf_init(&s, text, sizeof(text));
	for (i = 0; i < ARRAY_SIZE(ctl_names); i++)
		if (missing[ctl_names[i].ctl] & ctl_names[i].bit)
			seq_buf_printf(&s, "%s%s", s.len ? ", " : "", ctl_names[i].name);
	if (!s.len)
		seq_buf_printf(&s, "basic controls (%x %x %x %x %x)", missing[VCTL_PIN],
			       missing[VCTL_CPU], missing[VCTL_CPU2], missing[VCTL_EXIT],
			       missing[VCTL_ENTRY]);
	pr_err("this CPU's VT-x lacks %.*s; vmm cannot do without\n", (int)s.len, text);
}

/* Low half: bits that must be 1; high half: bits that may be. SDM A.3.1. */
static u32 negotiate_one(const struct ctl_wish *wish, bool true_ctls,
			 u32 *allowed, u32 *base)
{
	u64 cap = cap_msr(true_ctls && wish->true_msr ? wish->true_msr : wish->msr);
	u32 must = cap, may = cap >> 32;

	*allowed = may & (wish->required | wish->always | wish->optional);
	*base = must | (may & (wish->required | wish->always));
	return wish->required & ~may;
}

static bool negotiate(struct vmx_caps *caps, u32 *missing)
{
	u64 basic = cap_msr(MSR_IA32_VMX_BASIC);
	bool complete = true;
	int i;

	memset(caps, 0, sizeof(*caps));
	caps->revision = basic & GENMASK(30, 0);
	for (i = 0; i < NR_NEGOTIATED; i++) {
		missing[i] = negotiate_one(&wishes[i], basic & BIT_ULL(55),
					   &caps->allowed[i], &caps->base[i]);
		complete &= !missing[i];
	}
	caps->misc = cap_msr(MSR_IA32_VMX_MISC);
	if (caps->allowed[VCTL_CPU2] & SECONDARY_EXEC_ENABLE_EPT)
		caps->ept_vpid = cap_msr(MSR_IA32_VMX_EPT_VPID_CAP);
	return complete;
}

/* A four-level walk, write-back tables, and an INVEPT to flush them with. */
static bool ept_usable(u64 cap)
{
	return (cap & VMX_EPT_PAGE_WALK_4_BIT) && (cap & VMX_EPTP_WB_BIT) &&
	       (cap & VMX_EPT_INVEPT_BIT) &&
	       (cap & (VMX_EPT_EXTENT_CONTEXT_BIT | VMX_EPT_EXTENT_GLOBAL_BIT));
}

static bool invvpid_usable(u64 cap)
{
	cap >>= 32;
	return (cap & VMX_VPID_INVVPID_BIT) &&
	       (cap & VMX_VPID_EXTENT_GLOBAL_CONTEXT_BIT);
}

static bool host_has_fred(void)
{
#ifdef X86_FEATURE_FRED
	return cpu_feature_enabled(X86_FEATURE_FRED);
#else
	return false;
#endif
}

/* SDM 24.7: locked by firmware or the kernel, with VMX outside SMX allowed. */
static bool feature_control_ok(void)
{
	u64 val = 0;

	if (vmm_rdmsr_safe(MSR_IA32_FEAT_CTL, &val))
		return true;
	return (val & FEAT_CTL_LOCKED) && (val & FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX);
}

int vmx_probe(void)
{
	u32 missing[NR_NEGOTIATED];
	struct vmx_caps caps;

	if (!(cpuid_ecx(1) & BIT(5)))
		return -ENODEV;
	if (!feature_control_ok()) {
		pr_err("VT-x is switched off by the firmware (IA32_FEATURE_CONTROL)\n");
		return -EOPNOTSUPP;
	}
	if (host_has_fred()) {
		pr_err("VT-x with FRED event delivery is not supported; boot with fred=off\n");
		return -EOPNOTSUPP;
	}
	if (!negotiate(&caps, missing)) {
		report_missing(missing);
		return -EOPNOTSUPP;
	}
	if (!ept_usable(caps.ept_vpid)) {
		pr_err("this CPU's EPT lacks 4-level walks, write-back tables or INVEPT\n");
		return -EOPNOTSUPP;
	}
	return 0;
}

/* Do Intel's errata say that the timer is wrong? By CPUID.1:EAX without its reserved bits. */
static bool timer_is_broken(void)
{
	static const u32 broken[] = {
		0x106a0, 0x106a1, 0x106a4, 0x106a5, 0x106e5, 0x20652, 0x20655, 0x206e6, 0x306a8,
	};
	u32 signature = cpuid_eax(1) & 0x0fff3fff;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(broken); i++)
		if (signature == broken[i])
			return true;
	return false;
}

static void setup_host_caps(void)
{
	u32 cpu2 = vmx_caps.allowed[VCTL_CPU2];
	bool mitigate = !cpu_mitigations_off();

	vmx_host.vpid = (cpu2 & SECONDARY_EXEC_ENABLE_VPID) &&
			invvpid_usable(vmx_caps.ept_vpid);
	vmx_host.tpr_shadow = vmx_caps.allowed[VCTL_CPU] & CPU_BASED_TPR_SHADOW;
	vmx_host.timer = (vmx_caps.allowed[VCTL_PIN] & PIN_BASED_VMX_PREEMPTION_TIMER) &&
			 !timer_is_broken();
	vmx_host.timer_shift = vmx_misc_preemption_timer_rate(vmx_caps.misc);
	vmx_host.spec_ctrl = boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL);
	vmx_host.spec_always = boot_cpu_has(X86_FEATURE_KERNEL_IBRS);
	vmx_host.ibpb = mitigate && boot_cpu_has(X86_FEATURE_IBPB);
	vmx_host.l1d_flush_msr = boot_cpu_has(X86_FEATURE_FLUSH_L1D);
	/* For MMIO stale data alone the kernel leaves it to hypervisors. */
	vmx_host.verw = compat_verw_on_entry() ||
			(mitigate && boot_cpu_has_bug(X86_BUG_MMIO_STALE_DATA));
	vmx_host.bhb = compat_bhb_clear_on_exit();
	vmx_host.pebs = boot_cpu_has(X86_FEATURE_PEBS);
}

static void setup_vendor_caps(void)
{
	vendor_caps.vcpu_size = sizeof(struct vcpu_vmx);
	vendor_caps.tsc_scaling = vmx_caps.allowed[VCTL_CPU2] & SECONDARY_EXEC_TSC_SCALING;
	vendor_caps.xsaves = vmx_caps.allowed[VCTL_CPU2] & VMX_CTL2_XSAVES;
	vendor_caps.tsc_ratio_frac_bits = 48;
	vendor_caps.tsc_ratio_max = U64_MAX;
	vendor_caps.tsc_ratio_default = BIT_ULL(48);
	vendor_caps.timer = vmx_host.timer;
	vendor_caps.efer_mask = EFER_SCE | EFER_LME | EFER_LMA | EFER_NX;
	vendor_caps.insn_bytes = false;
	vendor_caps.vmcall = true;
	vendor_caps.cmci = true;
}

static int alloc_vmxon_regions(void)
{
	struct page *page;
	int cpu;

	for_each_possible_cpu(cpu) {
		page = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO, 0);
		if (!page)
			return -ENOMEM;
		per_cpu(vmxon_region, cpu) = page_address(page);
		per_cpu(vmxon_region, cpu)->revision = vmx_caps.revision;
	}
	return 0;
}

int vmx_setup(void)
{
	u32 missing[NR_NEGOTIATED];
	int err;

	negotiate(&vmx_caps, missing);
	setup_host_caps();
	setup_vendor_caps();
	vmx_tdp_setup();
	vmx_pml_setup();
	err = alloc_vmxon_regions();
	if (!err)
		err = vmx_mitigate_setup();
	if (err)
		vmx_unsetup();
	return err;
}

void vmx_unsetup(void)
{
	int cpu;

	vmx_mitigate_unsetup();
	for_each_possible_cpu(cpu) {
		free_page((unsigned long)per_cpu(vmxon_region, cpu));
		per_cpu(vmxon_region, cpu) = NULL;
	}
}

/* A CPU that came later must offer the same, or a vCPU could not move to it. */
static int check_same_caps(void)
{
	u32 missing[NR_NEGOTIATED];
	struct vmx_caps caps;

	negotiate(&caps, missing);
	if (memcmp(&caps, &vmx_caps, sizeof(caps)) || !feature_control_ok()) {
		pr_err("CPU %d offers another VT-x than the boot CPU\n", smp_processor_id());
		return -EIO;
	}
	return 0;
}

/*
 * VMXON wants IA32_VMX_CR0_FIXED*, which any Linux CR0 satisfies, and
 * CR4.VMXE; that bit already set means that somebody else is in VMX operation.
 */
int vmx_cpu_on(void)
{
	struct vmcs_region *region = __this_cpu_read(vmxon_region);
	int err;

	if (__read_cr4() & X86_CR4_VMXE)
		return -EBUSY;
	err = check_same_caps();
	if (err)
		return err;
	compat_intel_pt_vmx(true);
	err = compat_cr4_set(X86_CR4_VMXE);
	if (err)
		goto out_pt;
	if (vmx_vmxon(__pa(region))) {
		err = -EIO;
		goto out_cr4;
	}
	vmx_clear_leftovers();
	vmx_flush_all_on_cpu();
	vmx_read_host_msrs();
	return 0;

out_cr4:
	compat_cr4_clear(X86_CR4_VMXE);
out_pt:
	compat_intel_pt_vmx(false);
	return err;
}

/* Also in NMI context of a crashing host: no locks, no waiting. */
void vmx_cpu_off(void)
{
	vmx_clear_this_cpu();
	vmx_vmxoff();
	compat_cr4_clear(X86_CR4_VMXE);
	compat_intel_pt_vmx(false);
}
