// SPDX-License-Identifier: GPL-2.0-only
/*
 * All ioctls that the module offers, with a valid argument for each (the test fuzz-complete compares the list with the
 * module's), and what else user space may do meanwhile (acts.c).
 */
#include <linux/kvm_para.h>
#include <signal.h>
#include <string.h>

#include "../lib/guest.h"
#include "acts.h"

#define MANY		256

/* -------- of the device -------- */

static void arg_cap(struct target *t, struct arg *a, unsigned int variant)
{
	a->value = KVM_CAP_IRQCHIP + pick(t->g, 245);
}

static void arg_cpuid_out(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_cpuid2 *c = arg_buf(a, sizeof(*c) + 100 * sizeof(c->entries[0]));

	c->nent = 100;
}

static void arg_msr_list(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_msr_list *list = arg_buf(a, sizeof(*list) + 100 * sizeof(list->indices[0]));

	list->nmsrs = 100;
}

static void arg_feature_msrs(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_msrs *m = arg_buf(a, sizeof(*m) + 2 * sizeof(m->entries[0]));

	m->nmsrs = 2;
	m->entries[0].index = 0x8b;
	m->entries[1].index = 0xce;
}

/* KVM_X86_XCOMP_GUEST_SUPP; the value goes to the bitmap's page. */
static void arg_dev_attr(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_device_attr *attr = arg_buf(a, sizeof(*attr));

	attr->addr = (uintptr_t)t->w->bitmap;
}

static void after_vm(struct target *t, struct arg *a, long r)
{
	unsigned int slot = 1 + atomic_fetch_add(&t->w->turn, 1) % (WORLD_VMS - 1);

	if (r < 0)
		return;
	t->w->vm[slot].chips = CHIPS_NONE;
	world_put(&t->w->vm[slot].fd, r);
}

/* -------- of a VM -------- */

static void arg_enable_cap_vm(struct target *t, struct arg *a, unsigned int variant)
{
	static const struct {
		uint32_t cap;
		uint64_t arg;
	} caps[] = {
		{ KVM_CAP_DISABLE_QUIRKS, 1 }, { KVM_CAP_DISABLE_QUIRKS2, 2 }, { KVM_CAP_SPLIT_IRQCHIP, 24 }, { KVM_CAP_X2APIC_API, 3 },
		{ KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_PAUSE }, { KVM_CAP_MSR_PLATFORM_INFO, 1 }, { KVM_CAP_EXCEPTION_PAYLOAD, 1 },
		{ KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1 }, { KVM_CAP_X86_USER_SPACE_MSR, 7 }, { KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1 },
		{ KVM_CAP_MAX_VCPU_ID, 16 }, { KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 3 }, { KVM_CAP_X86_APIC_BUS_CYCLES_NS, 4 },
		{ KVM_CAP_HALT_POLL, 1000 }, { KVM_CAP_EXIT_HYPERCALL, 1 << KVM_HC_MAP_GPA_RANGE }, { KVM_CAP_VM_DISABLE_NX_HUGE_PAGES, 0 },
		{ KVM_CAP_DIRTY_LOG_RING, 65536 }, { KVM_CAP_DIRTY_LOG_RING_ACQ_REL, 65536 },
	};
	struct kvm_enable_cap *c = arg_buf(a, sizeof(*c));
	unsigned int i = (variant + pick(t->g, 18)) % 18;

	c->cap = caps[i].cap;
	c->args[0] = caps[i].arg;
}

static void arg_vcpu_id(struct target *t, struct arg *a, unsigned int variant)
{
	a->value = 6 + pick(t->g, 8);
}

static void after_vcpu(struct target *t, struct arg *a, long r)
{
	unsigned int slot = t->w->nr_vcpus + atomic_fetch_add(&t->w->turn, 1) % (WORLD_VCPUS - t->w->nr_vcpus);
	struct kvm_run *run;

	if (r < 0)
		return;
	run = mmap(NULL, t->w->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, r, 0);
	t->w->vcpu[slot].vm = t->vm;
	if (run != MAP_FAILED)
		atomic_store(&t->w->vcpu[slot].run, run);
	world_put(&t->w->vcpu[slot].fd, r);
}

/* A new slot, one more flag, another place, none at all. */
static void region(struct target *t, struct kvm_userspace_memory_region2 *r, unsigned int variant)
{
	*r = (struct kvm_userspace_memory_region2){
		.slot = 2 + pick(t->g, 4), .guest_phys_addr = 32ull << 20, .memory_size = 1 << 20,
		.userspace_addr = (uintptr_t)(pick(t->g, 2) ? t->w->shared : t->w->anon) + pick(t->g, 512) * PAGE,
	};
	r->guest_phys_addr += (r->slot - 2) << 21;
	switch ((variant + pick(t->g, 8)) % 8) {
	case 1:
		r->flags = KVM_MEM_LOG_DIRTY_PAGES;
		break;
	case 2:
		r->flags = KVM_MEM_READONLY;
		break;
	case 3:
		r->slot |= 1 << 16;
		break;
	case 4:		/* the logged one moves */
		r->slot = LOG_SLOT;
		r->guest_phys_addr = LOG_GPA + (1 << 21);
		r->userspace_addr = (uintptr_t)t->w->anon;
		r->flags = KVM_MEM_LOG_DIRTY_PAGES;
		break;
	case 5:		/* it is no longer logged */
		r->slot = LOG_SLOT;
		r->guest_phys_addr = LOG_GPA;
		r->userspace_addr = (uintptr_t)t->w->anon;
		break;
	case 6:
		r->slot = LOG_SLOT;
		r->memory_size = 0;
		break;
	case 7:
		r->slot = pick(t->g, LOG_SLOT + 1);
		r->memory_size = pick(t->g, 64) * PAGE;
		break;
	}
}

static void arg_region(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_userspace_memory_region2 r;

	region(t, &r, variant);
	memcpy(arg_buf(a, sizeof(struct kvm_userspace_memory_region)), &r, sizeof(struct kvm_userspace_memory_region));
}

static void arg_region2(struct target *t, struct arg *a, unsigned int variant)
{
	region(t, arg_buf(a, sizeof(struct kvm_userspace_memory_region2)), variant);
}

static void arg_get_log(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_dirty_log *log = arg_buf(a, sizeof(*log));

	log->slot = LOG_SLOT;
	log->dirty_bitmap = t->w->bitmap;
}

static void arg_clear_log(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_clear_dirty_log *log = arg_buf(a, sizeof(*log));

	log->slot = LOG_SLOT;
	log->num_pages = (1 << 20) / PAGE;
	log->dirty_bitmap = t->w->bitmap;
}

static void arg_tss(struct target *t, struct arg *a, unsigned int variant)
{
	a->value = 0xfffbd000;
}

static void arg_identity(struct target *t, struct arg *a, unsigned int variant)
{
	*(uint64_t *)arg_buf(a, sizeof(uint64_t)) = 0xfffbc000;
}

static void arg_get_chip(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_irqchip *chip = arg_buf(a, sizeof(*chip));

	chip->chip_id = (variant + pick(t->g, 3)) % 3;
}

static void arg_set_chip(struct target *t, struct arg *a, unsigned int variant)
{
	arg_get_chip(t, a, variant);
	ioctl(t->fd, KVM_GET_IRQCHIP, a->buf);
}

static void arg_line(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_irq_level *line = arg_buf(a, sizeof(*line));

	line->irq = pick(t->g, 24);
	line->level = pick(t->g, 2);
}

static void arg_routing(struct target *t, struct arg *a, unsigned int variant)
{
	unsigned int n = pick(t->g, 25), i;
	struct kvm_irq_routing *table = arg_buf(a, sizeof(*table) + n * sizeof(table->entries[0]));

	table->nr = n;
	for (i = 0; i < n; i++) {
		struct kvm_irq_routing_entry *e = &table->entries[i];

		e->gsi = i;
		if (pick(t->g, 2)) {
			e->type = KVM_IRQ_ROUTING_MSI;
			e->u.msi.address_lo = 0xfee00000 | pick(t->g, 3) << 12;
			e->u.msi.data = 0x30 + i + (pick(t->g, 2) << 15);
		} else {
			e->type = KVM_IRQ_ROUTING_IRQCHIP;
			e->u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
			e->u.irqchip.pin = i % 24;
		}
	}
}

static void arg_msi(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_msi *msi = arg_buf(a, sizeof(*msi));

	msi->address_lo = 0xfee00000 | pick(t->g, 4) << 12 | pick(t->g, 4) << 2;
	msi->data = 0x40 + pick(t->g, 64) + (pick(t->g, 8) << 8);
}

static void arg_irqfd(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_irqfd *irqfd = arg_buf(a, sizeof(*irqfd));

	irqfd->fd = t->w->event[pick(t->g, WORLD_EVENTS)];
	irqfd->gsi = pick(t->g, 24);
	switch ((variant + pick(t->g, 3)) % 3) {
	case 1:
		irqfd->flags = KVM_IRQFD_FLAG_RESAMPLE;
		irqfd->resamplefd = t->w->event[(1 + pick(t->g, WORLD_EVENTS)) % WORLD_EVENTS];
		break;
	case 2:
		irqfd->flags = KVM_IRQFD_FLAG_DEASSIGN;
		break;
	}
}

static void arg_ioeventfd(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_ioeventfd *e = arg_buf(a, sizeof(*e));

	e->fd = t->w->event[pick(t->g, WORLD_EVENTS)];
	e->addr = 0x10000000 + pick(t->g, 4) * PAGE;
	e->len = pick(t->g, 2) ? 4 : 0;
	switch ((variant + pick(t->g, 4)) % 4) {
	case 1:
		e->flags = KVM_IOEVENTFD_FLAG_PIO;
		e->addr = 0x510;
		e->len = 2;
		break;
	case 2:
		e->flags = KVM_IOEVENTFD_FLAG_DATAMATCH;
		e->len = 4;
		e->datamatch = pick(t->g, 2);
		break;
	case 3:
		e->flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
		break;
	}
}

static void arg_zone(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_coalesced_mmio_zone *z = arg_buf(a, sizeof(*z));

	z->pio = (variant + pick(t->g, 2)) % 2;
	z->addr = z->pio ? 0x3f8 : 0xa0000 + pick(t->g, 4) * PAGE;
	z->size = z->pio ? 8 : PAGE;
}

static void arg_pit_config(struct target *t, struct arg *a, unsigned int variant)
{
	arg_buf(a, sizeof(struct kvm_pit_config));
}

static void arg_reinject(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_reinject_control *c = arg_buf(a, sizeof(*c));

	c->pit_reinject = pick(t->g, 2);
}

static void arg_mmu_pages(struct target *t, struct arg *a, unsigned int variant)
{
	a->value = 1024;
}

static void arg_create_device(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_create_device *d = arg_buf(a, sizeof(*d));

	d->type = KVM_DEV_TYPE_VFIO;
}

static void arg_tsc_khz(struct target *t, struct arg *a, unsigned int variant)
{
	long khz = ioctl(t->fd, KVM_GET_TSC_KHZ, 0);

	a->value = khz > 0 ? khz : 1000000;
}

static void arg_msr_filter(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_msr_filter *f = arg_buf(a, sizeof(*f));
	unsigned int i, n = 1 + pick(t->g, 4);

	f->flags = KVM_MSR_FILTER_DEFAULT_ALLOW + pick(t->g, 2);
	for (i = 0; i < n; i++) {
		struct kvm_msr_filter_range *r = &f->ranges[i];

		r->flags = 1 + pick(t->g, 3);
		r->base = pick(t->g, 2) ? 0xc0000080 : pick(t->g, 2) * 0x800;
		r->nmsrs = 1 + pick(t->g, 512);
		r->bitmap = t->w->bitmap;
	}
}

static void after_stats(struct target *t, struct arg *a, long r)
{
	if (r >= 0)
		world_put(&t->w->stats[atomic_fetch_add(&t->w->turn, 1) % WORLD_STATS], r);
}

/* -------- of a vCPU -------- */

/* What makes the guest do something; it is KVM_RUN's own row that runs it. */
static void arg_run(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_run *run = t->w->vcpu[t->vcpu].run;
	uint8_t immediate = one_in(t->g, 4);

	if (run)
		poke(&run->immediate_exit, &immediate, 1);
	run_timer_arm(t->w->run_usec / 2 + pick(t->g, t->w->run_usec));
}

static void after_run(struct target *t, struct arg *a, long r)
{
	run_timer_arm(0);
}

static void arg_xsave2(struct target *t, struct arg *a, unsigned int variant)
{
	int size = ioctl(t->w->dev, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);

	arg_buf(a, size > 4096 ? size : 4096);
}

static void arg_msrs(struct target *t, struct arg *a, unsigned int variant)
{
	unsigned int n = 1 + pick(t->g, 8), i;
	struct kvm_msrs *m = arg_buf(a, sizeof(*m) + n * sizeof(m->entries[0]));

	m->nmsrs = n;
	for (i = 0; i < n; i++)
		m->entries[i].index = t->w->msr[pick(t->g, t->w->nr_msrs)];
}

static void arg_set_msrs(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_msrs *m;
	unsigned int i;

	arg_msrs(t, a, variant);
	m = a->buf;
	ioctl(t->fd, KVM_GET_MSRS, m);
	if (t->g->valid)
		return;
	for (i = 0; i < m->nmsrs; i++)
		if (pick(t->g, 2))
			m->entries[i].data = interesting(t->g, t->w, m->entries[i].data);
}

static void arg_cpuid_old(struct target *t, struct arg *a, unsigned int variant)
{
	unsigned int n = pick(t->g, 8), i;
	struct kvm_cpuid *c = arg_buf(a, sizeof(*c) + n * sizeof(c->entries[0]));

	c->nent = n;
	for (i = 0; i < n; i++)
		c->entries[i].function = pick(t->g, 2) ? i : 0x80000000 + i;
}

/* All that is offered, a little different. */
static void arg_cpuid(struct target *t, struct arg *a, unsigned int variant)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[MANY];
	} offered;
	struct kvm_cpuid2 *c;

	if (!offered.head.nent) {
		offered.head.nent = MANY;
		if (ioctl(t->w->dev, KVM_GET_SUPPORTED_CPUID, &offered))
			offered.head.nent = 0;
	}
	c = arg_buf(a, sizeof(*c) + offered.head.nent * sizeof(c->entries[0]));
	memcpy(c, &offered, a->size);
}

static void arg_lapic(struct target *t, struct arg *a, unsigned int variant)
{
	arg_buf(a, sizeof(struct kvm_lapic_state));
	ioctl(t->fd, KVM_GET_LAPIC, a->buf);
}

static void arg_mp_state(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_mp_state *mp = arg_buf(a, sizeof(*mp));

	mp->mp_state = pick(t->g, 6);
}

static void arg_tpr(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_tpr_access_ctl *c = arg_buf(a, sizeof(*c));

	c->enabled = pick(t->g, 2);
}

static void arg_vapic(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_vapic_addr *v = arg_buf(a, sizeof(*v));

	v->vapic_addr = 0x6000 + pick(t->g, 8);
}

static void arg_interrupt(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_interrupt *i = arg_buf(a, sizeof(*i));

	i->irq = 0x20 + pick(t->g, 64);
}

/* What is settled in the buffer must not be read from other memory, of unknown contents. */
static void settle_pointer(struct arg *a)
{
	if (a->value != (uintptr_t)a->buf)
		a->value = (uintptr_t)a->end;
}

/* What the run timer sends stays open, or KVM_RUN might never end. */
static void settle_sigmask(struct arg *a)
{
	struct kvm_signal_mask *mask = a->buf;

	mask->sigset[(SIGUSR1 - 1) / 8] &= ~(1u << (SIGUSR1 - 1) % 8);
	settle_pointer(a);
}

static void arg_sigmask(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_signal_mask *mask = arg_buf(a, sizeof(*mask) + 8);

	mask->len = 8;
	memset(mask->sigset, 0, 8);
	mask->sigset[pick(t->g, 8)] = 1u << pick(t->g, 8);
	settle_sigmask(a);
}

static void arg_translate(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_translation *tr = arg_buf(a, sizeof(*tr));

	tr->linear_address = 0x8000;
}

/* Breakpoints in code end QEMU's emulation (fuzz-guest.c, clear_events()): there they are all on data. */
static uint64_t settle_dr7(uint64_t dr7)
{
	return host_is_tcg() ? dr7 | 0x11110000 : dr7;
}

static void settle_debug(struct arg *a)
{
	struct kvm_guest_debug *d = a->buf;

	d->arch.debugreg[7] = settle_dr7(d->arch.debugreg[7]);
	settle_pointer(a);
}

static void settle_debugregs(struct arg *a)
{
	struct kvm_debugregs *d = a->buf;

	d->dr7 = settle_dr7(d->dr7);
	settle_pointer(a);
}

static void arg_debug(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_guest_debug *d = arg_buf(a, sizeof(*d));
	unsigned int i;

	d->control = KVM_GUESTDBG_ENABLE | pick(t->g, 4) << 16 | pick(t->g, 2) << 1;
	for (i = 0; i < 4; i++)
		d->arch.debugreg[i] = 0x8000 + pick(t->g, 64);
	d->arch.debugreg[7] = pick(t->g, 2) ? 0x400 : 0x455;
	settle_debug(a);
}

static void arg_setup_mce(struct target *t, struct arg *a, unsigned int variant)
{
	*(uint64_t *)arg_buf(a, sizeof(uint64_t)) = 1 + pick(t->g, 32) + (pick(t->g, 2) << 8) + (pick(t->g, 2) << 10);
}

static void arg_set_mce(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_x86_mce *mce = arg_buf(a, sizeof(*mce));

	mce->bank = pick(t->g, 4);
	mce->status = 1ull << 63 | (uint64_t)pick(t->g, 2) << 61;
	mce->mcg_status = pick(t->g, 8);
}

static void arg_tsc_attr(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_device_attr *attr = arg_buf(a, sizeof(*attr));

	attr->group = KVM_VCPU_TSC_CTRL;
	attr->attr = KVM_VCPU_TSC_OFFSET;
	attr->addr = (uintptr_t)t->w->bitmap;
}

static void arg_prefault(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_pre_fault_memory *p = arg_buf(a, sizeof(*p));

	p->gpa = pick(t->g, 1024) * PAGE;
	p->size = (1 + pick(t->g, 512)) * PAGE;
}

static void arg_enable_cap_vcpu(struct target *t, struct arg *a, unsigned int variant)
{
	struct kvm_enable_cap *c = arg_buf(a, sizeof(*c));

	c->cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID;
	c->args[0] = pick(t->g, 2);
}

/* -------- the table -------- */

#define DEV(nr, ...)	{ .name = #nr, .cmd = nr, .on = ON_DEV, __VA_ARGS__ }
#define VM(nr, ...)	{ .name = #nr, .cmd = nr, .on = ON_VM, __VA_ARGS__ }
#define VCPU(nr, ...)	{ .name = #nr, .cmd = nr, .on = ON_VCPU, __VA_ARGS__ }
#define ACT(fn, ...)	{ .name = #fn, .on = ON_NOTHING, .act = act_##fn, __VA_ARGS__ }

const struct row rows[] = {
	DEV(KVM_GET_API_VERSION),
	DEV(KVM_CREATE_VM, .after = after_vm, .one_in = 8),
	DEV(KVM_CHECK_EXTENSION, .valid = arg_cap),
	DEV(KVM_GET_VCPU_MMAP_SIZE),
	DEV(KVM_GET_SUPPORTED_CPUID, .valid = arg_cpuid_out, .one_in = 4),
	DEV(KVM_GET_EMULATED_CPUID, .valid = arg_cpuid_out),
	DEV(KVM_GET_MSR_INDEX_LIST, .valid = arg_msr_list),
	DEV(KVM_GET_MSR_FEATURE_INDEX_LIST, .valid = arg_msr_list),
	DEV(KVM_GET_MSRS, .valid = arg_feature_msrs),
	DEV(KVM_X86_GET_MCE_CAP_SUPPORTED),
	DEV(KVM_GET_DEVICE_ATTR, .valid = arg_dev_attr),
	DEV(KVM_HAS_DEVICE_ATTR, .valid = arg_dev_attr),

	VM(KVM_CHECK_EXTENSION, .valid = arg_cap),
	VM(KVM_ENABLE_CAP, .valid = arg_enable_cap_vm, .variants = 18),
	VM(KVM_CREATE_VCPU, .valid = arg_vcpu_id, .after = after_vcpu, .one_in = 4),
	VM(KVM_SET_USER_MEMORY_REGION, .valid = arg_region, .variants = 8),
	VM(KVM_SET_USER_MEMORY_REGION2, .valid = arg_region2, .variants = 8),
	VM(KVM_GET_DIRTY_LOG, .valid = arg_get_log),
	VM(KVM_CLEAR_DIRTY_LOG, .valid = arg_clear_log),
	VM(KVM_RESET_DIRTY_RINGS),
	VM(KVM_SET_TSS_ADDR, .valid = arg_tss),
	VM(KVM_SET_IDENTITY_MAP_ADDR, .valid = arg_identity),
	VM(KVM_CREATE_IRQCHIP),
	VM(KVM_GET_IRQCHIP, .valid = arg_get_chip, .variants = 3),
	VM(KVM_SET_IRQCHIP, .valid = arg_set_chip, .variants = 3),
	VM(KVM_IRQ_LINE, .valid = arg_line),
	VM(KVM_IRQ_LINE_STATUS, .valid = arg_line),
	VM(KVM_SET_GSI_ROUTING, .valid = arg_routing),
	VM(KVM_SIGNAL_MSI, .valid = arg_msi),
	VM(KVM_IRQFD, .valid = arg_irqfd, .variants = 3, .prelude = KVM_IRQFD),
	VM(KVM_IOEVENTFD, .valid = arg_ioeventfd, .variants = 4, .prelude = KVM_IOEVENTFD),
	VM(KVM_REGISTER_COALESCED_MMIO, .valid = arg_zone, .variants = 2),
	VM(KVM_UNREGISTER_COALESCED_MMIO, .valid = arg_zone, .variants = 2, .prelude = KVM_REGISTER_COALESCED_MMIO),
	VM(KVM_CREATE_PIT),
	VM(KVM_CREATE_PIT2, .valid = arg_pit_config),
	VM(KVM_GET_PIT),
	VM(KVM_SET_PIT, .from = KVM_GET_PIT),
	VM(KVM_GET_PIT2),
	VM(KVM_SET_PIT2, .from = KVM_GET_PIT2),
	VM(KVM_REINJECT_CONTROL, .valid = arg_reinject),
	VM(KVM_SET_BOOT_CPU_ID),
	VM(KVM_SET_NR_MMU_PAGES, .valid = arg_mmu_pages),
	VM(KVM_CREATE_DEVICE, .valid = arg_create_device),
	VM(KVM_GET_CLOCK),
	VM(KVM_SET_CLOCK, .from = KVM_GET_CLOCK),
	VM(KVM_SET_TSC_KHZ, .valid = arg_tsc_khz),
	VM(KVM_GET_TSC_KHZ),
	VM(KVM_X86_SET_MSR_FILTER, .valid = arg_msr_filter, .one_in = 2),
	VM(KVM_GET_STATS_FD, .after = after_stats, .one_in = 4),

	VCPU(KVM_RUN, .valid = arg_run, .after = after_run),
	VCPU(KVM_GET_REGS),
	VCPU(KVM_SET_REGS, .from = KVM_GET_REGS),
	VCPU(KVM_GET_SREGS),
	VCPU(KVM_SET_SREGS, .from = KVM_GET_SREGS),
	VCPU(KVM_GET_SREGS2),
	VCPU(KVM_SET_SREGS2, .from = KVM_GET_SREGS2),
	VCPU(KVM_GET_FPU),
	VCPU(KVM_SET_FPU, .from = KVM_GET_FPU),
	VCPU(KVM_GET_XSAVE),
	VCPU(KVM_GET_XSAVE2, .valid = arg_xsave2),
	VCPU(KVM_SET_XSAVE, .from = KVM_GET_XSAVE),
	VCPU(KVM_GET_XCRS),
	VCPU(KVM_SET_XCRS, .from = KVM_GET_XCRS),
	VCPU(KVM_GET_DEBUGREGS),
	VCPU(KVM_SET_DEBUGREGS, .from = KVM_GET_DEBUGREGS, .settle = settle_debugregs),
	VCPU(KVM_GET_VCPU_EVENTS),
	VCPU(KVM_SET_VCPU_EVENTS, .from = KVM_GET_VCPU_EVENTS),
	VCPU(KVM_GET_MSRS, .valid = arg_msrs),
	VCPU(KVM_SET_MSRS, .valid = arg_set_msrs),
	VCPU(KVM_SET_CPUID, .valid = arg_cpuid_old),
	VCPU(KVM_SET_CPUID2, .valid = arg_cpuid),
	VCPU(KVM_GET_CPUID2, .valid = arg_cpuid_out),
	VCPU(KVM_GET_MP_STATE),
	VCPU(KVM_SET_MP_STATE, .valid = arg_mp_state),
	VCPU(KVM_GET_LAPIC),
	VCPU(KVM_SET_LAPIC, .valid = arg_lapic),
	VCPU(KVM_TPR_ACCESS_REPORTING, .valid = arg_tpr),
	VCPU(KVM_SET_VAPIC_ADDR, .valid = arg_vapic),
	VCPU(KVM_INTERRUPT, .valid = arg_interrupt),
	VCPU(KVM_NMI),
	VCPU(KVM_SMI),
	VCPU(KVM_SET_SIGNAL_MASK, .valid = arg_sigmask, .settle = settle_sigmask),
	VCPU(KVM_TRANSLATE, .valid = arg_translate),
	VCPU(KVM_SET_GUEST_DEBUG, .valid = arg_debug, .settle = settle_debug),
	VCPU(KVM_X86_SETUP_MCE, .valid = arg_setup_mce),
	VCPU(KVM_X86_SET_MCE, .valid = arg_set_mce),
	VCPU(KVM_SET_TSC_KHZ, .valid = arg_tsc_khz),
	VCPU(KVM_GET_TSC_KHZ),
	VCPU(KVM_KVMCLOCK_CTRL),
	VCPU(KVM_HAS_DEVICE_ATTR, .valid = arg_tsc_attr),
	VCPU(KVM_GET_DEVICE_ATTR, .valid = arg_tsc_attr),
	VCPU(KVM_SET_DEVICE_ATTR, .valid = arg_tsc_attr),
	VCPU(KVM_PRE_FAULT_MEMORY, .valid = arg_prefault),
	VCPU(KVM_ENABLE_CAP, .valid = arg_enable_cap_vcpu),
	VCPU(KVM_GET_STATS_FD, .after = after_stats, .one_in = 4),
	/* More often than the others */
	VCPU(KVM_RUN, .valid = arg_run, .after = after_run),
	VCPU(KVM_RUN, .valid = arg_run, .after = after_run),
	VCPU(KVM_RUN, .valid = arg_run, .after = after_run),
	VCPU(KVM_RUN, .valid = arg_run, .after = after_run),
	VCPU(KVM_SET_VCPU_EVENTS, .from = KVM_GET_VCPU_EVENTS),
	VCPU(KVM_SET_SREGS2, .from = KVM_GET_SREGS2),
	VM(KVM_SIGNAL_MSI, .valid = arg_msi),

	ACT(code), ACT(code), ACT(code), ACT(code),
	ACT(scribble), ACT(scribble), ACT(scribble_run), ACT(scribble_run), ACT(scribble_ring),
	ACT(madvise), ACT(mprotect), ACT(munmap), ACT(mremap), ACT(fallocate), ACT(truncate),
	ACT(fork, .one_in = 16), ACT(close_vcpu), ACT(close_vm), ACT(new_vm, .one_in = 8),
	ACT(share), ACT(share), ACT(new_event), ACT(event), ACT(event), ACT(read_stats), ACT(map_vcpu), ACT(yield), ACT(immediate_exit),
};

const unsigned int nr_rows = sizeof(rows) / sizeof(rows[0]);
