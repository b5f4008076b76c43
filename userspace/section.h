/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sections: the named, versioned and checked pieces that a saved machine consists of.
 *
 * On the wire a section is: length of the name (8 bits, 1 … 63) and its bytes, version (32
 * bits), length of the body (32 bits) and its bytes, XXH3 of all that (64 bits). A name of
 * length 0 ends a list of sections, and nothing follows it.
 */
#ifndef VMRUN_SECTION_H
#define VMRUN_SECTION_H

#include <stdint.h>

#include "stream.h"

#define SECTION_NAME_MAX 63

struct section {
	char name[SECTION_NAME_MAX + 1];
	uint32_t version;
	struct stream body;	/* to be read; section_destroy() frees it */
};

/* Errors go to @s. */
void section_put(struct stream *s, const char *name, uint32_t version,
		 const struct stream *body);
void section_put_end(struct stream *s);

/*
 * Return: 1 and *sec is the next section, 0 at the end of the list, -EBADMSG
 * where the checksum is wrong or something follows the end, -EPROTO where the list is cut short, -ENOMEM.
 */
int section_get(struct stream *s, struct section *sec);
void section_destroy(struct section *sec);

/* After a body was taken apart: its error, or -EPROTO if something is left. */
int section_finish(struct section *sec);

#endif
