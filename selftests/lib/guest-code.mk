# SPDX-License-Identifier: GPL-2.0-only
# group.mk for groups whose guests are C: functions of the section "guest" run in the guest, so nothing outside it may be
# reached, and there is no red zone (../irq/irq.h).
GROUP_CFLAGS := -fno-pie -no-pie -fno-jump-tables -fno-tree-loop-distribute-patterns -fno-stack-protector -mno-red-zone \
		-fcf-protection=none
include ../lib/group.mk
