// SPDX-License-Identifier: GPL-2.0-only
/*
 * All state of a vCPU, out of KVM and back. At the moment it serves reset, which is nothing
 * but going back to the state after creation.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm.h"
#include "machine.h"
#include "util/list.h"
#include "vcpu.h"

#define MSR_IA32_TSC	0x10
#define MSRS_MAX	4096

static struct kvm_msrs *msrs_alloc(uint32_t nr)
{
	return calloc(1, sizeof(struct kvm_msrs) +
		      nr * sizeof(struct kvm_msr_entry));
}

/* The TSC goes on counting over a reset, the same for all vCPUs. */
static struct kvm_msrs *msrs_listed(const struct kvm *kvm)
{
	struct kvm_msr_list *list;
	struct kvm_msrs *msrs = NULL;

	list = calloc(1, sizeof(*list) + MSRS_MAX * sizeof(list->indices[0]));
	if (!list)
		return NULL;
	list->nmsrs = MSRS_MAX;
	if (kvm_ioctl(kvm->fd, KVM_GET_MSR_INDEX_LIST, list) >= 0)
		msrs = msrs_alloc(list->nmsrs);
	for (uint32_t i = 0; msrs && i < list->nmsrs; i++)
		if (list->indices[i] != MSR_IA32_TSC)
			msrs->entries[msrs->nmsrs++].index = list->indices[i];
	free(list);
	return msrs;
}

/*
 * KVM_GET_MSRS and KVM_SET_MSRS stop at the first MSR that this vCPU does not
 * have and return its position: go on behind it. With @drop it also leaves the list.
 */
static int msrs_transfer(struct vcpu *v, unsigned long request,
			 struct kvm_msrs *msrs, bool drop)
{
	struct kvm_msrs *part = msrs_alloc(msrs->nmsrs);
	uint32_t pos = 0;

	if (!part)
		return -ENOMEM;
	while (pos < msrs->nmsrs) {
		struct kvm_msr_entry *from = &msrs->entries[pos];
		uint32_t left = msrs->nmsrs - pos;
		int done;

		memcpy(part->entries, from, left * sizeof(*from));
		part->nmsrs = left;
		done = kvm_ioctl(v->fd, request, part);
		if (done < 0 || (uint32_t)done > left)
			done = 0;
		memcpy(from, part->entries, (size_t)done * sizeof(*from));
		pos += (uint32_t)done;
		if (pos == msrs->nmsrs)
			break;
		if (drop)
			memmove(from + done, from + done + 1,
				(--msrs->nmsrs - pos) * sizeof(*from));
		else
			pos++;
	}
	free(part);
	return 0;
}

static int msrs_get(struct vcpu *v, struct vcpu_state *state)
{
	state->msrs = msrs_listed(&v->m->kvm);
	if (!state->msrs)
		return -ENOMEM;
	return msrs_transfer(v, KVM_GET_MSRS, state->msrs, true);
}

/*
 * The order of setting: modes before what depends on them, the LAPIC before
 * its deadline MSR, events and MP state last.
 */
#define STATE(name, field) { \
	KVM_GET_##name, KVM_SET_##name, offsetof(struct vcpu_state, field) }

static const struct {
	unsigned long get, set;
	size_t offset;
} state_parts[] = {
	STATE(SREGS, sregs),
	STATE(REGS, regs),
	STATE(XCRS, xcrs),
	STATE(XSAVE, xsave),
	STATE(DEBUGREGS, debug),
	STATE(LAPIC, lapic),
	STATE(VCPU_EVENTS, events),
	STATE(MP_STATE, mp),
};

int vcpu_state_get(struct vcpu *v, struct vcpu_state *state)
{
	int err;

	memset(state, 0, sizeof(*state));
	for (size_t i = 0; i < ARRAY_SIZE(state_parts); i++) {
		err = kvm_ioctl(v->fd, state_parts[i].get,
				(char *)state + state_parts[i].offset);
		if (err < 0)
			return err;
	}
	err = msrs_get(v, state);
	if (err)
		vcpu_state_free(state);
	return err;
}

int vcpu_state_set(struct vcpu *v, const struct vcpu_state *state)
{
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(state_parts); i++) {
		err = kvm_ioctl(v->fd, state_parts[i].set,
				(char *)state + state_parts[i].offset);
		if (err < 0)
			return err;
	}
	return msrs_transfer(v, KVM_SET_MSRS, state->msrs, false);
}

void vcpu_state_free(struct vcpu_state *state)
{
	free(state->msrs);
	state->msrs = NULL;
}
