// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is the state that a machine has taken over the one that was sent? The machine is saved once
 * more before it runs, and the two lists of sections are compared. What goes on by itself, or
 * begins with the loading, is left out: the clock, a LAPIC timer's count, the time at which a
 * PIT's count began. The configurations of the two need only fit: config_check().
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kvm.h"
#include "machine.h"
#include "migrate/state.h"
#include "section.h"
#include "util/list.h"
#include "vcpu.h"

static const char *compare_vcpus(struct stream *sent, struct stream *here)
{
	struct vcpu_saved a, b;
	const char *part = "registers";

	if (vcpu_saved_read(&a, sent))
		return part;
	if (!vcpu_saved_read(&b, here)) {
		part = vcpu_saved_differ(&a, &b);
		vcpu_saved_free(&b);
	}
	vcpu_saved_free(&a);
	return part;
}

static const char *compare_nothing(struct stream *sent, struct stream *here)
{
	(void)sent;
	(void)here;
	return NULL;
}

static const char *compare_bytes(struct stream *sent, struct stream *here)
{
	if (sent->len == here->len && !memcmp(sent->data, here->data, sent->len))
		return NULL;
	return "state";
}

/* Return: what is not the same in the two bodies, or NULL. By the beginning of a section's name. */
static const struct {
	const char *name;
	const char *(*compare)(struct stream *sent, struct stream *here);
} comparisons[] = {
	{ "vcpu", compare_vcpus },
	{ "chips", kvm_chips_differ },
	{ "clock", compare_nothing },
	{ "config", compare_nothing },
	{ "", compare_bytes },
};

static const char *compare_sections(struct section *sent, struct section *here)
{
	size_t i = 0;

	if (strcmp(sent->name, here->name))
		return "place in the list";
	if (sent->version != here->version)
		return NULL;		/* an older vmrun's */
	while (strncmp(sent->name, comparisons[i].name,
		       strlen(comparisons[i].name)))
		i++;
	return comparisons[i].compare(&sent->body, &here->body);
}

/* Return: 1 for two sections that are the same, 0 at the end of both, or -errno with @why. */
static int compare_next(struct stream *sent, struct stream *here, char *why,
			size_t size)
{
	struct section a, b;
	int more = section_get(sent, &a), more_here = section_get(here, &b);
	int err = more < 0 ? more : more_here < 0 ? more_here : more;
	const char *part = NULL;

	if (more > 0 && more_here > 0)
		part = compare_sections(&a, &b);
	if (part || (err >= 0 && more != more_here)) {
		snprintf(why, size, "%s: its %s: not as it was sent",
			 more > 0 ? a.name : b.name, part ? part : "section");
		err = -EBADMSG;
	}
	if (more > 0)
		section_destroy(&a);
	if (more_here > 0)
		section_destroy(&b);
	return err;
}

int state_compare(struct machine *m, struct stream *s, char *why, size_t size)
{
	struct stream here;
	int err;

	stream_init(&here);
	snprintf(why, size, "the state here cannot be read");
	err = state_save(m, &here) ? -EIO : 1;
	s->pos = 0;
	while (err > 0)
		err = compare_next(s, &here, why, size);
	if (!err)
		*why = '\0';
	stream_destroy(&here);
	return err;
}
