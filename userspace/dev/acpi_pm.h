/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ACPI fixed hardware: PM1 event and control block, PM timer, power button.
 */
#ifndef VMRUN_DEV_ACPI_PM_H
#define VMRUN_DEV_ACPI_PM_H

struct machine;

/* Offsets from BOARD_PM_BASE. */
#define ACPI_PM_EVENT	0	/* status, enable: 16 bits each */
#define ACPI_PM_CONTROL	4
#define ACPI_PM_TIMER	8
#define ACPI_PM_SIZE	12

#define ACPI_PM_S5	5	/* SLP_TYP that switches the machine off */

/* Sets machine.pm. */
int acpi_pm_create(struct machine *m);

/* The user presses the power button. */
void acpi_pm_press_power_button(struct machine *m);

#endif
