# SPDX-License-Identifier: GPL-2.0-only
# The module's sources in user space. Who includes this sets OUT and, before, CC and SANITIZE as wished; it gets SHIM_CFLAGS,
# SHIM_SOURCES and the directory of headers, which is made once. KHEADERS: a kernel's own headers, for the few files of
# constants and lists that are taken from there.
KMOD := ../../kmod
SHIM := ../shim
KHEADERS ?= $(lastword $(sort $(wildcard /usr/src/linux-headers-*-common)))
INCLUDE := $(OUT)/include

SHIM_TAKEN := linux/list.h linux/rculist.h linux/poison.h
SHIM_TAKEN_X86 := asm/apicdef.h asm/cpufeatures.h asm/msr-index.h asm/processor-flags.h asm/trap_pf.h asm/trapnr.h
SHIM_TAKEN_UAPI := asm/processor-flags.h
# These are user space's own
SHIM_REAL := linux/kvm.h linux/kvm_para.h asm/kvm_para.h linux/types.h linux/const.h linux/stddef.h
SHIM_STUBS := $(filter-out $(SHIM_TAKEN) $(SHIM_TAKEN_X86) $(SHIM_REAL),$(sort \
	linux/container_of.h linux/rcupdate.h asm/barrier.h asm/required-features.h asm/disabled-features.h linux/mem_encrypt.h \
	linux/bits.h $(shell grep -rhoE '^.include <(linux|asm|trace)/[^>]*>' $(KMOD) | sed 's/.*<\(.*\)>/\1/')))

SHIM_SOURCES := $(wildcard $(SHIM)/*.c)
SHIM_HEADERS := $(wildcard $(SHIM)/*.h $(SHIM)/include/linux/*.h $(KMOD)/*.h $(KMOD)/*/*.h)
SHIM_CFLAGS := -std=gnu11 -g -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers \
	-Wno-override-init -Wno-maybe-uninitialized -fno-strict-aliasing -fno-sanitize=shift-base -D_GNU_SOURCE -D__KERNEL__ -pthread -ffunction-sections -fdata-sections \
	-I$(INCLUDE) -I$(SHIM)/include -iquote . -iquote $(SHIM) -iquote $(KMOD) -iquote ../../uapi -iquote ../lib -include $(SHIM)/shim.h

$(INCLUDE)/made: $(SHIM)/shim.mk | $(OUT)
	@test -n "$(KHEADERS)" || { echo "no kernel's headers: set KHEADERS" >&2; exit 1; }
	@mkdir -p $(sort $(dir $(addprefix $(INCLUDE)/,$(SHIM_STUBS) $(SHIM_TAKEN) uapi/asm/x)))
	@for h in $(SHIM_STUBS); do echo '#include "shim.h"' >$(INCLUDE)/$$h; done
	@for h in $(SHIM_TAKEN); do cp $(KHEADERS)/include/$$h $(INCLUDE)/$$h; done
	@for h in $(SHIM_TAKEN_X86); do cp $(KHEADERS)/arch/x86/include/$$h $(INCLUDE)/$$h; done
	@for h in $(SHIM_TAKEN_UAPI); do cp $(KHEADERS)/arch/x86/include/uapi/$$h $(INCLUDE)/uapi/$$h; done
	@touch $@

$(OUT):
	mkdir -p $@
