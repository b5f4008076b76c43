// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stands in for net/user.c in a static vmrun: distributions ship no static
 * libslirp.
 */
#include <errno.h>
#include <stddef.h>

#include "net/net.h"
#include "util/msg.h"

int net_user_open(struct net_backend **be)
{
	*be = NULL;
	return msg_fail(-ENOTSUP, "--net user: this vmrun is linked statically, without libslirp: use --net tap=INTERFACE");
}
