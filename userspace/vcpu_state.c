// SPDX-License-Identifier: GPL-2.0-only
/*
 * All state of a vCPU, out of KVM and back: for reset, which is nothing but going back to the
 * state after creation, and for moves.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvm.h"
#include "machine.h"
#include "stream.h"
#include "util/list.h"
#include "util/msg.h"
#include "vcpu.h"

#define MSR_IA32_TSC	0x10
#define MSR_TSC_DEADLINE 0x6e0
/* KVM has these for every guest */
#define MSR_HV_VP_RUNTIME 0x40000010
#define MSR_HV_TIME_REF_COUNT 0x40000020
#define MSRS_MAX	4096
#define MSRS_AT_ONCE	128	/* of a call; KVM takes less than 256 */

/* Offsets of the LAPIC's registers: SDM 3A table 11-1 */
#define APIC_IRR	0x200
#define APIC_LVTT	0x320
#define APIC_TMCCT	0x390

static struct kvm_msrs *msrs_alloc(uint32_t nr)
{
	return calloc(1, sizeof(struct kvm_msrs) +
		      nr * sizeof(struct kvm_msr_entry));
}

/* Those that a guest writes and KVM_GET_MSR_INDEX_LIST does not name: MTRRs and banks of machine checks. */
static const struct {
	uint32_t first, nr, step;
} unlisted[] = {
	{ 0x200, 16, 1 },	/* IA32_MTRR_PHYSBASE0 and its mask, … */
	{ 0x250, 1, 1 }, { 0x258, 2, 1 }, { 0x268, 8, 1 },	/* the fixed ranges */
	{ 0x2ff, 1, 1 },	/* IA32_MTRR_DEF_TYPE */
	{ 0x400, 32, 4 },	/* IA32_MCi_CTL */
};

static uint32_t unlisted_nr(void)
{
	uint32_t nr = 0;

	for (size_t i = 0; i < ARRAY_SIZE(unlisted); i++)
		nr += unlisted[i].nr;
	return nr;
}

static void msrs_add(struct kvm_msrs *msrs, uint32_t index)
{
	for (uint32_t i = 0; i < msrs->nmsrs; i++)
		if (msrs->entries[i].index == index)
			return;
	msrs->entries[msrs->nmsrs++].index = index;
}

static void msrs_add_unlisted(struct kvm_msrs *msrs)
{
	for (size_t i = 0; i < ARRAY_SIZE(unlisted); i++)
		for (uint32_t j = 0; j < unlisted[i].nr; j++)
			msrs_add(msrs, unlisted[i].first + j * unlisted[i].step);
}

/*
 * Without the TSC, which goes on counting over a reset, the same for all vCPUs, and which
 * migrate/state.c moves for all of them together.
 */
static struct kvm_msrs *msrs_listed(const struct kvm *kvm)
{
	struct kvm_msr_list *list;
	struct kvm_msrs *msrs = NULL;

	list = calloc(1, sizeof(*list) + MSRS_MAX * sizeof(list->indices[0]));
	if (!list)
		return NULL;
	list->nmsrs = MSRS_MAX;
	if (kvm_ioctl(kvm->fd, KVM_GET_MSR_INDEX_LIST, list) >= 0)
		msrs = msrs_alloc(list->nmsrs + unlisted_nr());
	for (uint32_t i = 0; msrs && i < list->nmsrs; i++)
		if (list->indices[i] != MSR_IA32_TSC)
			msrs->entries[msrs->nmsrs++].index = list->indices[i];
	if (msrs)
		msrs_add_unlisted(msrs);
	free(list);
	return msrs;
}

/* What to do about an MSR that this vCPU does not have. */
enum msrs_missing {
	MSRS_SKIP,
	MSRS_DROP,		/* take it from the list */
	MSRS_FAIL,		/* unless it is to be zero */
};

static int msrs_refused(const struct vcpu *v, const struct kvm_msr_entry *msr)
{
	if (!msr->data)
		return 0;
	return msg_fail(-EINVAL, "vCPU %u: this host's KVM does not take %#llx for MSR %#x",
			v->id, (unsigned long long)msr->data, msr->index);
}

/*
 * KVM_GET_MSRS and KVM_SET_MSRS stop at the first MSR that this vCPU does not
 * have and return its position: go on behind it.
 */
static int msrs_transfer(struct vcpu *v, unsigned long request,
			 struct kvm_msrs *msrs, enum msrs_missing missing)
{
	struct kvm_msrs *part = msrs_alloc(MSRS_AT_ONCE);
	uint32_t pos = 0;
	int err = 0;

	if (!part)
		return -ENOMEM;
	while (!err && pos < msrs->nmsrs) {
		struct kvm_msr_entry *from = &msrs->entries[pos];
		uint32_t left = msrs->nmsrs - pos;
		int done;

		if (left > MSRS_AT_ONCE)
			left = MSRS_AT_ONCE;
		memcpy(part->entries, from, left * sizeof(*from));
		part->nmsrs = left;
		done = kvm_ioctl(v->fd, request, part);
		if (done < 0 || (uint32_t)done > left) {
			err = done < 0 ? done : -EPROTO;
			break;
		}
		memcpy(from, part->entries, (size_t)done * sizeof(*from));
		pos += (uint32_t)done;
		if ((uint32_t)done == left)
			continue;
		if (missing == MSRS_FAIL)
			err = msrs_refused(v, from + done);
		if (missing == MSRS_DROP)
			memmove(from + done, from + done + 1,
				(--msrs->nmsrs - pos) * sizeof(*from));
		else
			pos++;
	}
	free(part);
	return err;
}

static int msrs_get(struct vcpu *v, struct vcpu_state *state)
{
	state->msrs = msrs_listed(&v->m->kvm);
	if (!state->msrs)
		return -ENOMEM;
	return msrs_transfer(v, KVM_GET_MSRS, state->msrs, MSRS_DROP);
}

/*
 * The order of setting: modes before what depends on them, the LAPIC before
 * its deadline MSR, events and MP state last.
 */
#define STATE(name, field) { \
	#field, KVM_GET_##name, KVM_SET_##name, \
	offsetof(struct vcpu_state, field), \
	sizeof(((struct vcpu_state *)0)->field) }

static const struct {
	const char *name;
	unsigned long get, set;
	size_t offset, size;
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

/* In reverse: KVM_GET_MP_STATE still acts on INIT and SIPI, which are among the events. */
static int parts_get(struct vcpu *v, struct vcpu_state *state)
{
	for (size_t i = ARRAY_SIZE(state_parts); i--;) {
		int err = kvm_ioctl(v->fd, state_parts[i].get,
				    (char *)state + state_parts[i].offset);

		if (err < 0)
			return err;
	}
	return 0;
}

static int parts_set(struct vcpu *v, const struct vcpu_state *state)
{
	for (size_t i = 0; i < ARRAY_SIZE(state_parts); i++) {
		int err = kvm_ioctl(v->fd, state_parts[i].set,
				    (char *)state + state_parts[i].offset);

		if (err < 0)
			return err;
	}
	return 0;
}

int vcpu_state_get(struct vcpu *v, struct vcpu_state *state)
{
	int err;

	memset(state, 0, sizeof(*state));
	err = parts_get(v, state);
	if (err)
		return err;
	err = msrs_get(v, state);
	if (err)
		vcpu_state_free(state);
	return err;
}

int vcpu_state_set(struct vcpu *v, const struct vcpu_state *state)
{
	int err = parts_set(v, state);

	return err ? err : msrs_transfer(v, KVM_SET_MSRS, state->msrs, MSRS_SKIP);
}

void vcpu_state_free(struct vcpu_state *state)
{
	free(state->msrs);
	state->msrs = NULL;
}

/* ---- moves ---- */

static struct kvm_cpuid2 *cpuid_alloc(uint32_t nent)
{
	struct kvm_cpuid2 *table = calloc(1, sizeof(*table) +
					  nent * sizeof(table->entries[0]));

	if (table)
		table->nent = nent;
	return table;
}

static void cpuid_put(struct stream *s, const struct kvm_cpuid2 *table)
{
	stream_put_u32(s, table->nent);
	stream_put_bytes(s, table->entries,
			 table->nent * sizeof(table->entries[0]));
}

int vcpu_cpuid_save(struct vcpu *v, struct stream *s)
{
	struct kvm_cpuid2 *table = cpuid_alloc(CPUID_MAX);
	int err = table ? kvm_ioctl(v->fd, KVM_GET_CPUID2, table) : -ENOMEM;

	if (err >= 0)
		cpuid_put(s, table);
	free(table);
	return err < 0 ? err : stream_error(s);
}

struct kvm_cpuid2 *vcpu_cpuid_read(struct stream *s)
{
	uint32_t nent = stream_get_u32(s);
	struct kvm_cpuid2 *table;

	if (nent > CPUID_MAX) {
		stream_fail(s, -EPROTO);
		return NULL;
	}
	table = cpuid_alloc(nent);
	if (!table) {
		stream_fail(s, -ENOMEM);
		return NULL;
	}
	stream_get_bytes(s, table->entries, nent * sizeof(table->entries[0]));
	return table;
}

int vcpu_save(struct vcpu *v, struct stream *s)
{
	struct vcpu_state state;
	int err = vcpu_state_get(v, &state);

	if (err)
		return err;
	for (size_t i = 0; i < ARRAY_SIZE(state_parts); i++)
		stream_put_block(s, (char *)&state + state_parts[i].offset,
				 state_parts[i].size);
	stream_put_u32(s, state.msrs->nmsrs);
	for (uint32_t i = 0; i < state.msrs->nmsrs; i++) {
		stream_put_u32(s, state.msrs->entries[i].index);
		stream_put_u64(s, state.msrs->entries[i].data);
	}
	vcpu_state_free(&state);
	err = vcpu_cpuid_save(v, s);
	return err ? err : stream_error(s);
}

static struct kvm_msrs *msrs_read(struct stream *s)
{
	uint32_t nr = stream_get_u32(s);
	struct kvm_msrs *msrs;

	if (stream_error(s) || nr > MSRS_MAX) {
		stream_fail(s, -EPROTO);
		return NULL;
	}
	msrs = msrs_alloc(nr);
	if (!msrs) {
		stream_fail(s, -ENOMEM);
		return NULL;
	}
	msrs->nmsrs = nr;
	for (uint32_t i = 0; i < nr; i++) {
		msrs->entries[i].index = stream_get_u32(s);
		msrs->entries[i].data = stream_get_u64(s);
	}
	return msrs;
}

int vcpu_saved_read(struct vcpu_saved *saved, struct stream *s)
{
	memset(saved, 0, sizeof(*saved));
	for (size_t i = 0; i < ARRAY_SIZE(state_parts); i++)
		stream_get_block(s, (char *)&saved->state + state_parts[i].offset,
				 state_parts[i].size);
	saved->state.msrs = msrs_read(s);
	saved->cpuid = vcpu_cpuid_read(s);
	if (stream_error(s))
		vcpu_saved_free(saved);
	return stream_error(s);
}

void vcpu_saved_free(struct vcpu_saved *saved)
{
	vcpu_state_free(&saved->state);
	free(saved->cpuid);
	saved->cpuid = NULL;
}

/* A timer counts on, and when it has come to its end its interrupt may be pending. */
static void lapic_without_timer(struct kvm_lapic_state *lapic)
{
	uint8_t vector = (uint8_t)lapic->regs[APIC_LVTT];

	memset(lapic->regs + APIC_TMCCT, 0, sizeof(uint32_t));
	lapic->regs[APIC_IRR + vector / 32 * 16 + vector / 8 % 4] &=
		(char)~(1u << vector % 8);
}

/* Time goes on; a deadline that has passed is gone. */
static bool msr_moves(uint32_t index)
{
	return index == MSR_TSC_DEADLINE || index == MSR_HV_VP_RUNTIME ||
	       index == MSR_HV_TIME_REF_COUNT;
}

/*
 * Return: the first that differs, by a name that lasts until the next call; NULL. One that only
 * one of two hosts knows was zero, or msrs_refused().
 */
static const char *msrs_differ(const struct kvm_msrs *a, const struct kvm_msrs *b)
{
	static _Thread_local char name[16];

	for (uint32_t i = 0; i < a->nmsrs; i++) {
		uint32_t k = 0;

		while (k < b->nmsrs && b->entries[k].index != a->entries[i].index)
			k++;
		if (k < b->nmsrs && b->entries[k].data != a->entries[i].data &&
		    !msr_moves(a->entries[i].index)) {
			snprintf(name, sizeof(name), "MSR %#x", a->entries[i].index);
			return name;
		}
	}
	return NULL;
}

static bool cpuid_differs(const struct kvm_cpuid2 *a, const struct kvm_cpuid2 *b)
{
	return a->nent != b->nent ||
	       memcmp(a->entries, b->entries, a->nent * sizeof(a->entries[0]));
}

const char *vcpu_saved_differ(const struct vcpu_saved *a, const struct vcpu_saved *b)
{
	struct vcpu_state x = a->state, y = b->state;
	const char *msr;

	lapic_without_timer(&x.lapic);
	lapic_without_timer(&y.lapic);
	for (size_t i = 0; i < ARRAY_SIZE(state_parts); i++)
		if (memcmp((char *)&x + state_parts[i].offset,
			   (char *)&y + state_parts[i].offset,
			   state_parts[i].size))
			return state_parts[i].name;
	msr = msrs_differ(x.msrs, y.msrs);
	if (msr)
		return msr;
	return cpuid_differs(a->cpuid, b->cpuid) ? "CPUID" : NULL;
}

int vcpu_load_registers(struct vcpu *v, const struct vcpu_saved *saved)
{
	int err = kvm_ioctl(v->fd, KVM_SET_CPUID2, saved->cpuid);

	return err < 0 ? err : parts_set(v, &saved->state);
}

int vcpu_load_msrs(struct vcpu *v, const struct vcpu_saved *saved)
{
	return msrs_transfer(v, KVM_SET_MSRS, saved->state.msrs, MSRS_FAIL);
}
