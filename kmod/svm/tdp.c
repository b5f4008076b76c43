// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nested paging: entry format, nested CR3, ASIDs and TLB flushes. 15.16, 15.25.
 *
 * TLB entries of a guest are tagged with its ASID, nested translations are
 * cached only combined with the guest's own, so one flush by ASID does for
 * both. A vCPU gets an ASID per physical CPU, newer than anything of it that
 * this CPU may still hold; when a CPU runs out, everything is flushed and
 * the next generation begins.
 */
#include <linux/mem_encrypt.h>

#include "svm.h"

#define NPT_P		BIT_ULL(0)
#define NPT_RW		BIT_ULL(1)
#define NPT_US		BIT_ULL(2)	/* nested walks are user accesses: 15.25.5 */
#define NPT_PWT		BIT_ULL(3)
#define NPT_PCD		BIT_ULL(4)
#define NPT_A		BIT_ULL(5)
#define NPT_D		BIT_ULL(6)
#define NPT_PS		BIT_ULL(7)
#define NPT_NX		BIT_ULL(63)

#define FIRST_ASID	1

void svm_tdp_setup(void)
{
	vendor_caps.tdp = (struct tdp_format){
		.read = NPT_P | NPT_US,
		.write = NPT_RW,
		.nx = NPT_NX,
		.present = NPT_P,
		.accessed = NPT_A,
		.dirty = NPT_D,
		.leaf = NPT_PS,
		.table_bits = NPT_P | NPT_RW | NPT_US | NPT_A,
		/* Through the host's PAT: entry 0 is WB, entry 3 UC. */
		.memtype_wb = 0,
		.memtype_uc = NPT_PWT | NPT_PCD,
		/* Nested tables have as many levels as the host's own. */
		.levels = native_read_cr4() & X86_CR4_LA57 ? 5 : 4,
		.max_leaf_level = boot_cpu_has(X86_FEATURE_GBPAGES) ? 3 : 2,
		.maxphyaddr = boot_cpu_data.x86_phys_bits,
	};
}

void svm_flush_tlb(struct vcpu *vcpu)
{
	to_svm(vcpu)->flush = true;
}

void svm_flush_guest(struct vcpu *vcpu)
{
	to_svm(vcpu)->flush = true;
}

/* AMD-V has no log of its own: write protection does it all. */
void svm_log_dirty(struct vcpu *vcpu)
{
}

void svm_set_root(struct vcpu *vcpu, hpa_t root)
{
	struct vcpu_svm *svm = to_svm(vcpu);
	u64 cr3 = __sme_set(root);

	if (svm->vmcb->control.nested_cr3 == cr3)
		return;
	svm->vmcb->control.nested_cr3 = cr3;
	vmcb_dirty(svm, CLEAN_NP);
	/* A page that was another root before may have left translations. */
	svm->flush = true;
}

/* On @cpu, when it is switched on: whatever ASIDs meant before is void. */
void svm_asid_on(struct svm_cpu *cpu)
{
	cpu->generation++;
	cpu->next_asid = svm_caps.nr_asids;
}

/* True when the CPU wrapped around, and everything must be flushed. */
static bool new_asid(struct vcpu_svm *svm, struct svm_cpu *cpu)
{
	bool wrapped = cpu->next_asid >= svm_caps.nr_asids;

	if (wrapped) {
		cpu->generation++;
		cpu->next_asid = FIRST_ASID;
	}
	svm->asid_generation = cpu->generation;
	svm->vmcb->control.asid = cpu->next_asid++;
	vmcb_dirty(svm, CLEAN_ASID);
	return wrapped;
}

/* Right before entry, irqs off, when there is something to flush. */
void svm_prepare_asid(struct vcpu_svm *svm, struct svm_cpu *cpu)
{
	struct vmcb_control *c = &svm->vmcb->control;

	svm->flush = false;
	if (svm->asid_generation == cpu->generation && svm_caps.flush_asid) {
		c->tlb_ctl = TLBCTL_FLUSH_ASID;
		return;
	}
	if (new_asid(svm, cpu))
		c->tlb_ctl = TLBCTL_FLUSH_ALL;
}
