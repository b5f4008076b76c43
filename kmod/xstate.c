// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest FPU/AVX state in an XSAVE image of our own (design: one path for all
 * kernels). kernel_fpu_begin_mask(0) puts the thread's user state away, after
 * which the registers are ours until kernel_fpu_end().
 */
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/fpu/api.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xcr.h>
#include <asm/fpu/xstate.h>

#include "cpuid.h"
#include "regs_access.h"
#include "xstate.h"

#define XSTATE_KNOWN \
	(XFEATURE_MASK_FP | XFEATURE_MASK_SSE | XFEATURE_MASK_YMM | \
	 XFEATURE_MASK_OPMASK | XFEATURE_MASK_ZMM_Hi256 | \
	 XFEATURE_MASK_Hi16_ZMM | XFEATURE_MASK_PKRU)
#define FCW_INIT	0x37f
#define MXCSR_INIT	0x1f80

struct vcpu_xstate {
	struct xregs_state *image;	/* 64-byte aligned */
	void *alloc;
	u64 xcr0;			/* the guest's */
	u32 host_pkru;			/* during a stay */
	bool xcr0_loaded;		/* during a stay: the register is not the host's */
};

static u64 supported __ro_after_init;
static u64 host_xcr0 __ro_after_init;
static u64 host_xss __ro_after_init;
static unsigned int image_size __ro_after_init;
static u32 mxcsr_mask __ro_after_init;
static u16 offset_ymm __ro_after_init, offset_pkru __ro_after_init;
static u16 offset_zmm __ro_after_init, offset_hi16 __ro_after_init;

static u16 component(int nr, unsigned int *end)
{
	u32 size, offset, ecx, edx;

	if (!(supported & BIT_ULL(nr)))
		return 0;
	cpuid_count(0xd, nr, &size, &offset, &ecx, &edx);
	*end = max(*end, offset + size);
	return offset;
}

static void read_mxcsr_mask(void)
{
	static struct fxregs_state fx __aligned(16);

	kernel_fpu_begin();
	asm volatile("fxsave64 %0" : "=m" (fx));
	kernel_fpu_end();
	/* A zero mask means the default one (SDM 11.6.6). */
	mxcsr_mask = fx.mxcsr_mask ?: 0xffbf;
}

int __init xstate_init(void)
{
	image_size = sizeof(struct fxregs_state) + sizeof(struct xstate_header);
	read_mxcsr_mask();
	if (!boot_cpu_has(X86_FEATURE_OSXSAVE))
		return 0;
	host_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	supported = host_xcr0 & XSTATE_KNOWN;
	if (boot_cpu_has(X86_FEATURE_XSAVES))
		vmm_rdmsr(MSR_IA32_XSS, host_xss);
	offset_ymm = component(XFEATURE_YMM, &image_size);
	component(XFEATURE_OPMASK, &image_size);
	offset_zmm = component(XFEATURE_ZMM_Hi256, &image_size);
	offset_hi16 = component(XFEATURE_Hi16_ZMM, &image_size);
	offset_pkru = component(XFEATURE_PKRU, &image_size);
	return 0;
}

u64 xstate_supported(void)
{
	return supported;
}

unsigned int xstate_uabi_size(void)
{
	return max_t(unsigned int, image_size, sizeof(struct kvm_xsave));
}

int xstate_create(struct vcpu *vcpu)
{
	struct vcpu_xstate *xs = kzalloc(sizeof(*xs), GFP_KERNEL_ACCOUNT);

	if (!xs)
		return -ENOMEM;
	vcpu->xstate = xs;
	xs->alloc = kzalloc(image_size + 64, GFP_KERNEL_ACCOUNT);
	if (!xs->alloc)
		return -ENOMEM;
	xs->image = PTR_ALIGN(xs->alloc, 64);
	return 0;
}

void xstate_destroy(struct vcpu *vcpu)
{
	if (!vcpu->xstate)
		return;
	kfree(vcpu->xstate->alloc);
	kfree(vcpu->xstate);
}

void xstate_reset(struct vcpu *vcpu)
{
	struct vcpu_xstate *xs = vcpu->xstate;

	memset(xs->image, 0, image_size);
	xs->image->i387.cwd = FCW_INIT;
	xs->image->i387.mxcsr = MXCSR_INIT;
	xs->image->header.xfeatures = supported & XFEATURE_MASK_FPSSE;
	xs->xcr0 = XFEATURE_MASK_FP;
}

/* The standard form needs no XSAVEC/XSAVES, which emulators lack. */
static void image_restore(struct xregs_state *image)
{
	/*
	 * Some of AMD's leave the last instruction's addresses in place when no exception is
	 * pending; an instruction on memory of ours puts its own there.
	 */
	if (static_cpu_has_bug(X86_BUG_FXSAVE_LEAK))
		asm volatile("fnclex; emms; fildl %0" : : "m" (*(u32 *)image));
	if (supported)
		asm volatile("xrstor64 %0" : : "m" (*image), "a" (lower_32_bits(supported)),
			     "d" (upper_32_bits(supported)) : "memory");
	else
		asm volatile("fxrstor64 %0" : : "m" (image->i387));
}

static void image_save(struct xregs_state *image)
{
	if (supported)
		asm volatile("xsave64 %0" : "+m" (*image) : "a" (lower_32_bits(supported)),
			     "d" (upper_32_bits(supported)) : "memory");
	else
		asm volatile("fxsave64 %0" : "=m" (image->i387));
}

void xstate_load(struct vcpu *vcpu)
{
	struct vcpu_xstate *xs = vcpu->xstate;

	vcpu->stats.fpu_reload++;
	kernel_fpu_begin_mask(0);
	if (boot_cpu_has(X86_FEATURE_OSPKE))
		xs->host_pkru = rdpkru();
	image_restore(xs->image);
	/* XSAVES cannot be taken from every guest; it finds no host state to save. */
	if (host_xss)
		vmm_wrmsr(MSR_IA32_XSS, 0);
	/* The guest's XSETBV ends the stay. */
	xs->xcr0_loaded = supported && (vcpu->regs.cr4 & X86_CR4_OSXSAVE) && xs->xcr0 != host_xcr0;
	if (xs->xcr0_loaded)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, xs->xcr0);
}

void xstate_save(struct vcpu *vcpu)
{
	struct vcpu_xstate *xs = vcpu->xstate;

	if (xs->xcr0_loaded)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, host_xcr0);
	if (host_xss)
		vmm_wrmsr(MSR_IA32_XSS, host_xss);
	image_save(xs->image);
	if (boot_cpu_has(X86_FEATURE_OSPKE))
		wrpkru(xs->host_pkru);
	kernel_fpu_end();
}

u64 vcpu_xcr0(const struct vcpu *vcpu)
{
	return vcpu->xstate->xcr0;
}

u32 vcpu_pkru(const struct vcpu *vcpu)
{
	struct xregs_state *image = vcpu->xstate->image;

	if (!offset_pkru || !(image->header.xfeatures & XFEATURE_MASK_PKRU))
		return 0;
	return *(u32 *)((void *)image + offset_pkru);
}

static bool xcr0_valid(struct vcpu *vcpu, u64 xcr0)
{
	u64 avx512 = XFEATURE_MASK_AVX512;

	/* x87 is there even for a guest without leaf 0xd. */
	if (!(xcr0 & XFEATURE_MASK_FP) ||
	    (xcr0 & ~(guest_xcr0_mask(vcpu) | XFEATURE_MASK_FP)))
		return false;
	if ((xcr0 & XFEATURE_MASK_YMM) && !(xcr0 & XFEATURE_MASK_SSE))
		return false;
	if (!(xcr0 & avx512))
		return true;
	return (xcr0 & avx512) == avx512 && (xcr0 & XFEATURE_MASK_YMM);
}

/* XSETBV of register 0: 1 = #GP(0). */
int vcpu_set_xcr0(struct vcpu *vcpu, u64 xcr0)
{
	if (!supported || !xcr0_valid(vcpu, xcr0))
		return 1;
	if (vcpu->xstate->xcr0 != xcr0) {
		vcpu->xstate->xcr0 = xcr0;
		cpuid_runtime_update(vcpu);
	}
	return 0;
}

int xstate_get_xcrs(struct vcpu *vcpu, struct kvm_xcrs *xcrs)
{
	if (!supported)
		return -EINVAL;
	xcrs->nr_xcrs = 1;
	xcrs->xcrs[0].xcr = XCR_XFEATURE_ENABLED_MASK;
	xcrs->xcrs[0].value = vcpu->xstate->xcr0;
	return 0;
}

int xstate_set_xcrs(struct vcpu *vcpu, const struct kvm_xcrs *xcrs)
{
	u32 i;

	if (!supported || xcrs->nr_xcrs > KVM_MAX_XCRS || xcrs->flags)
		return -EINVAL;
	for (i = 0; i < xcrs->nr_xcrs; i++)
		if (xcrs->xcrs[i].xcr == XCR_XFEATURE_ENABLED_MASK)
			return vcpu_set_xcr0(vcpu, xcrs->xcrs[i].value) ? -EINVAL : 0;
	return 0;
}

void xstate_get_fpu(struct vcpu *vcpu, struct kvm_fpu *fpu)
{
	struct fxregs_state *fx = &vcpu->xstate->image->i387;

	memcpy(fpu->fpr, fx->st_space, sizeof(fpu->fpr));
	fpu->fcw = fx->cwd;
	fpu->fsw = fx->swd;
	fpu->ftwx = fx->twd;
	fpu->last_opcode = fx->fop;
	fpu->last_ip = fx->rip;
	fpu->last_dp = fx->rdp;
	memcpy(fpu->xmm, fx->xmm_space, sizeof(fpu->xmm));
	fpu->mxcsr = fx->mxcsr;
}

int xstate_set_fpu(struct vcpu *vcpu, const struct kvm_fpu *fpu)
{
	struct fxregs_state *fx = &vcpu->xstate->image->i387;

	memcpy(fx->st_space, fpu->fpr, sizeof(fpu->fpr));
	fx->cwd = fpu->fcw;
	fx->swd = fpu->fsw;
	fx->twd = fpu->ftwx;
	fx->fop = fpu->last_opcode;
	fx->rip = fpu->last_ip;
	fx->rdp = fpu->last_dp;
	memcpy(fx->xmm_space, fpu->xmm, sizeof(fpu->xmm));
	/* KVM_SET_FPU never wrote MXCSR's reserved bits; XRSTOR would fault. */
	fx->mxcsr = fpu->mxcsr & mxcsr_mask;
	vcpu->xstate->image->header.xfeatures |= supported & XFEATURE_MASK_FPSSE;
	return 0;
}

/*
 * Components in their initial state have their header bit clear and may hold
 * old bytes; user space gets what the bit means.
 */
static void image_to_user(const struct xregs_state *image, void *out, unsigned int size)
{
	memset(out, 0, size);
	memcpy(out, image, min(size, image_size));
	memset(out + offsetof(struct fxregs_state, sw_reserved), 0,
	       sizeof_field(struct fxregs_state, sw_reserved));
	((struct fxregs_state *)out)->mxcsr_mask = mxcsr_mask;
	if (!supported)
		((struct xregs_state *)out)->header.xfeatures = XFEATURE_MASK_FPSSE;
}

void xstate_get(struct vcpu *vcpu, struct kvm_xsave *xsave)
{
	image_to_user(vcpu->xstate->image, xsave->region, sizeof(xsave->region));
}

int xstate_get2(struct vcpu *vcpu, void __user *argp)
{
	unsigned int size = xstate_uabi_size();
	void *buf = kzalloc(size, GFP_KERNEL_ACCOUNT);
	int err = 0;

	if (!buf)
		return -ENOMEM;
	image_to_user(vcpu->xstate->image, buf, size);
	if (copy_to_user(argp, buf, size))
		err = -EFAULT;
	kfree(buf);
	return err;
}

static bool header_valid(const struct xstate_header *h)
{
	u64 usable = supported ?: XFEATURE_MASK_FPSSE;

	return !(h->xfeatures & ~usable) && !h->xcomp_bv &&
	       !memchr_inv(h->reserved, 0, sizeof(h->reserved));
}

int xstate_set(struct vcpu *vcpu, const struct kvm_xsave *xsave)
{
	const struct xregs_state *in = (const void *)xsave->region;
	struct xregs_state *image = vcpu->xstate->image;

	if (!header_valid(&in->header))
		return -EINVAL;
	if ((in->header.xfeatures & (XFEATURE_MASK_SSE | XFEATURE_MASK_YMM)) &&
	    (in->i387.mxcsr & ~mxcsr_mask))
		return -EINVAL;
	memcpy(image, in, min_t(unsigned int, image_size, sizeof(xsave->region)));
	image->i387.mxcsr &= mxcsr_mask;
	if (!(in->header.xfeatures & (XFEATURE_MASK_SSE | XFEATURE_MASK_YMM)))
		image->i387.mxcsr = MXCSR_INIT;
	image->header.xfeatures &= supported;
	return 0;
}

/* Bytes 16-31 (YMM) and 32-63 (ZMM) of register @reg, and their feature. */
struct vec_part {
	u16 offset, len;
	u8 feature, at;
};

static unsigned int vec_parts(unsigned int reg, struct vec_part part[3])
{
	unsigned int n = 0;

	if (reg >= 16) {
		part[n++] = (struct vec_part){ offset_hi16 + (reg - 16) * 64, 64,
					       XFEATURE_Hi16_ZMM, 0 };
		return offset_hi16 ? n : 0;
	}
	part[n++] = (struct vec_part){
		offsetof(struct fxregs_state, xmm_space) + reg * 16, 16, XFEATURE_SSE, 0 };
	if (offset_ymm)
		part[n++] = (struct vec_part){ offset_ymm + reg * 16, 16, XFEATURE_YMM, 16 };
	if (offset_zmm)
		part[n++] = (struct vec_part){ offset_zmm + reg * 32, 32,
					       XFEATURE_ZMM_Hi256, 32 };
	return n;
}

static void *mmx_reg(struct vcpu *vcpu, unsigned int reg)
{
	return (u8 *)vcpu->xstate->image->i387.st_space + (reg & 7) * 16;
}

#define VEC_MMX	32
#define VEC_MAX	64

int xstate_vec_read(struct vcpu *vcpu, unsigned int reg, void *buf, unsigned int len)
{
	void *image = vcpu->xstate->image;
	u64 in_use = vcpu->xstate->image->header.xfeatures;
	u8 whole[VEC_MAX] = {};
	struct vec_part part[3];
	unsigned int i, n;

	if (reg >= VEC_MMX) {
		memcpy(buf, mmx_reg(vcpu, reg), min(len, 8u));
		return 0;
	}
	n = vec_parts(reg, part);
	for (i = 0; i < n; i++)
		if (!supported || (in_use & BIT_ULL(part[i].feature)))
			memcpy(whole + part[i].at, image + part[i].offset, part[i].len);
	memcpy(buf, whole, len);
	return 0;
}

/* A component leaves its initial state: its old bytes must not come back. */
static void component_touch(struct vcpu *vcpu, unsigned int feature)
{
	struct xregs_state *image = vcpu->xstate->image;
	u32 size, offset, ecx, edx;

	if (!supported || (image->header.xfeatures & BIT_ULL(feature)))
		return;
	if (feature == XFEATURE_SSE) {
		memset(image->i387.xmm_space, 0, sizeof(image->i387.xmm_space));
	} else {
		cpuid_count(0xd, feature, &size, &offset, &ecx, &edx);
		memset((void *)image + offset, 0, size);
	}
	image->header.xfeatures |= BIT_ULL(feature);
}

int xstate_vec_write(struct vcpu *vcpu, unsigned int reg, const void *buf, unsigned int len)
{
	void *image = vcpu->xstate->image;
	struct vec_part part[3];
	unsigned int i, n;

	if (reg >= VEC_MMX) {
		memcpy(mmx_reg(vcpu, reg), buf, 8);
		/* The exponent of a register written as MMX is all ones. */
		memset(mmx_reg(vcpu, reg) + 8, 0xff, 2);
		vcpu->xstate->image->header.xfeatures |= supported & XFEATURE_MASK_FP;
		return 0;
	}
	n = vec_parts(reg, part);
	for (i = 0; i < n && part[i].at < len; i++) {
		component_touch(vcpu, part[i].feature);
		memcpy(image + part[i].offset, buf + part[i].at,
		       min_t(unsigned int, part[i].len, len - part[i].at));
	}
	return 0;
}
