# SPDX-License-Identifier: GPL-2.0-only
# The programs of a test group: GROUP-*.c of the directory that includes this, each linked statically with lib/. Run them
# where /dev/vmm (or --device) is. The including file may set GROUP_CFLAGS (guest-code.mk) and GROUP_LIB, more sources for each.
OUT := .
GROUP := $(notdir $(CURDIR))
CFLAGS := -O2 -g -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers -D_GNU_SOURCE -pthread -static \
	  -fno-toplevel-reorder $(GROUP_CFLAGS)
LIB := $(wildcard ../lib/*.c) $(GROUP_LIB)
PROGS := $(patsubst %.c,$(OUT)/%,$(wildcard $(GROUP)-*.c))

all: $(PROGS)

$(OUT)/$(GROUP)-%: $(GROUP)-%.c $(LIB) $(wildcard *.h ../lib/*.h)
	@rm -f $@	# the last one must not be taken for this one
	$(CC) $(CFLAGS) -o $@ $< $(LIB)

clean:
	rm -f $(PROGS)

.PHONY: all clean
