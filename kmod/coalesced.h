/* SPDX-License-Identifier: GPL-2.0-only */
/* Coalesced MMIO and PIO: zones of a VM and its ring. */
#ifndef VMM_COALESCED_H
#define VMM_COALESCED_H

struct vm;
struct page;
struct kvm_coalesced_mmio_zone;

/* With the VM, before its I/O buses are used. destroy undoes what create reached. */
int coalesced_create(struct vm *vm);
void coalesced_destroy(struct vm *vm);
/* The ring's page; a mapping of it holds a reference of its own. */
struct page *coalesced_page(struct vm *vm);

/* KVM_(UN)REGISTER_COALESCED_MMIO: KVM's errno. Take vm->slots_lock. */
int coalesced_register(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone);
int coalesced_unregister(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone);

#endif /* VMM_COALESCED_H */
