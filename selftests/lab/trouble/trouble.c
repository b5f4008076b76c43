// SPDX-License-Identifier: GPL-2.0-only
/* Brings the emulated host into the kinds of trouble that the test runner must notice. */
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/string.h>

static char *action = "";
module_param(action, charp, 0);

static int __init trouble_init(void)
{
	WARN(!strcmp(action, "warn"), "asked for\n");
	if (!strcmp(action, "oops"))
		WRITE_ONCE(*(volatile int *)8, 1);
	if (!strcmp(action, "hang")) {
		local_irq_disable();
		for (;;)
			cpu_relax();
	}
	return -ENODEV;
}
module_init(trouble_init);

MODULE_DESCRIPTION("Trouble on demand, for the lab's own tests");
MODULE_LICENSE("GPL");
