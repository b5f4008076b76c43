/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The instructions of VMX, with fix-ups: each may fault when a crash or the
 * reboot notifier has switched VMX off, and then reads as 0 or does nothing.
 *
 * A field's width is in bits 14:13 of its encoding (SDM 25.11.2); accessors
 * are named for it and refuse at compile time a constant of another width.
 */
#ifndef VMM_VMX_VMCS_H
#define VMM_VMX_VMCS_H

#include <linux/build_bug.h>
#include <linux/types.h>
#include <asm/asm.h>
#include <asm/trapnr.h>
#include <asm/vmx.h>

#define VMX_CTL2_XSAVES	VMCS_CONTROL_BIT(XSAVES)	/* a name of its own in 6.1 */

struct vmcs_region {
	u32 revision;
	u32 abort;
	u8 data[];
} __packed __aligned(PAGE_SIZE);

/* SDM 25.11.2, table 25-21. */
enum { VMCS_WIDTH_16, VMCS_WIDTH_64, VMCS_WIDTH_32, VMCS_WIDTH_NATURAL };

#define vmcs_width_is(field, width)					\
	(!__builtin_constant_p(field) || (((field) >> 13) & 3) == (width))

/* run.c: a VMX instruction failed though VMX is on; WARNs once. */
void vmx_insn_failed(const char *insn, unsigned long arg);

/*
 * Condition "na" covers both VMfailInvalid (CF) and VMfailValid (ZF). #UD, when a reboot
 * has switched VMX off, is no news: the entry will say so.
 */
static __always_inline u64 vmcs_read_raw(unsigned long field)
{
	unsigned long val;

	asm volatile goto("1:\tvmread %[field], %[val]\n"
			  "\tjna %l[failed]\n"
			  _ASM_EXTABLE(1b, %l[off])
			  : [val] "=r" (val) : [field] "r" (field) : "cc" : failed, off);
	return val;
failed:
	vmx_insn_failed("VMREAD", field);
off:
	return 0;
}

static __always_inline void vmcs_write_raw(unsigned long field, unsigned long val)
{
	asm volatile goto("1:\tvmwrite %[val], %[field]\n"
			  "\tjna %l[failed]\n"
			  _ASM_EXTABLE(1b, %l[off])
			  : : [field] "r" (field), [val] "rm" (val) : "cc" : failed, off);
	return;
failed:
	vmx_insn_failed("VMWRITE", field);
off:
	return;
}

#define VMCS_ACCESSORS(suffix, type, width)				\
static __always_inline type vmcs_read##suffix(unsigned long field)	\
{									\
	BUILD_BUG_ON(!vmcs_width_is(field, width));			\
	return vmcs_read_raw(field);					\
}									\
									\
static __always_inline void vmcs_write##suffix(unsigned long field, type val) \
{									\
	BUILD_BUG_ON(!vmcs_width_is(field, width));			\
	vmcs_write_raw(field, val);					\
}

VMCS_ACCESSORS(16, u16, VMCS_WIDTH_16)
VMCS_ACCESSORS(32, u32, VMCS_WIDTH_32)
VMCS_ACCESSORS(64, u64, VMCS_WIDTH_64)
VMCS_ACCESSORS(l, unsigned long, VMCS_WIDTH_NATURAL)

/*
 * One memory operand, result in the flags: 0, or 1 when the instruction
 * failed, or the preset 2 when it faulted.
 */
#define VMX_INSN_M64(insn, pa)						\
({									\
	u64 operand__ = (pa);						\
	u8 result__ = 2;						\
									\
	asm volatile("1:\t" insn " %[pa]\n"				\
		     "\tsetna %[result]\n"				\
		     "2:\n"						\
		     _ASM_EXTABLE(1b, 2b)				\
		     : [result] "+q" (result__)				\
		     : [pa] "m" (operand__) : "cc", "memory");		\
	result__;							\
})

static inline int vmx_vmxon(u64 pa)
{
	return VMX_INSN_M64("vmxon", pa);
}

static inline void vmx_vmclear(u64 pa)
{
	if (VMX_INSN_M64("vmclear", pa) == 1)
		vmx_insn_failed("VMCLEAR", pa);
}

static inline void vmx_vmptrld(u64 pa)
{
	if (VMX_INSN_M64("vmptrld", pa) == 1)
		vmx_insn_failed("VMPTRLD", pa);
}

static inline void vmx_vmxoff(void)
{
	asm volatile("1:\tvmxoff\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     ::: "cc", "memory");
}

/* INVEPT and INVVPID: a 128-bit descriptor and a type. SDM 31.3. */
#define VMX_INVALIDATE(insn, type, lo, hi)				\
({									\
	struct { u64 a, b; } desc__ = { (lo), (hi) };			\
	u8 result__ = 0;						\
									\
	asm volatile("1:\t" insn " %[desc], %[kind]\n"			\
		     "\tsetna %[result]\n"				\
		     "2:\n"						\
		     _ASM_EXTABLE(1b, 2b)				\
		     : [result] "+q" (result__)				\
		     : [desc] "m" (desc__), [kind] "r" ((u64)(type))	\
		     : "cc", "memory");					\
	if (unlikely(result__))						\
		vmx_insn_failed(insn, type);				\
})

static inline void vmx_invept(unsigned long type, u64 eptp)
{
	VMX_INVALIDATE("invept", type, eptp, 0);
}

static inline void vmx_invvpid(unsigned long type, u16 vpid, u64 gva)
{
	VMX_INVALIDATE("invvpid", type, vpid, gva);
}

#endif /* VMM_VMX_VMCS_H */
