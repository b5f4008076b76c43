// SPDX-License-Identifier: GPL-2.0-only
/* An init that ends the machine at once, for "time to init". The guest's command line has reboot=t, a triple fault. */
#include <sys/reboot.h>

int main(void)
{
	return reboot(RB_AUTOBOOT);
}
