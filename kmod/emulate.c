// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations table of the instruction emulator over a vCPU, and the exits to
 * user space that its accesses need.
 *
 * An access that user space must serve is described in kvm_run and remembered
 * in struct pending; the emulator is entered again when KVM_RUN is, asks for
 * the same access, and gets the answer (insn.h, "How an access that user
 * space must serve is resumed").
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <asm/traps.h>

#include "compat.h"
#include "cpuid.h"
#include "debug.h"
#include "emulate.h"
#include "fep.h"
#include "insn/insn.h"
#include "io.h"
#include "mmio.h"
#include "msr.h"
#include "pv/pv.h"
#include "regs_access.h"
#include "run.h"
#include "smm.h"
#include "sregs.h"
#include "trace.h"
#include "vendor.h"
#include "xstate.h"

/* REP iterations done without looking at the guest's events in between. */
#define MAX_REP_BATCH	64

/* By a quirk of KVM, user space finds RIP behind an OUT to this port, not at it. */
#define PORT_7E		0x7e

struct emulation {
	struct insn_ctx ctx;
	void *bulk;		/* one page for INS/OUTS batches, on first use */
	bool answered;		/* user space has served the pending access */
	u64 rip;		/* linear, of the instruction that waits */
	bool halt;		/* the instruction was HLT */
	bool forced;		/* behind the prefix of fep.c */
	struct {
		u8 size;
		bool in;
	} pio;			/* single IN or OUT that waits */
};

int emulation_create(struct vcpu *vcpu)
{
	vcpu->emu = kzalloc(sizeof(*vcpu->emu), GFP_KERNEL_ACCOUNT);
	return vcpu->emu ? 0 : -ENOMEM;
}

void emulation_destroy(struct vcpu *vcpu)
{
	if (!vcpu->emu)
		return;
	free_page((unsigned long)vcpu->emu->bulk);
	kfree(vcpu->emu);
}

/* -------- memory -------- */

static u32 walk_flags(struct vcpu *vcpu, unsigned int flags)
{
	u32 walk = 0;

	if (flags & INSN_ACC_WRITE)
		walk |= WALK_WRITE;
	if (flags & INSN_ACC_FETCH)
		walk |= WALK_FETCH;
	if (flags & INSN_ACC_IMPLICIT)
		walk |= WALK_IMPLICIT;
	else if (vcpu_cpl(vcpu) == 3)
		walk |= WALK_USER;
	return walk;
}

static int translate(struct vcpu *vcpu, u64 linear, unsigned int flags, gpa_t *gpa,
		     struct insn_fault *fault)
{
	struct walk_fault wf;
	int r = guest_walk(vcpu, linear, walk_flags(vcpu, flags), gpa, &wf);

	if (r < 0)
		return INSN_UNHANDLEABLE;
	if (r) {
		*fault = (struct insn_fault){
			.vector = 14, .has_error = true, .error_code = wf.error,
			.address = wf.addr,
		};
		return INSN_FAULT;
	}
	return INSN_OK;
}

bool vcpu_code_is(struct vcpu *vcpu, const u8 *bytes, unsigned int n)
{
	u64 linear = vcpu_linear_rip(vcpu);
	struct insn_fault fault;
	unsigned int i;
	gpa_t gpa;
	u8 byte;

	for (i = 0; i < n; i++) {
		u64 at = vcpu_64bit(vcpu) ? linear + i : (u32)(linear + i);

		if (translate(vcpu, at, INSN_ACC_FETCH, &gpa, &fault) ||
		    vcpu_gpa_read(vcpu, gpa, &byte, 1) || byte != bytes[i])
			return false;
	}
	return true;
}

static int mmio_access(struct vcpu *vcpu, gpa_t gpa, unsigned int len, void *in,
		       const void *out)
{
	struct emulation *emu = vcpu->emu;
	struct kvm_run *run = vcpu->run;

	/* The emulator cuts accesses to this; a longer one would run over kvm_run. */
	if (WARN_ON_ONCE(len > sizeof(run->mmio.data)))
		return INSN_UNHANDLEABLE;
	if (emu->answered) {
		emu->answered = false;
		if (in)
			memcpy(in, run->mmio.data, len);
		return INSN_OK;
	}
	trace_vmm_mmio(vcpu->id, out, gpa, len);
	if (mmio_in_kernel(vcpu, gpa, len, in, out))
		return INSN_OK;
	mmio_to_user(vcpu, gpa, len, out);
	return INSN_USER;
}

static bool is_ram(struct vcpu *vcpu, gpa_t gpa, bool write)
{
	hva_t hva;

	return !mm_gfn_to_hva(vcpu->vm, vcpu->tdp.as_id, gpa >> PAGE_SHIFT, write, &hva);
}

/*
 * RAM, to be accessed as such. What user space answered for this access, when
 * there was none yet, is not the answer to the next one.
 */
static bool take_ram(struct vcpu *vcpu, gpa_t gpa, bool write)
{
	if (!is_ram(vcpu, gpa, write))
		return false;
	vcpu->emu->answered = false;
	return true;
}

static int op_read(void *v, u64 linear, void *buf, unsigned int len, unsigned int flags,
		   struct insn_fault *fault)
{
	struct vcpu *vcpu = v;
	gpa_t gpa;
	int r = translate(vcpu, linear, flags, &gpa, fault);

	if (r != INSN_OK)
		return r;
	if (flags & INSN_ACC_FETCH)
		return vcpu_gpa_read(vcpu, gpa, buf, len) ? INSN_UNHANDLEABLE : INSN_OK;
	if (take_ram(vcpu, gpa, false))
		return vcpu_gpa_read(vcpu, gpa, buf, len) ? INSN_UNHANDLEABLE : INSN_OK;
	/* A batch for RAM that is gone since it was planned is no single access. */
	if (flags & INSN_ACC_BULK)
		return INSN_UNHANDLEABLE;
	return mmio_access(vcpu, gpa, len, buf, NULL);
}

static int op_write(void *v, u64 linear, const void *buf, unsigned int len,
		    unsigned int flags, struct insn_fault *fault)
{
	struct vcpu *vcpu = v;
	gpa_t gpa;
	int r = translate(vcpu, linear, flags | INSN_ACC_WRITE, &gpa, fault);

	if (r != INSN_OK)
		return r;
	if (take_ram(vcpu, gpa, true))
		return vcpu_gpa_write(vcpu, gpa, buf, len) ? INSN_UNHANDLEABLE : INSN_OK;
	if (flags & INSN_ACC_BULK)
		return INSN_UNHANDLEABLE;
	return mmio_access(vcpu, gpa, len, NULL, buf);
}

static int op_cmpxchg(void *v, u64 linear, const void *old, const void *new,
		      unsigned int len, unsigned int flags, struct insn_fault *fault)
{
	struct vcpu *vcpu = v;
	u64 expect = 0, val = 0;
	gpa_t gpa;
	int r = translate(vcpu, linear, flags | INSN_ACC_WRITE, &gpa, fault);

	if (r != INSN_OK)
		return r;
	if (len > 8)
		return INSN_UNHANDLEABLE;
	if (!take_ram(vcpu, gpa, true))
		return mmio_access(vcpu, gpa, len, NULL, new);
	if (gpa & (len - 1))	/* a split lock: not atomic, as on the bus of old */
		return vcpu_gpa_write(vcpu, gpa, new, len) ? INSN_UNHANDLEABLE : INSN_OK;
	memcpy(&expect, old, len);
	memcpy(&val, new, len);
	r = vcpu_gpa_cmpxchg(vcpu, gpa, &expect, val, len);
	if (r < 0)
		return INSN_UNHANDLEABLE;
	return r ? INSN_RETRY : INSN_OK;
}

static int op_probe(void *v, u64 linear, unsigned int flags, bool *ram,
		    struct insn_fault *fault)
{
	struct vcpu *vcpu = v;
	gpa_t gpa;
	int r = translate(vcpu, linear, flags, &gpa, fault);

	if (r == INSN_OK)
		*ram = is_ram(vcpu, gpa, flags & INSN_ACC_WRITE);
	return r;
}

/* -------- ports -------- */

static void *pio_page(struct vcpu *vcpu)
{
	return page_address(vcpu->run_pages[KVM_PIO_PAGE_OFFSET]);
}

/*
 * How many of @count elements were served. Reads are served all or not at all;
 * writes may stop in between, when a coalescing zone's ring is full.
 */
static unsigned int pio_in_kernel(struct vcpu *vcpu, u16 port, unsigned int size,
				  unsigned int count, void *in, const void *out)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < count; i++) {
		if (in)
			err = io_bus_read(vcpu, IO_BUS_PIO, port, size, in + i * size);
		else
			err = io_bus_write(vcpu, IO_BUS_PIO, port, size, out + i * size);
		if (err)
			break;
	}
	if (!in || !i || i == count)
		return i;
	/* The device was just taken away: what is left reads as 0, as in KVM. */
	memset(in + i * size, 0, (count - i) * size);
	return count;
}

/* User space serves all but the first @done accesses. */
static int pio_exit(struct vcpu *vcpu, u16 port, unsigned int size, unsigned int count,
		    unsigned int done, const void *out)
{
	struct kvm_run *run = vcpu->run;

	vcpu->stats.io_exits++;
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = out ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
	run->io.size = size;
	run->io.port = port;
	run->io.count = count - done;
	run->io.data_offset = KVM_PIO_PAGE_OFFSET * PAGE_SIZE;
	if (out)
		memcpy(pio_page(vcpu), out + done * size, size * (count - done));
	return INSN_USER;
}

static int pio_access(struct vcpu *vcpu, u16 port, unsigned int size, unsigned int count,
		      void *in, const void *out)
{
	unsigned int done;

	if (vcpu->emu->answered) {
		vcpu->emu->answered = false;
		if (in)
			memcpy(in, pio_page(vcpu), size * count);
		return INSN_OK;
	}
	trace_vmm_pio(vcpu->id, out, port, size, count);
	done = pio_in_kernel(vcpu, port, size, count, in, out);
	return done == count ? INSN_OK : pio_exit(vcpu, port, size, count, done, out);
}

static int op_pio_in(void *v, u16 port, unsigned int size, unsigned int count, void *buf)
{
	return pio_access(v, port, size, count, buf, NULL);
}

static int op_pio_out(void *v, u16 port, unsigned int size, unsigned int count,
		      const void *buf)
{
	return pio_access(v, port, size, count, NULL, buf);
}

static void pio_set_rax(struct vcpu *vcpu, unsigned int size, u32 val)
{
	/* A 32-bit result clears the upper half, smaller ones leave the rest. */
	u64 kept = size < 4 ? ~0ull << (size * 8) : 0;

	vcpu_set_gpr(vcpu, GPR_RAX, (vcpu_gpr(vcpu, GPR_RAX) & kept) | val);
}

static int complete_pio(struct vcpu *vcpu)
{
	struct emulation *emu = vcpu->emu;
	u32 val = 0;

	/* User space moved the guest elsewhere: nothing is left to finish. */
	if (vcpu_linear_rip(vcpu) != emu->rip)
		return VMM_RESUME;
	if (emu->pio.in) {
		memcpy(&val, pio_page(vcpu), emu->pio.size);
		pio_set_rax(vcpu, emu->pio.size, val);
	}
	vcpu_skip_insn(vcpu);
	return VMM_RESUME;
}

int emulate_pio(struct vcpu *vcpu, u16 port, unsigned int size, bool in)
{
	struct emulation *emu = vcpu->emu;
	u32 val = vcpu_gpr(vcpu, GPR_RAX);
	int r;

	emu->answered = false;
	if (in)
		val = 0;
	if (vcpu->exit.io.unclaimed)
		r = pio_exit(vcpu, port, size, 1, 0, in ? NULL : &val);
	else
		r = pio_access(vcpu, port, size, 1, in ? &val : NULL, in ? NULL : &val);
	if (r == INSN_USER && !in && port == PORT_7E &&
	    vm_quirk(vcpu->vm, KVM_X86_QUIRK_OUT_7E_INC_RIP)) {
		vcpu_skip_insn(vcpu);
		return VMM_USER;
	}
	if (r == INSN_USER) {
		emu->pio.size = size;
		emu->pio.in = in;
		emu->rip = vcpu_linear_rip(vcpu);
		vcpu->complete = complete_pio;
		return VMM_USER;
	}
	if (in)
		pio_set_rax(vcpu, size, val);
	vcpu_skip_insn(vcpu);
	return VMM_RESUME;
}

bool emulate_pio_fast(struct vcpu *vcpu, u16 port, unsigned int size, bool in)
{
	u32 how = in ? IO_ATOMIC : IO_ATOMIC | IO_WRITE;
	u32 val = in ? 0 : vcpu_gpr(vcpu, GPR_RAX);
	int err;

	vcpu->emu->answered = false;
	err = io_bus_access(vcpu, IO_BUS_PIO, port, size, &val, how);
	if (err == -EAGAIN)
		return false;
	trace_vmm_pio(vcpu->id, !in, port, size, 1);
	if (err) {
		vcpu->exit.io.unclaimed = true;
		return false;
	}
	if (in)
		pio_set_rax(vcpu, size, val);
	vcpu_skip_insn(vcpu);
	return true;
}

/* -------- registers -------- */

static u64 op_get_reg(void *v, unsigned int reg)
{
	if (reg == INSN_RIP)
		return vcpu_rip(v);
	if (reg == INSN_RFLAGS)
		return vcpu_rflags(v);
	return vcpu_gpr(v, reg);
}

static void op_set_reg(void *v, unsigned int reg, u64 val)
{
	if (reg == INSN_RIP)
		vcpu_set_rip(v, val);
	else if (reg == INSN_RFLAGS)
		vcpu_set_rflags(v, val);
	else
		vcpu_set_gpr(v, reg, val);
}

static const u8 seg_of_insn[INSN_NR_SEGS] = {
	[INSN_ES] = SEG_ES, [INSN_CS] = SEG_CS, [INSN_SS] = SEG_SS, [INSN_DS] = SEG_DS,
	[INSN_FS] = SEG_FS, [INSN_GS] = SEG_GS, [INSN_LDTR] = SEG_LDTR, [INSN_TR] = SEG_TR,
};

static void op_get_segment(void *v, unsigned int seg, struct insn_segment *out)
{
	const struct segment *s = vcpu_seg(v, seg_of_insn[seg]);

	*out = (struct insn_segment){
		.base = s->base, .limit = s->limit, .selector = s->selector,
		.type = s->attr & SEG_ATTR_TYPE, .s = !!(s->attr & SEG_ATTR_S),
		.dpl = (s->attr & SEG_ATTR_DPL) >> SEG_ATTR_DPL_SHIFT,
		.present = !!(s->attr & SEG_ATTR_P), .avl = !!(s->attr & SEG_ATTR_AVL),
		.l = !!(s->attr & SEG_ATTR_L), .db = !!(s->attr & SEG_ATTR_DB),
		.g = !!(s->attr & SEG_ATTR_G), .unusable = !!(s->attr & SEG_ATTR_UNUSABLE),
	};
}

static void op_set_segment(void *v, unsigned int seg, const struct insn_segment *s)
{
	struct vcpu *vcpu = v;
	u32 attr = s->type | s->s << 4 | s->dpl << SEG_ATTR_DPL_SHIFT | s->present << 7 |
		   s->avl << 12 | s->l << 13 | s->db << 14 | s->g << 15 |
		   (s->unusable ? SEG_ATTR_UNUSABLE : 0);

	regs_mod(vcpu, RG_SEG)->seg[seg_of_insn[seg]] = (struct segment){
		.selector = s->selector, .attr = attr, .limit = s->limit, .base = s->base,
	};
}

static void op_get_table(void *v, unsigned int table, struct insn_table_reg *t)
{
	struct vcpu_regs *r = regs_get(v, RG_DESC);
	struct desc_table *d = table == INSN_GDTR ? &r->gdt : &r->idt;

	t->base = d->base;
	t->limit = d->limit;
}

static void op_set_table(void *v, unsigned int table, const struct insn_table_reg *t)
{
	struct vcpu_regs *r = regs_mod(v, RG_DESC);
	struct desc_table *d = table == INSN_GDTR ? &r->gdt : &r->idt;

	d->base = t->base;
	d->limit = t->limit;
}

static unsigned int op_cpl(void *v)
{
	return vcpu_cpl(v);
}

static int gp_or_ok(int bad, struct insn_fault *fault)
{
	if (!bad)
		return INSN_OK;
	*fault = (struct insn_fault){ .vector = 13, .has_error = true };
	return INSN_FAULT;
}

static u64 op_get_cr(void *v, unsigned int cr)
{
	switch (cr) {
	case 0:
		return vcpu_cr0(v);
	case 2:
		return regs_get(v, RG_CR)->cr2;
	case 3:
		return vcpu_cr3(v);
	case 4:
		return vcpu_cr4(v);
	case 8:
		return vcpu_cr8(v);
	default:
		return vcpu_xcr0(v);
	}
}

static int op_set_cr(void *v, unsigned int cr, u64 val, struct insn_fault *fault)
{
	switch (cr) {
	case 0:
		return gp_or_ok(vcpu_set_cr0(v, val), fault);
	case 2:
		regs_mod(v, RG_CR)->cr2 = val;
		return INSN_OK;
	case 3:
		return gp_or_ok(vcpu_set_cr3(v, val), fault);
	case 4:
		return gp_or_ok(vcpu_set_cr4(v, val), fault);
	case 8:
		return gp_or_ok(vcpu_set_cr8(v, val), fault);
	default:
		return gp_or_ok(vcpu_set_xcr0(v, val), fault);
	}
}

/* General detect, SDM 18.2.4. The address of a #DB is what DR6 tells of it. */
static int check_gd(struct vcpu *vcpu, struct insn_fault *fault)
{
	if (!(vcpu_dr(vcpu, 7) & DBG_DR7_GD))
		return INSN_OK;
	*fault = (struct insn_fault){ .vector = X86_TRAP_DB, .address = DBG_DR6_BD };
	return INSN_FAULT;
}

static int op_get_dr(void *v, unsigned int dr, u64 *val, struct insn_fault *fault)
{
	*val = vcpu_dr(v, dr);
	return check_gd(v, fault);
}

static int op_set_dr(void *v, unsigned int dr, u64 val, struct insn_fault *fault)
{
	int r = check_gd(v, fault);

	return r ? r : gp_or_ok(vcpu_set_dr(v, dr, val), fault);
}

static void op_end_local_breakpoints(void *v)
{
	const u64 local = DR_LOCAL_ENABLE_MASK | DR_LOCAL_SLOWDOWN;
	u64 dr7 = vcpu_dr(v, 7);

	if (dr7 & local)
		vcpu_set_dr(v, 7, dr7 & ~local);
}

static int op_get_msr(void *v, u32 msr, u64 *val, struct insn_fault *fault)
{
	return gp_or_ok(vcpu_rdmsr(v, msr, val, false), fault);
}

static int op_set_msr(void *v, u32 msr, u64 val, struct insn_fault *fault)
{
	return gp_or_ok(vcpu_wrmsr(v, msr, val, false), fault);
}

static int msr_insn(struct vcpu *vcpu, u32 msr, u64 *val, bool write, struct insn_fault *fault)
{
	if (vcpu->emu->answered) {
		vcpu->emu->answered = false;
		if (!write)
			*val = vcpu->run->msr.data;
		return gp_or_ok(vcpu->run->msr.error, fault);
	}
	switch (msr_access(vcpu, msr, val, write)) {
	case MSR_DONE:
		return INSN_OK;
	case MSR_USER:
		return INSN_USER;
	default:
		return gp_or_ok(1, fault);
	}
}

static int op_rdmsr(void *v, u32 msr, u64 *val, struct insn_fault *fault)
{
	*val = 0;
	return msr_insn(v, msr, val, false, fault);
}

static int op_wrmsr(void *v, u32 msr, u64 val, struct insn_fault *fault)
{
	return msr_insn(v, msr, &val, true, fault);
}

static int op_cpuid(void *v, u32 regs[4], struct insn_fault *fault)
{
	if (cpuid_faults(v))
		return gp_or_ok(1, fault);
	cpuid_execute(v, regs);
	return INSN_OK;
}

static int op_sys(void *v, enum insn_sys what, u64 arg, struct insn_fault *fault)
{
	struct vcpu *vcpu = v;

	switch (what) {
	case INSN_SYS_HLT:
		vcpu->emu->halt = true;
		return INSN_OK;
	case INSN_SYS_INVLPG:
		vcpu_request(vcpu, REQ_TLB_FLUSH_GUEST);
		return INSN_OK;
	case INSN_SYS_HYPERCALL:
		/* Code that changed under the exit: this one has an exit of its own. */
		return INSN_RETRY;
	case INSN_SYS_RSM:
		*fault = (struct insn_fault){ .vector = X86_TRAP_UD };
		return smm_leave(vcpu) ? INSN_OK : INSN_FAULT;
	default:
		/* Caches are coherent, monitors never armed: nothing to do. */
		return INSN_OK;
	}
}

static int op_vec_read(void *v, unsigned int vec, void *buf, unsigned int len)
{
	return xstate_vec_read(v, vec, buf, len) ? INSN_UNHANDLEABLE : INSN_OK;
}

static int op_vec_write(void *v, unsigned int vec, const void *buf, unsigned int len)
{
	return xstate_vec_write(v, vec, buf, len) ? INSN_UNHANDLEABLE : INSN_OK;
}

static const struct insn_ops vcpu_insn_ops = {
	.read = op_read,
	.write = op_write,
	.cmpxchg = op_cmpxchg,
	.probe = op_probe,
	.pio_in = op_pio_in,
	.pio_out = op_pio_out,
	.get_reg = op_get_reg,
	.set_reg = op_set_reg,
	.get_segment = op_get_segment,
	.set_segment = op_set_segment,
	.get_table = op_get_table,
	.set_table = op_set_table,
	.cpl = op_cpl,
	.get_cr = op_get_cr,
	.set_cr = op_set_cr,
	.get_dr = op_get_dr,
	.set_dr = op_set_dr,
	.end_local_breakpoints = op_end_local_breakpoints,
	.get_msr = op_get_msr,
	.set_msr = op_set_msr,
	.rdmsr = op_rdmsr,
	.wrmsr = op_wrmsr,
	.cpuid = op_cpuid,
	.sys = op_sys,
	.vec_read = op_vec_read,
	.vec_write = op_vec_write,
};

/* -------- running it -------- */

static enum insn_cpu_mode cpu_mode(struct vcpu *vcpu)
{
	u32 cs = vcpu_seg(vcpu, SEG_CS)->attr;

	if (!vcpu_protected(vcpu))
		return INSN_REAL;
	if (vcpu_rflags(vcpu) & X86_EFLAGS_VM)
		return INSN_VM86;
	if (vcpu_long_mode(vcpu) && (cs & SEG_ATTR_L))
		return INSN_LONG;
	return cs & SEG_ATTR_DB ? INSN_PROT32 : INSN_PROT16;
}

static struct insn_ctx *prepare(struct vcpu *vcpu)
{
	struct insn_ctx *ctx = &vcpu->emu->ctx;
	struct vmm_exit *exit = &vcpu->exit;

	vcpu->touched_memory = true;
	insn_abandon(ctx);
	vcpu->emu->answered = false;
	vcpu->emu->forced = false;
	ctx->ops = &vcpu_insn_ops;
	ctx->v = vcpu;
	ctx->mode = cpu_mode(vcpu);
	ctx->lma = vcpu_long_mode(vcpu);
	ctx->va_bits = vcpu_la57(vcpu) ? 57 : 48;
	if (exit->nr_insn_bytes) {
		memcpy(ctx->bytes, exit->insn_bytes, exit->nr_insn_bytes);
		ctx->prefetched = exit->nr_insn_bytes;
		exit->nr_insn_bytes = 0;
	}
	return ctx;
}

static void queue_fault(struct vcpu *vcpu, const struct insn_fault *fault)
{
	if (fault->vector == 14)
		queue_page_fault(vcpu, fault->address, fault->error_code);
	else if (fault->vector == X86_TRAP_DB)
		queue_exception_payload(vcpu, X86_TRAP_DB, fault->address);
	else if (fault->has_error)
		queue_exception_error(vcpu, fault->vector, fault->error_code);
	else
		queue_exception(vcpu, fault->vector);
}

static int emulation_failure(struct vcpu *vcpu)
{
	struct insn_ctx *ctx = &vcpu->emu->ctx;
	struct kvm_run *run = vcpu->run;

	vcpu->stats.insn_emulation_fail++;
	if (!vcpu->vm->emulation_failure_exit) {
		queue_exception(vcpu, 6);
		if (vcpu_cpl(vcpu))
			return VMM_RESUME;
	}
	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	memset(&run->emulation_failure, 0, sizeof(run->emulation_failure));
	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run->emulation_failure.ndata = 1;
	if (ctx->nbytes) {
		/* flags, size and bytes take three of the data words. */
		run->emulation_failure.ndata = 3;
		run->emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
		run->emulation_failure.insn_size = ctx->nbytes;
		memset(run->emulation_failure.insn_bytes, 0x90,
		       sizeof(run->emulation_failure.insn_bytes));
		memcpy(run->emulation_failure.insn_bytes, ctx->bytes, ctx->nbytes);
	}
	return VMM_USER;
}

/* IRET was done here, where the CPU did not see it. */
static void unblock_nmi(struct vcpu *vcpu)
{
	if (!regs_get(vcpu, RG_INTR)->nmi_blocked)
		return;
	regs_mod(vcpu, RG_INTR)->nmi_blocked = false;
	vcpu_request(vcpu, REQ_EVENT);
}

static_assert(INSN_SHADOW_MOV_SS == KVM_X86_SHADOW_INT_MOV_SS);
static_assert(INSN_SHADOW_STI == KVM_X86_SHADOW_INT_STI);

static int emulated(struct vcpu *vcpu, struct insn_ctx *ctx)
{
	if (!ctx->replaced)
		vcpu_set_shadow(vcpu, ctx->shadow);
	if (ctx->iret)
		unblock_nmi(vcpu);
	if (vcpu->emu->halt) {
		vcpu->emu->halt = false;
		return vcpu_halt(vcpu);
	}
	if (ctx->single_step)
		debug_insn_done(vcpu);
	return VMM_RESUME;
}

static int emulate_run(struct vcpu *vcpu);

static int emulate_resume(struct vcpu *vcpu)
{
	struct emulation *emu = vcpu->emu;

	if (vcpu_linear_rip(vcpu) != emu->rip) {
		insn_abandon(&emu->ctx);
		return VMM_RESUME;
	}
	emu->answered = true;
	return emulate_run(vcpu);
}

/*
 * User space may want what is under way finished, and nothing begun. One call
 * may make a page of accesses to a device of ours, so others that wait for
 * this CPU are looked for after each.
 */
static bool rep_interrupted(struct vcpu *vcpu)
{
	return vcpu->requests || READ_ONCE(vcpu->run->VMM_IMMEDIATE_EXIT) ||
	       signal_pending(current) || compat_need_resched();
}

static int emulate_run(struct vcpu *vcpu)
{
	struct insn_ctx *ctx = &vcpu->emu->ctx;
	int i, r;

	for (i = 0; i < MAX_REP_BATCH; i++) {
		r = insn_emulate(ctx);
		if (r != INSN_OK || !ctx->rep_pending || rep_interrupted(vcpu))
			break;
	}
	switch (r) {
	case INSN_OK:
		return emulated(vcpu, ctx);
	case INSN_USER:
		vcpu->emu->rip = vcpu_linear_rip(vcpu);
		vcpu->complete = emulate_resume;
		return VMM_USER;
	case INSN_FAULT:
		queue_fault(vcpu, &ctx->fault);
		return VMM_RESUME;
	case INSN_RETRY:
		return VMM_RESUME;
	default:
		break;
	}
	if (!vcpu->emu->forced)
		return emulation_failure(vcpu);
	vcpu->stats.insn_emulation_fail++;
	queue_exception(vcpu, X86_TRAP_UD);
	return VMM_RESUME;
}

/* After prepare(). */
static int emulate_prepared(struct vcpu *vcpu)
{
	struct emulation *emu = vcpu->emu;
	struct insn_ctx *ctx = &emu->ctx;

	vcpu->stats.insn_emulation++;
	if (!emu->bulk)
		emu->bulk = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	ctx->bulk = emu->bulk;
	ctx->bulk_size = emu->bulk ? PAGE_SIZE : 0;
	return emulate_run(vcpu);
}

int emulate_insn(struct vcpu *vcpu)
{
	prepare(vcpu);
	return emulate_prepared(vcpu);
}

int emulate_forced(struct vcpu *vcpu)
{
	prepare(vcpu);
	vcpu->emu->forced = true;
	return emulate_prepared(vcpu);
}

/* What KVM_GET_EMULATED_CPUID promises, if this guest was given it. */
static bool is_promised(struct vcpu *vcpu, const struct insn_decoded *d)
{
	if (d->enc != INSN_LEGACY || d->lock)
		return false;
	if (d->map == INSN_MAP_0F38 && (d->opcode & ~1) == 0xf0 && d->pp < 2)
		return guest_cpuid_has(vcpu, X86_FEATURE_MOVBE);
	return d->map == INSN_MAP_0F && d->opcode == 0xc7 && (d->modrm & 0xf8) == 0xf8 &&
	       d->pp == 2 && guest_cpuid_has(vcpu, X86_FEATURE_RDPID);
}

/* To the CPU this is no system management mode, so it refuses RSM. */
static bool is_rsm(struct vcpu *vcpu, const struct insn_decoded *d)
{
	return vcpu->smm.active && d->map == INSN_MAP_0F && d->opcode == 0xaa;
}

/* The other vendor's hypercalls, what CPUID promises beyond the CPU, RSM, forced emulation. */
bool emulation_wants_ud(const struct vcpu *vcpu)
{
	return pv_fixes_hypercalls(vcpu->vm) || cpuid_emulates(vcpu) || vcpu->smm.active ||
	       fep_flags();
}

int emulate_undefined(struct vcpu *vcpu)
{
	struct insn_ctx *ctx = prepare(vcpu);
	int r = insn_fetch(ctx);

	if (r == INSN_OK && (is_rsm(vcpu, &ctx->insn) || is_promised(vcpu, &ctx->insn))) {
		/* Those very bytes: others may have taken their place in memory. */
		ctx->prefetched = ctx->nbytes;
		return emulate_prepared(vcpu);
	}
	if (r == INSN_FAULT)
		queue_fault(vcpu, &ctx->fault);
	else if (r != INSN_RETRY)
		queue_exception(vcpu, X86_TRAP_UD);
	return VMM_RESUME;
}

static bool is_soft(const struct vmm_event *event)
{
	return event->type == EVENT_SOFT_INTR || event->type == EVENT_SOFT_EXCEPTION;
}

/*
 * Where the old task goes on: behind the instruction that switches, INT n and the
 * like included, or at the one that an exception or interrupt found.
 */
static int task_return_ip(struct vcpu *vcpu, struct insn_ctx *ctx, u64 *ip)
{
	struct vmm_exit *e = &vcpu->exit;
	u8 len = 0;
	int r;

	if (e->task.reason != INSN_TASK_GATE || is_soft(&e->task.event)) {
		len = e->task.event.type != EVENT_NONE ? e->task.event.insn_len : e->insn_len;
		if (!len) {
			r = insn_fetch(ctx);
			if (r)
				return r;
			len = ctx->insn.len;
		}
	}
	*ip = (u32)(vcpu_rip(vcpu) + len);
	return INSN_OK;
}

/* A fault on the way meets the exception that was being delivered (SDM table 6-5). */
static void task_fault(struct vcpu *vcpu, const struct insn_fault *fault)
{
	const struct vmm_event *event = &vcpu->exit.task.event;

	if (event->type == EVENT_EXCEPTION)
		vcpu->ev.ex = (struct exception_state){
			.injected = true, .vector = event->vector,
			.has_error = event->has_error, .error = event->error,
		};
	queue_fault(vcpu, fault);
}

static void task_begun(struct vcpu *vcpu, bool trap)
{
	vcpu_set_shadow(vcpu, 0);
	if (trap)
		queue_exception_payload(vcpu, X86_TRAP_DB, DR_SWITCH);
	if (vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP)
		debug_insn_done(vcpu);
}

int emulate_task_switch(struct vcpu *vcpu)
{
	struct insn_ctx *ctx = prepare(vcpu);
	const struct vmm_event *event = &vcpu->exit.task.event;
	struct insn_task task = {
		.selector = vcpu->exit.task.selector,
		.reason = vcpu->exit.task.reason,
		.vector = event->type == EVENT_SOFT_INTR ? event->vector : -1,
		.external = event->type != EVENT_NONE && !is_soft(event),
		.has_error = event->type == EVENT_EXCEPTION && event->has_error,
		.error_code = event->error,
	};
	int r = task_return_ip(vcpu, ctx, &task.ip);

	/* IRET ends the blocking, whatever comes of it. */
	if (task.reason == INSN_TASK_IRET)
		unblock_nmi(vcpu);
	/* The single step of user space belongs to no task. */
	vcpu_set_rflags(vcpu, debug_visible_rflags(vcpu));
	if (r == INSN_OK)
		r = insn_task_switch(ctx, &task);
	vcpu_set_rflags(vcpu, debug_hardware_rflags(vcpu, vcpu_rflags(vcpu)));
	switch (r) {
	case INSN_OK:
		task_begun(vcpu, task.trap);
		return VMM_RESUME;
	case INSN_FAULT:
		task_fault(vcpu, &ctx->fault);
		return VMM_RESUME;
	case INSN_RETRY:
		return VMM_RESUME;
	default:
		return -EOPNOTSUPP;
	}
}

/* Exits that one instruction causes, in its usual form: @len bytes, those of @mask. */
static const struct {
	u32 code, mask;
	u8 len;
} usual_code[NR_EXIT_KINDS] = {
	[EXIT_CPUID] = { 0xa20f, 0xffff, 2 },
	[EXIT_HLT] = { 0xf4, 0xff, 1 },
	[EXIT_RDMSR] = { 0x320f, 0xffff, 2 },
	[EXIT_WRMSR] = { 0x300f, 0xffff, 2 },
	[EXIT_HYPERCALL] = { 0xd9010f, 0xffffff, 3 },
	[EXIT_RDPMC] = { 0x330f, 0xffff, 2 },
	[EXIT_XSETBV] = { 0xd1010f, 0xffffff, 3 },
	[EXIT_PAUSE] = { 0x90f3, 0xffff, 2 },
};

bool emulation_usual_len(struct vcpu *vcpu)
{
	u16 kind = vcpu->exit.kind;
	u8 len = usual_code[kind].len;
	bool known;

	if (!len)
		return false;
	pagefault_disable();
	known = guest_code_is(vcpu, vcpu_linear_rip(vcpu), usual_code[kind].code,
			      usual_code[kind].mask);
	pagefault_enable();
	if (known)
		vcpu->exit.insn_len = len;
	return known;
}

void emulation_skip(struct vcpu *vcpu)
{
	struct insn_ctx *ctx = prepare(vcpu);
	u64 rflags = vcpu_rflags(vcpu);
	int r = insn_skip(ctx);

	if (r == INSN_FAULT) {
		queue_fault(vcpu, &ctx->fault);
		return;
	}
	if (r != INSN_OK)
		return;		/* executed again: the bytes changed under us */
	vcpu_set_shadow(vcpu, 0);
	if (rflags & X86_EFLAGS_TF)
		debug_insn_done(vcpu);
}
