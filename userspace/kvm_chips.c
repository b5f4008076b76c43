// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm.h"
#include "stream.h"
#include "util/list.h"

#define KVM_CHIPS 3

struct kvm_chips {
	struct kvm_irqchip chip[KVM_CHIPS];
	struct kvm_pit_state2 pit;
};

static int kvm_chips_get(const struct kvm *kvm, struct kvm_chips *chips)
{
	int err;

	for (uint32_t i = 0; i < KVM_CHIPS; i++) {
		chips->chip[i].chip_id = i;
		err = kvm_ioctl(kvm->vm, KVM_GET_IRQCHIP, &chips->chip[i]);
		if (err < 0)
			return err;
	}
	return kvm_ioctl(kvm->vm, KVM_GET_PIT2, &chips->pit);
}

int kvm_chips_capture(const struct kvm *kvm, struct kvm_chips **chips)
{
	int err;

	*chips = calloc(1, sizeof(**chips));
	if (!*chips)
		return -ENOMEM;
	err = kvm_chips_get(kvm, *chips);
	if (err < 0) {
		kvm_chips_free(*chips);
		*chips = NULL;
		return err;
	}
	return 0;
}

int kvm_chips_reset(const struct kvm *kvm, const struct kvm_chips *chips)
{
	int err;

	for (uint32_t i = 0; i < KVM_CHIPS; i++) {
		struct kvm_irqchip chip = chips->chip[i];

		err = kvm_ioctl(kvm->vm, KVM_SET_IRQCHIP, &chip);
		if (err < 0)
			return err;
	}
	err = kvm_ioctl(kvm->vm, KVM_SET_PIT2, (void *)&chips->pit);
	return err < 0 ? err : 0;
}

void kvm_chips_free(struct kvm_chips *chips)
{
	free(chips);
}

int kvm_chips_save(const struct kvm *kvm, struct stream *s)
{
	struct kvm_chips chips = { 0 };
	int err = kvm_chips_get(kvm, &chips);

	if (err < 0)
		return err;
	for (uint32_t i = 0; i < KVM_CHIPS; i++)
		stream_put_block(s, &chips.chip[i], sizeof(chips.chip[i]));
	stream_put_block(s, &chips.pit, sizeof(chips.pit));
	return stream_error(s);
}

static int kvm_chips_read(struct kvm_chips *chips, struct stream *s)
{
	for (uint32_t i = 0; i < KVM_CHIPS; i++) {
		stream_get_block(s, &chips->chip[i], sizeof(chips->chip[i]));
		if (chips->chip[i].chip_id != i)
			stream_fail(s, -EPROTO);
	}
	stream_get_block(s, &chips->pit, sizeof(chips->pit));
	return stream_error(s);
}

const char *kvm_chips_differ(struct stream *a, struct stream *b)
{
	struct kvm_chips x = { 0 }, y = { 0 };

	if (kvm_chips_read(&x, a) || kvm_chips_read(&y, b))
		return "length";
	for (unsigned int i = 0; i < ARRAY_SIZE(x.pit.channels); i++)
		x.pit.channels[i].count_load_time =
			y.pit.channels[i].count_load_time;
	if (memcmp(&x.pit, &y.pit, sizeof(x.pit)))
		return "PIT";
	return memcmp(x.chip, y.chip, sizeof(x.chip)) ? "interrupt controllers" :
							NULL;
}

int kvm_chips_load(const struct kvm *kvm, struct stream *s)
{
	struct kvm_chips chips;

	int err = kvm_chips_read(&chips, s);

	return err ? err : kvm_chips_reset(kvm, &chips);
}
