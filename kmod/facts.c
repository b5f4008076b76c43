// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module parameters of KVM's that tools look up before they use a feature,
 * where this module leaves no choice. They tell what is so; setting one is
 * refused.
 */
#include <linux/module.h>

#include "vendor.h"

/* As kp->arg: the fact holds with either vendor. */
static const char always;

/* kp->arg: the vendor with which the fact holds, NULL when it never does. */
static int fact_get(char *buffer, const struct kernel_param *kp)
{
	bool holds = kp->arg == &always || (kp->arg && kp->arg == vendor_ops);

	return sysfs_emit(buffer, "%c\n", holds ? 'Y' : 'N');
}

static int fact_set(const char *val, const struct kernel_param *kp)
{
	return -EINVAL;
}

static const struct kernel_param_ops fact_ops = { .set = fact_set, .get = fact_get };

/* The second-stage tables are always used, and real mode always runs on VT-x. */
module_param_cb(ept, &fact_ops, (void *)&vmx_ops, 0444);
module_param_cb(unrestricted_guest, &fact_ops, (void *)&vmx_ops, 0444);
module_param_cb(npt, &fact_ops, (void *)&svm_ops, 0444);
/* Not by the shadow pages that KVM has as well. */
module_param_cb(tdp_mmu, &fact_ops, (void *)&always, 0444);
module_param_cb(enable_apicv, &fact_ops, NULL, 0444);
module_param_cb(avic, &fact_ops, NULL, 0444);
module_param_cb(enable_pmu, &fact_ops, NULL, 0444);
module_param_cb(nested, &fact_ops, NULL, 0444);
