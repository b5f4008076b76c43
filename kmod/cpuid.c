// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPUID. What the host can offer is one table of feature bits, ANDed with
 * what the CPU has and what the kernel left enabled; the rest of each leaf is
 * given by a rule in leaf_rules[].
 */
#include <linux/sched/stat.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <asm/kvm_para.h>
#include <asm/processor.h>

#include "cpuid.h"
#include "ioctl.h"
#include "msr.h"
#include "pv/pv.h"
#include "regs_access.h"
#include "vendor.h"
#include "xstate.h"

enum { R_EAX, R_EBX, R_ECX, R_EDX, R_NR };

struct vcpu_cpuid {
	struct kvm_cpuid_entry2 *entries;
	u32 nent;
	u8 maxphyaddr;
	u64 xcr0_mask;
	u32 pv_base;		/* 0x40000000 + n, 0 when the guest has no such leaf */
	bool emulates;		/* see cpuid_emulates() */
	/* By the kernel's number of a word: the register in entries[], or no_features. */
	const u32 *feature[NCAPINTS];
	bool told;		/* user space has set the table */
};

static const u32 no_features;

/* Feature words of the kernel that mirror a CPUID register. */
static const struct feature_word {
	u8 word;
	u8 reg;
	u32 function, index;
} feature_words[] = {
	{ CPUID_1_EDX, R_EDX, 1, 0 },
	{ CPUID_1_ECX, R_ECX, 1, 0 },
	{ CPUID_8000_0001_EDX, R_EDX, 0x80000001, 0 },
	{ CPUID_8000_0001_ECX, R_ECX, 0x80000001, 0 },
	{ CPUID_7_0_EBX, R_EBX, 7, 0 },
	{ CPUID_7_ECX, R_ECX, 7, 0 },
	{ CPUID_7_EDX, R_EDX, 7, 0 },
	{ CPUID_7_1_EAX, R_EAX, 7, 1 },
	{ CPUID_D_1_EAX, R_EAX, 0xd, 1 },
	{ CPUID_8000_0008_EBX, R_EBX, 0x80000008, 0 },
	{ CPUID_8000_000A_EDX, R_EDX, 0x8000000a, 0 },
};

#define F(name)	X86_FEATURE_##name

/* Offered when the host has them. */
static const u16 offered[] = {
	F(FPU), F(VME), F(DE), F(PSE), F(TSC), F(MSR), F(PAE), F(MCE), F(CX8),
	F(APIC), F(SEP), F(MTRR), F(PGE), F(MCA), F(CMOV), F(PAT), F(PSE36),
	F(CLFLUSH), F(MMX), F(FXSR), F(XMM), F(XMM2), F(SELFSNOOP),
	F(XMM3), F(PCLMULQDQ), F(SSSE3), F(FMA), F(CX16), F(PCID), F(XMM4_1),
	F(XMM4_2), F(MOVBE), F(POPCNT), F(AES), F(XSAVE), F(AVX), F(F16C), F(RDRAND),
	F(SYSCALL), F(NX), F(MMXEXT), F(FXSR_OPT), F(GBPAGES), F(RDTSCP), F(LM),
	F(3DNOWEXT), F(3DNOW),
	F(LAHF_LM), F(CMP_LEGACY), F(CR8_LEGACY), F(ABM), F(SSE4A), F(MISALIGNSSE),
	F(3DNOWPREFETCH), F(XOP), F(FMA4), F(TBM), F(TOPOEXT),
	F(FSGSBASE), F(BMI1), F(HLE), F(AVX2), F(FDP_EXCPTN_ONLY), F(SMEP), F(BMI2),
	F(ERMS), F(INVPCID), F(RTM), F(ZERO_FCS_FDS), F(AVX512F), F(AVX512DQ),
	F(RDSEED), F(ADX), F(SMAP), F(AVX512IFMA), F(CLFLUSHOPT), F(CLWB), F(AVX512PF),
	F(AVX512ER), F(AVX512CD), F(SHA_NI), F(AVX512BW), F(AVX512VL),
	F(AVX512VBMI), F(UMIP), F(PKU), F(AVX512_VBMI2), F(GFNI), F(VAES),
	F(VPCLMULQDQ), F(AVX512_VNNI), F(AVX512_BITALG), F(AVX512_VPOPCNTDQ),
	F(LA57), F(RDPID), F(CLDEMOTE), F(MOVDIRI), F(MOVDIR64B),
	F(AVX512_4VNNIW), F(AVX512_4FMAPS), F(FSRM), F(AVX512_VP2INTERSECT),
	F(MD_CLEAR), F(SERIALIZE), F(AVX512_FP16), F(SPEC_CTRL),
	F(INTEL_STIBP), F(SPEC_CTRL_SSBD),
	F(AVX_VNNI), F(AVX512_BF16),
	F(XSAVEOPT), F(XSAVEC), F(XGETBV1), F(XSAVES),
	F(CLZERO), F(XSAVEERPTR), F(WBNOINVD), F(AMD_IBPB), F(AMD_IBRS), F(AMD_STIBP),
	F(AMD_SSBD), F(AMD_SSB_NO), F(BTC_NO),
};

/* Emulated in software: offered whatever the host has. */
static const u16 emulated[] = { F(X2APIC), F(TSC_ADJUST), F(ARCH_CAPABILITIES) };

static u32 host_features[ARRAY_SIZE(feature_words)] __ro_after_init;

static const struct feature_word *word_of(unsigned int feature, unsigned int *n)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(feature_words); i++) {
		if (feature_words[i].word == feature / 32) {
			*n = i;
			return &feature_words[i];
		}
	}
	return NULL;
}

static void host_cpuid(u32 function, u32 index, u32 regs[R_NR])
{
	cpuid_count(function, index, &regs[R_EAX], &regs[R_EBX], &regs[R_ECX], &regs[R_EDX]);
}

static bool host_has_leaf(u32 function)
{
	return cpuid_eax(function & 0xf0000000) >= function;
}

static void offer(unsigned int feature)
{
	unsigned int n = 0;

	if (!WARN_ON_ONCE(!word_of(feature, &n)))
		host_features[n] |= BIT(feature & 31);
}

static void withdraw(unsigned int feature)
{
	unsigned int n = 0;

	if (!WARN_ON_ONCE(!word_of(feature, &n)))
		host_features[n] &= ~BIT(feature & 31);
}

void __init cpuid_init(void)
{
	u32 regs[R_NR];
	int i;

	for (i = 0; i < ARRAY_SIZE(offered); i++)
		offer(offered[i]);
	for (i = 0; i < ARRAY_SIZE(feature_words); i++) {
		const struct feature_word *w = &feature_words[i];

		memset(regs, 0, sizeof(regs));
		if (host_has_leaf(w->function))
			host_cpuid(w->function, w->index, regs);
		/* The AMD mirror of leaf 1's bits is no word of the kernel's own. */
		host_features[i] &= regs[w->reg];
		if (w->word != CPUID_8000_0001_EDX && w->word != CPUID_7_EDX &&
		    w->word != CPUID_8000_0008_EBX)
			host_features[i] &= boot_cpu_data.x86_capability[w->word];
	}
	for (i = 0; i < ARRAY_SIZE(emulated); i++)
		offer(emulated[i]);
	if (!vendor_caps.xsaves)
		withdraw(F(XSAVES));
}

bool cpuid_offered(unsigned int feature)
{
	unsigned int n;

	return word_of(feature, &n) && (host_features[n] & BIT(feature & 31));
}

static u32 host_word(u32 function, u32 index, int reg)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(feature_words); i++)
		if (feature_words[i].function == function &&
		    feature_words[i].index == index && feature_words[i].reg == reg)
			return host_features[i];
	return 0;
}

/* Instructions that the emulator executes where the host has none. */
static const u16 by_emulation[] = { F(MOVBE), F(RDPID) };

/* -------- KVM_GET_SUPPORTED_CPUID -------- */

struct cpuid_list {
	struct kvm_cpuid_entry2 *entries;
	u32 nent, max;
};

static struct kvm_cpuid_entry2 *leaf_add(struct cpuid_list *list, u32 function,
					 u32 index, u32 flags)
{
	struct kvm_cpuid_entry2 *e;
	u32 regs[R_NR];

	if (list->nent == list->max)
		return NULL;
	e = &list->entries[list->nent++];
	host_cpuid(function, index, regs);
	*e = (struct kvm_cpuid_entry2){
		.function = function, .index = index, .flags = flags,
		.eax = regs[R_EAX], .ebx = regs[R_EBX], .ecx = regs[R_ECX], .edx = regs[R_EDX],
	};
	return e;
}

static void entry_clear(struct kvm_cpuid_entry2 *e)
{
	e->eax = 0;
	e->ebx = 0;
	e->ecx = 0;
	e->edx = 0;
}

#define INDEXED	KVM_CPUID_FLAG_SIGNIFCANT_INDEX

/* Each rule edits the host's leaf in place, and may add further indices. */
static int rule_max_basic(struct cpuid_list *list, struct kvm_cpuid_entry2 *e)
{
	e->eax = min(e->eax, 0x1fu);
	return 0;
}

static int rule_features(struct cpuid_list *list, struct kvm_cpuid_entry2 *e)
{
	e->ecx = host_word(1, 0, R_ECX);
	e->edx = host_word(1, 0, R_EDX);
	return 0;
}

static int rule_zero(struct cpuid_list *list, struct kvm_cpuid_entry2 *e)
{
	entry_clear(e);
	return 0;
}

static int rule_host(struct cpuid_list *list, struct kvm_cpuid_entry2 *e)
{
	return 0;
}

static int rule_cache(struct cpuid_list *list, struct kvm_cpuid_entry2 *e)
{
	u32 function = e->function, i;

	e->flags |= INDEXED;
	for (i = 1; e->eax & 0x1f; i++) {
		e = leaf_add(list, function, i, INDEXED);
		if (!e)
			return -E2BIG;
	}
	return 0;
}

static int rule_power(struct cpuid_list *list, struct kvm_cpuid_entry2 *e)
{
	entry_clear(e);
	e->eax = 0x4;		/* ARAT: the APIC timer never stops */
	return 0;
}

static int rule_ext_features(struct cpuid_list *list, struct kvm_cpuid_entry2 *e)
{
	bool more = e->eax >= 1;

	e->flags |= INDEXED;
	e->eax = more;
	e->ebx = host_word(7, 0, R_EBX);
	e->ecx = host_word(7, 0, R_ECX);
	e->edx = host_word(7, 0, R_EDX);
	if (!more)
		return 0;
	e = leaf_add(list, 7, 1, INDEXED);
	if (!e)
		return -E2BIG;
	entry_clear(e);
	e->eax = host_word(7, 1, R_EAX);
	return 0;
}

/* In leaf 0xd, 1: with one of them EBX is the compacted size. IA32_XSS is 0 always. */
#define COMPACTING	(BIT(F(XSAVEC) & 31) | BIT(F(XSAVES) & 31))

/* Bytes of an XSAVE area with the components of @mask; compacted if asked. */
static u32 xsave_size(u64 mask, bool compacted)
{
	u32 size = 512 + 64, len, offset, ecx, edx;
	int i;

	for (i = 2; i < 63; i++) {
		if (!(mask & BIT_ULL(i)))
			continue;
		cpuid_count(0xd, i, &len, &offset, &ecx, &edx);
		if (compacted)
			offset = ecx & 2 ? ALIGN(size, 64) : size;
		size = max(size, offset + len);
	}
	return size;
}

static int rule_xsave(struct cpuid_list *list, struct kvm_cpuid_entry2 *e)
{
	u64 mask = xstate_supported();
	int i;

	e->flags |= INDEXED;
	e->eax = lower_32_bits(mask);
	e->edx = upper_32_bits(mask);
	e->ebx = xsave_size(mask, false);
	e->ecx = e->ebx;
	if (!mask) {
		entry_clear(e);
		return 0;
	}
	e = leaf_add(list, 0xd, 1, INDEXED);
	if (!e)
		return -E2BIG;
	entry_clear(e);
	e->eax = host_word(0xd, 1, R_EAX);
	if (e->eax & COMPACTING)
		e->ebx = xsave_size(mask, true);
	for (i = 2; i < 63; i++) {
		if (!(mask & BIT_ULL(i)))
			continue;
		e = leaf_add(list, 0xd, i, INDEXED);
		if (!e)
			return -E2BIG;
		e->edx = 0;
	}
	return 0;
}

static int rule_topology(struct cpuid_list *list, struct kvm_cpuid_entry2 *e)
{
	/* User space alone knows the guest's topology. */
	e->flags |= INDEXED;
	entry_clear(e);
	return 0;
}

static int rule_max_extended(struct cpuid_list *list, struct kvm_cpuid_entry2 *e)
{
	e->eax = min(e->eax, boot_cpu_data.x86_vendor == X86_VENDOR_INTEL ?
			     0x80000008u : 0x80000021u);
	return 0;
}

static int rule_amd_features(struct cpuid_list *list, struct kvm_cpuid_entry2 *e)
{
	e->ebx &= ~GENMASK(27, 16);
	e->ecx = host_word(0x80000001, 0, R_ECX);
	/* AMD repeats most of leaf 1 EDX here; Intel has those bits clear. */
	e->edx &= host_word(0x80000001, 0, R_EDX) |
		  (host_word(1, 0, R_EDX) & 0x0183f3ff);
	return 0;
}

static int rule_apm(struct cpuid_list *list, struct kvm_cpuid_entry2 *e)
{
	u32 invariant_tsc = e->edx & BIT(8);

	entry_clear(e);
	if (boot_cpu_has(X86_FEATURE_CONSTANT_TSC))
		e->edx = invariant_tsc;
	return 0;
}

static int rule_address_sizes(struct cpuid_list *list, struct kvm_cpuid_entry2 *e)
{
	u8 phys = min_t(u8, e->eax & 0xff, vendor_caps.tdp.maxphyaddr ?: 48);

	/* The second stage has four levels: 48 bits are reached. */
	if (vendor_caps.tdp.levels < 5)
		phys = min_t(u8, phys, 48);
	e->eax = (e->eax & 0xff00) | phys;
	e->ebx = host_word(0x80000008, 0, R_EBX);
	e->ecx = 0;
	e->edx = 0;
	return 0;
}

static int rule_amd_ext2(struct cpuid_list *list, struct kvm_cpuid_entry2 *e)
{
	/* No nested data breakpoints, LFENCE serializes, null selectors clear the base. */
	e->eax &= BIT(0) | BIT(2) | BIT(6);
	e->ebx = 0;
	e->ecx = 0;
	e->edx = 0;
	return 0;
}

static int rule_pv_signature(struct cpuid_list *list, struct kvm_cpuid_entry2 *e)
{
	e->eax = KVM_CPUID_FEATURES;
	memcpy(&e->ebx, KVM_SIGNATURE, 4);
	memcpy(&e->ecx, KVM_SIGNATURE + 4, 4);
	memcpy(&e->edx, "M\0\0\0", 4);
	return 0;
}

static int rule_pv_features(struct cpuid_list *list, struct kvm_cpuid_entry2 *e)
{
	entry_clear(e);
	e->eax = VMM_PV_FEATURES;
	if (sched_info_on())
		e->eax |= BIT(KVM_FEATURE_STEAL_TIME);
	return 0;
}

static const struct leaf_rule {
	u32 function;
	int (*edit)(struct cpuid_list *list, struct kvm_cpuid_entry2 *e);
} leaf_rules[] = {
	{ 0x00, rule_max_basic },
	{ 0x01, rule_features },
	{ 0x02, rule_host },
	{ 0x03, rule_zero },
	{ 0x04, rule_cache },
	{ 0x05, rule_zero },
	{ 0x06, rule_power },
	{ 0x07, rule_ext_features },
	{ 0x09, rule_zero },
	{ 0x0a, rule_zero },
	{ 0x0b, rule_topology },
	{ 0x0d, rule_xsave },
	{ 0x12, rule_zero },
	{ 0x14, rule_zero },
	{ 0x1f, rule_topology },
	{ KVM_CPUID_SIGNATURE, rule_pv_signature },
	{ KVM_CPUID_FEATURES, rule_pv_features },
	{ 0x80000000, rule_max_extended },
	{ 0x80000001, rule_amd_features },
	{ 0x80000002, rule_host },
	{ 0x80000003, rule_host },
	{ 0x80000004, rule_host },
	{ 0x80000005, rule_host },
	{ 0x80000006, rule_host },
	{ 0x80000007, rule_apm },
	{ 0x80000008, rule_address_sizes },
	{ 0x80000019, rule_host },
	{ 0x8000001d, rule_cache },
	{ 0x8000001e, rule_zero },
	{ 0x80000021, rule_amd_ext2 },
};

static int list_fill(struct cpuid_list *list)
{
	struct kvm_cpuid_entry2 *e;
	int i, err;

	for (i = 0; i < ARRAY_SIZE(leaf_rules); i++) {
		u32 function = leaf_rules[i].function;

		if ((function >> 16) != 0x4000 && !host_has_leaf(function))
			continue;
		e = leaf_add(list, function, 0, 0);
		if (!e)
			return -E2BIG;
		err = leaf_rules[i].edit(list, e);
		if (err)
			return err;
	}
	return 0;
}

/* KVM_GET_EMULATED_CPUID: leaves 0, 1 and 7 with by_emulation[] alone. */
static int list_fill_emulated(struct cpuid_list *list)
{
	const struct kvm_cpuid_entry2 entries[] = {
		{ .function = 0, .eax = 7 },
		{ .function = 1, .ecx = BIT(F(MOVBE) & 31) },
		{ .function = 7, .flags = INDEXED,
		  .ecx = cpuid_offered(F(RDTSCP)) ? BIT(F(RDPID) & 31) : 0 },
	};

	if (list->max < ARRAY_SIZE(entries))
		return -E2BIG;
	memcpy(list->entries, entries, sizeof(entries));
	list->nent = ARRAY_SIZE(entries);
	return 0;
}

/* KVM wants the padding clean, and of this list only. */
static int check_padding(const struct kvm_cpuid2 __user *argp, u32 nent)
{
	u32 pad[3], i;

	for (i = 0; i < nent; i++)
		if (copy_from_user(pad, argp->entries[i].padding, sizeof(pad)) ||
		    pad[0] || pad[1] || pad[2])
			return -EINVAL;
	return 0;
}

int cpuid_get_supported(struct kvm_cpuid2 __user *argp, bool emulated_only)
{
	struct cpuid_list list = {};
	int err = 0;

	if (get_user(list.max, &argp->nent))
		return -EFAULT;
	if (!list.max)
		return -E2BIG;
	list.max = min_t(u32, list.max, VMM_MAX_CPUID_ENTRIES);
	if (emulated_only && check_padding(argp, list.max))
		return -EINVAL;
	list.entries = kvcalloc(list.max, sizeof(*list.entries), GFP_KERNEL_ACCOUNT);
	if (!list.entries)
		return -ENOMEM;
	err = emulated_only ? list_fill_emulated(&list) : list_fill(&list);
	if (!err && (copy_to_user(argp->entries, list.entries,
				  list.nent * sizeof(*list.entries)) ||
		     put_user(list.nent, &argp->nent)))
		err = -EFAULT;
	kvfree(list.entries);
	return err;
}

/* -------- a vCPU's own -------- */

struct kvm_cpuid_entry2 *guest_cpuid_leaf(struct vcpu *vcpu, u32 function, u32 index)
{
	struct vcpu_cpuid *c = vcpu->cpuid;
	u32 i;

	for (i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];

		if (e->function == function &&
		    (!(e->flags & INDEXED) || e->index == index))
			return e;
	}
	return NULL;
}

static u32 *entry_reg(struct kvm_cpuid_entry2 *e, int reg)
{
	return &e->eax + reg;
}

static void use_entries(struct vcpu *vcpu, struct kvm_cpuid_entry2 *entries, u32 nent)
{
	struct vcpu_cpuid *c = vcpu->cpuid;
	int i;

	c->entries = entries;
	c->nent = nent;
	for (i = 0; i < ARRAY_SIZE(feature_words); i++) {
		const struct feature_word *w = &feature_words[i];
		struct kvm_cpuid_entry2 *e = guest_cpuid_leaf(vcpu, w->function, w->index);

		c->feature[w->word] = e ? entry_reg(e, w->reg) : &no_features;
	}
}

int cpuid_create(struct vcpu *vcpu)
{
	vcpu->cpuid = kzalloc(sizeof(*vcpu->cpuid), GFP_KERNEL_ACCOUNT);
	if (!vcpu->cpuid)
		return -ENOMEM;
	vcpu->cpuid->maxphyaddr = 36;
	use_entries(vcpu, NULL, 0);
	return 0;
}

void cpuid_destroy(struct vcpu *vcpu)
{
	if (!vcpu->cpuid)
		return;
	kvfree(vcpu->cpuid->entries);
	kfree(vcpu->cpuid);
}

bool guest_cpuid_has(struct vcpu *vcpu, unsigned int feature)
{
	const u32 *word = vcpu->cpuid->feature[feature / 32];

	if (WARN_ON_ONCE(!word))
		return false;
	return *word & BIT(feature & 31);
}

/* EBX of leaf 0: "Auth" of AMD, "Hygo" of Hygon. */
bool guest_cpuid_is_amd(struct vcpu *vcpu)
{
	struct kvm_cpuid_entry2 *e = guest_cpuid_leaf(vcpu, 0, 0);

	return e && (e->ebx == 0x68747541 || e->ebx == 0x6f677948);
}

u8 vcpu_maxphyaddr(struct vcpu *vcpu)
{
	return vcpu->cpuid->maxphyaddr;
}

u64 guest_xcr0_mask(struct vcpu *vcpu)
{
	return vcpu->cpuid->xcr0_mask;
}

u32 cpuid_signature(struct vcpu *vcpu)
{
	struct kvm_cpuid_entry2 *e = guest_cpuid_leaf(vcpu, 1, 0);

	return e ? e->eax : 0x600;
}

/* The guest's KVM_CPUID_FEATURES, or NULL. */
static struct kvm_cpuid_entry2 *pv_leaf(struct vcpu *vcpu)
{
	u32 base = vcpu->cpuid->pv_base;

	return base ? guest_cpuid_leaf(vcpu, base + 1, 0) : NULL;
}

bool guest_pv_feature(struct vcpu *vcpu, unsigned int bit)
{
	struct kvm_cpuid_entry2 *e = pv_leaf(vcpu);

	return e && (e->eax & BIT(bit));
}

static void mirror(struct vcpu *vcpu, unsigned int feature, bool on)
{
	struct kvm_cpuid_entry2 *e;
	const struct feature_word *w;
	unsigned int n;
	u32 *reg;

	w = word_of(feature, &n);
	e = guest_cpuid_leaf(vcpu, w->function, w->index);
	if (!e)
		return;
	reg = entry_reg(e, w->reg);
	*reg = (*reg & ~BIT(feature & 31)) | (on ? BIT(feature & 31) : 0);
}

/* A HLT that does not exit is not ended by a kick. */
static void hide_unhalt(struct vcpu *vcpu)
{
	struct kvm_cpuid_entry2 *e = pv_leaf(vcpu);

	if (e && (vcpu->vm->disabled_exits & KVM_X86_DISABLE_EXITS_HLT))
		e->eax &= ~BIT(KVM_FEATURE_PV_UNHALT);
}

void cpuid_runtime_update(struct vcpu *vcpu)
{
	u64 cr4 = vcpu_cr4(vcpu);
	struct kvm_cpuid_entry2 *e;

	mirror(vcpu, F(OSXSAVE), (cr4 & X86_CR4_OSXSAVE) && guest_cpuid_has(vcpu, F(XSAVE)));
	mirror(vcpu, F(OSPKE), cr4 & X86_CR4_PKE);
	mirror(vcpu, F(APIC), vcpu->apic_base & MSR_IA32_APICBASE_ENABLE);
	if (!vm_quirk(vcpu->vm, KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT))
		mirror(vcpu, F(MWAIT), vcpu->msrs->misc_enable & MSR_IA32_MISC_ENABLE_MWAIT);
	hide_unhalt(vcpu);
	if (!xstate_supported())
		return;
	e = guest_cpuid_leaf(vcpu, 0xd, 0);
	if (e)
		e->ebx = xsave_size(vcpu_xcr0(vcpu), false);
	e = guest_cpuid_leaf(vcpu, 0xd, 1);
	if (e && (e->eax & COMPACTING))
		e->ebx = xsave_size(vcpu_xcr0(vcpu), true);
}

static u32 find_pv_base(struct vcpu *vcpu)
{
	struct kvm_cpuid_entry2 *e;
	u32 base;

	for (base = 0x40000000; base < 0x40010000; base += 0x100) {
		e = guest_cpuid_leaf(vcpu, base, 0);
		if (e && !memcmp(&e->ebx, "KVMKVMKVM\0\0\0", 12))
			return base;
	}
	return 0;
}

static bool emulation_wanted(struct vcpu *vcpu)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(by_emulation); i++)
		if (guest_cpuid_has(vcpu, by_emulation[i]) && !cpuid_offered(by_emulation[i]))
			return true;
	return false;
}

bool cpuid_emulates(const struct vcpu *vcpu)
{
	return vcpu->cpuid->emulates;
}

bool cpuid_faults(struct vcpu *vcpu)
{
	return (vcpu->msrs->misc_features & MSR_MISC_FEATURES_ENABLES_CPUID_FAULT) &&
	       vcpu_cpl(vcpu);
}

bool cpuid_told(const struct vcpu *vcpu)
{
	return vcpu->cpuid->told;
}

/* What is derived from the table; also tells the rooms that depend on it. */
static void cpuid_changed(struct vcpu *vcpu)
{
	struct vcpu_cpuid *c = vcpu->cpuid;
	struct kvm_cpuid_entry2 *e = guest_cpuid_leaf(vcpu, 0x80000008, 0);

	c->maxphyaddr = e ? e->eax & 0xff : 36;
	e = guest_cpuid_leaf(vcpu, 0xd, 0);
	c->xcr0_mask = e ? (e->eax | (u64)e->edx << 32) & xstate_supported() : 0;
	c->pv_base = find_pv_base(vcpu);
	c->emulates = emulation_wanted(vcpu);
	c->told = true;
	cpuid_runtime_update(vcpu);
	if (vcpu->lapic)
		lapic_cpuid_changed(vcpu, guest_cpuid_has(vcpu, F(X2APIC)),
				    guest_cpuid_has(vcpu, F(TSC_DEADLINE_TIMER)));
	vendor_call(update_intercepts, vcpu);
}

static int check_entries(const struct kvm_cpuid_entry2 *entries, u32 nent)
{
	u32 i, va_bits;

	for (i = 0; i < nent; i++) {
		if (entries[i].function != 0x80000008)
			continue;
		va_bits = (entries[i].eax >> 8) & 0xff;
		if (va_bits != 48 && va_bits != 57 && va_bits)
			return -EINVAL;
	}
	return 0;
}

/* Takes @entries over, also when it fails. */
static int cpuid_install(struct vcpu *vcpu, struct kvm_cpuid_entry2 *entries, u32 nent)
{
	struct vcpu_cpuid *c = vcpu->cpuid;
	int err = check_entries(entries, nent);

	if (!err && vcpu->cpu != -1) {
		/* Once it ran, a vCPU may only be told the same again. */
		struct kvm_cpuid_entry2 *old = c->entries;
		u32 old_nent = c->nent;

		use_entries(vcpu, entries, nent);
		cpuid_runtime_update(vcpu);
		use_entries(vcpu, old, old_nent);
		if (nent != old_nent || memcmp(old, entries, nent * sizeof(*old)))
			err = -EINVAL;
		kvfree(entries);
		return err;
	}
	if (err) {
		kvfree(entries);
		return err;
	}
	kvfree(c->entries);
	use_entries(vcpu, entries, nent);
	cpuid_changed(vcpu);
	return 0;
}

int cpuid_set(struct vcpu *vcpu, struct kvm_cpuid2 __user *argp)
{
	struct kvm_cpuid_entry2 *entries = NULL;
	u32 nent;

	if (get_user(nent, &argp->nent))
		return -EFAULT;
	if (nent > VMM_MAX_CPUID_ENTRIES)
		return -E2BIG;
	if (nent) {
		entries = vmm_dup_user(argp->entries, nent, sizeof(*entries));
		if (IS_ERR(entries))
			return PTR_ERR(entries);
	}
	return cpuid_install(vcpu, entries, nent);
}

/* KVM_SET_CPUID: entries without an index. */
int cpuid_set_old(struct vcpu *vcpu, struct kvm_cpuid __user *argp)
{
	struct kvm_cpuid_entry2 *entries;
	struct kvm_cpuid_entry *old;
	u32 nent, i;

	if (get_user(nent, &argp->nent))
		return -EFAULT;
	if (nent > VMM_MAX_CPUID_ENTRIES)
		return -E2BIG;
	old = vmemdup_user(argp->entries, array_size(sizeof(*old), nent));
	if (IS_ERR(old))
		return PTR_ERR(old);
	entries = kvcalloc(nent, sizeof(*entries), GFP_KERNEL_ACCOUNT);
	if (!entries) {
		kvfree(old);
		return -ENOMEM;
	}
	for (i = 0; i < nent; i++)
		entries[i] = (struct kvm_cpuid_entry2){
			.function = old[i].function, .eax = old[i].eax,
			.ebx = old[i].ebx, .ecx = old[i].ecx, .edx = old[i].edx,
		};
	kvfree(old);
	return cpuid_install(vcpu, entries, nent);
}

int cpuid_get(struct vcpu *vcpu, struct kvm_cpuid2 __user *argp)
{
	struct vcpu_cpuid *c = vcpu->cpuid;
	u32 nent;

	if (get_user(nent, &argp->nent))
		return -EFAULT;
	if (nent < c->nent)
		return -E2BIG;
	if (c->nent && copy_to_user(argp->entries, c->entries, c->nent * sizeof(*c->entries)))
		return -EFAULT;
	return put_user(c->nent, &argp->nent) ? -EFAULT : 0;
}

/*
 * A leaf above the maximum: Intel gives the highest basic leaf (SDM, CPUID),
 * AMD gives zeroes.
 */
static struct kvm_cpuid_entry2 *out_of_range_leaf(struct vcpu *vcpu, u32 function, u32 index)
{
	struct kvm_cpuid_entry2 *e = guest_cpuid_leaf(vcpu, 0, 0);
	struct kvm_cpuid_entry2 *class;
	bool hypervisor = function >= 0x40000000 && function < 0x50000000;
	static const char amd[] = "AuthcAMDenti", hygon[] = "HygouinenGen";

	if (!e || !memcmp(&e->ebx, amd, 12) || !memcmp(&e->ebx, hygon, 12))
		return NULL;
	class = guest_cpuid_leaf(vcpu, function & (hypervisor ? 0xffffff00 : 0x80000000), 0);
	if (class && function <= class->eax)
		return NULL;
	return guest_cpuid_leaf(vcpu, e->eax, index);
}

void cpuid_execute(struct vcpu *vcpu, u32 regs[4])
{
	u32 function = regs[R_EAX], index = regs[R_ECX];
	struct kvm_cpuid_entry2 *e = guest_cpuid_leaf(vcpu, function, index);
	bool exact = e;

	if (!e)
		e = out_of_range_leaf(vcpu, function, index);
	memset(regs, 0, R_NR * sizeof(*regs));
	if (e) {
		regs[R_EAX] = e->eax;
		regs[R_EBX] = e->ebx;
		regs[R_ECX] = e->ecx;
		regs[R_EDX] = e->edx;
		return;
	}
	/* Topology leaves give the index and the x2APIC id whatever the sub-leaf. */
	if (!exact && (function == 0xb || function == 0x1f)) {
		e = guest_cpuid_leaf(vcpu, function, 1);
		if (e) {
			regs[R_ECX] = index & 0xff;
			regs[R_EDX] = e->edx;
		}
	}
}
