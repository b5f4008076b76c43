// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM's binary statistics files (api.rst 4.133): header, id, descriptors,
 * values, all laid out from the lists of stats.h.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "stats.h"
#include "vmm.h"

#define STATS_NAME	48

/*
 * struct kvm_stats_desc as user space reads it; whether the kernel's own has
 * the name inside depends on its version.
 */
struct stats_desc {
	u32 flags;
	s16 exponent;
	u16 size;
	u32 offset;
	u32 bucket_size;
	char name[STATS_NAME];
};

static_assert(offsetof(struct stats_desc, name) == offsetof(struct kvm_stats_desc, name));

#define DESC(type_, name_, offset_) { \
	.flags = (type_) | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10, \
	.size = 1, .offset = (offset_), .name = (name_) }
#define NSEC_DESC(type_, n_, name_, offset_) { \
	.flags = (type_) | KVM_STATS_UNIT_SECONDS | KVM_STATS_BASE_POW10, \
	.exponent = -9, .size = (n_), .offset = (offset_), .name = (name_) }
#define COUNTER(name, offset) DESC(KVM_STATS_TYPE_CUMULATIVE, name, offset)
#define GAUGE(name, offset) DESC(KVM_STATS_TYPE_INSTANT, name, offset)

#define S(field) COUNTER(#field, offsetof(struct vcpu_stats, field)),
#define T(field) NSEC_DESC(KVM_STATS_TYPE_CUMULATIVE, 1, #field, \
			   offsetof(struct vcpu_stats, field)),
#define H(field) NSEC_DESC(KVM_STATS_TYPE_LOG_HIST, VMM_HIST_BUCKETS, #field, \
			   offsetof(struct vcpu_stats, hist.field)),
#define X(kind, name) \
	COUNTER("exit_" #name, offsetof(struct vcpu_stats, exit_kinds[EXIT_##kind])),
static const struct stats_desc vcpu_descs[] = {
	VMM_VCPU_STATS(S) VMM_VCPU_TIMES(T) VMM_VCPU_HISTOGRAMS(H) VMM_EXIT_KINDS(X)
};

#undef X
#undef H
#undef T
#undef S

#define S(field) COUNTER(#field, offsetof(struct vm_stats, field)),
#define G(field) GAUGE(#field, offsetof(struct vm_stats, field)),
static const struct stats_desc vm_descs[] = { VMM_VM_COUNTERS(S) VMM_VM_GAUGES(G) };
#undef G
#undef S

/* Every value has its descriptor, and every histogram. */
static_assert(ARRAY_SIZE(vcpu_descs) * sizeof(u64) ==
	      sizeof(struct vcpu_stats) - sizeof(struct vcpu_hists) +
	      sizeof(struct vcpu_hists) / VMM_HIST_BUCKETS);
static_assert(ARRAY_SIZE(vm_descs) * sizeof(u64) == sizeof(struct vm_stats));

/* One open statistics file; holds a reference of the VM. */
struct stats_file {
	struct vm *vm;
	const struct stats_desc *descs;
	unsigned int nr;
	const void *values;
	size_t values_size;
	struct kvm_stats_header header;
	char id[STATS_NAME];
};

/* Copies the part of [@start, @start + @size) that the read covers. */
static int copy_part(char __user **buf, size_t *left, loff_t *pos, loff_t start,
		     const void *data, size_t size)
{
	size_t skip, n;

	if (!*left || *pos < start || *pos >= start + size)
		return 0;
	skip = *pos - start;
	n = min(*left, size - skip);
	if (copy_to_user(*buf, data + skip, n))
		return -EFAULT;
	*buf += n;
	*left -= n;
	*pos += n;
	return 0;
}

static ssize_t stats_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	struct stats_file *f = file->private_data;
	size_t left = len;
	loff_t at = *pos;

	if (copy_part(&buf, &left, &at, 0, &f->header, sizeof(f->header)) ||
	    copy_part(&buf, &left, &at, f->header.id_offset, f->id, STATS_NAME) ||
	    copy_part(&buf, &left, &at, f->header.desc_offset, f->descs,
		      f->nr * sizeof(*f->descs)) ||
	    copy_part(&buf, &left, &at, f->header.data_offset, f->values, f->values_size))
		return -EFAULT;
	*pos = at;
	return len - left;
}

static int stats_release(struct inode *inode, struct file *file)
{
	struct stats_file *f = file->private_data;

	vm_put(f->vm);
	kfree(f);
	return 0;
}

static const struct file_operations stats_fops = {
	.owner = THIS_MODULE,
	.read = stats_read,
	.release = stats_release,
	.llseek = noop_llseek,
};

static int stats_open(struct stats_file *f, const char *name)
{
	struct file *file;
	int fd;

	f->header.name_size = STATS_NAME;
	f->header.num_desc = f->nr;
	f->header.id_offset = sizeof(f->header);
	f->header.desc_offset = f->header.id_offset + STATS_NAME;
	f->header.data_offset = f->header.desc_offset + f->nr * sizeof(*f->descs);
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	file = anon_inode_getfile(name, &stats_fops, f, O_RDONLY);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	file->f_mode |= FMODE_PREAD;
	vm_get(f->vm);
	fd_install(fd, file);
	return fd;
}

int vm_stats_fd(struct vm *vm)
{
	struct stats_file *f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	int fd;

	if (!f)
		return -ENOMEM;
	f->vm = vm;
	f->descs = vm_descs;
	f->nr = ARRAY_SIZE(vm_descs);
	f->values = &vm->stats;
	f->values_size = sizeof(vm->stats);
	strscpy(f->id, vm->stats_id, sizeof(f->id));
	fd = stats_open(f, "kvm-vm-stats");
	if (fd < 0)
		kfree(f);
	return fd;
}

int vcpu_stats_fd(struct vcpu *vcpu)
{
	struct stats_file *f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	int fd;

	if (!f)
		return -ENOMEM;
	f->vm = vcpu->vm;
	f->descs = vcpu_descs;
	f->nr = ARRAY_SIZE(vcpu_descs);
	f->values = &vcpu->stats;
	f->values_size = sizeof(vcpu->stats);
	snprintf(f->id, sizeof(f->id), "%s/vcpu-%u", vcpu->vm->stats_id, vcpu->id);
	fd = stats_open(f, "kvm-vcpu-stats");
	if (fd < 0)
		kfree(f);
	return fd;
}
