/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The MC146818 real-time clock and its CMOS memory.
 */
#ifndef VMRUN_DEV_RTC_H
#define VMRUN_DEV_RTC_H

struct machine;

int rtc_create(struct machine *m);

#endif
