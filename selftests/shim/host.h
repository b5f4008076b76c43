/* SPDX-License-Identifier: GPL-2.0-only */
/* The rest of the kernel: what is around processes, their memory, and the CPU. */
#ifndef SHIM_HOST_H
#define SHIM_HOST_H

#include <asm/apicdef.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>
#include <asm/trap_pf.h>
#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <signal.h>

#include "clock.h"
#include "mem.h"

/* <linux/kvm_types.h> */
typedef unsigned long gva_t;
typedef u64 gpa_t;
typedef u64 gfn_t;
typedef unsigned long hva_t;
typedef u64 hpa_t;

/* kmod/compat.h */
#define VMM_COMPAT_H
#define VMM_IMMEDIATE_EXIT		immediate_exit
#define VMM_FOLL_INTERRUPTIBLE		0
#define vmm_hrtimer_setup(t, fn, id, mode)	hrtimer_setup(t, fn, id, mode)
#define compat_need_resched()		false
#define compat_softirq_pending()	false
typedef bool vmm_young_t;

/* Tracepoints are nothing. */
#define TRACE_DEFINE_ENUM(x)		struct shim_nothing
#define TP_PROTO(...)			__VA_ARGS__
#define TP_ARGS(...)
#define TP_STRUCT__entry(...)
#define TP_fast_assign(...)
#define TP_printk(...)
#define TRACE_EVENT(name, proto, args, ...)				\
	static inline void trace_##name(proto) { }			\
	struct shim_nothing

#define DECLARE_EVENT_CLASS(name, proto, ...)	struct shim_nothing
#define DEFINE_EVENT(class, name, proto, args)	TRACE_EVENT(name, PARAMS(proto), args)
#define PARAMS(...)			__VA_ARGS__

/* A static call is the function that the program has for it. */
#define DECLARE_STATIC_CALL(name, func)	extern func name
#define static_call(name)		name

/* Those of module parameters that are called are called by nobody here. */
struct kernel_param;
struct kernel_param_ops {
	int (*set)(const char *val, const struct kernel_param *kp);
	int (*get)(char *buffer, const struct kernel_param *kp);
};

int param_set_uint(const char *val, const struct kernel_param *kp);
int param_get_uint(char *buffer, const struct kernel_param *kp);
int kstrtobool(const char *val, bool *res);
#define sysfs_streq(a, b)		(!strcmp(a, b))
#define sysfs_emit(buffer, ...)		sprintf(buffer, __VA_ARGS__)
#define THIS_MODULE			NULL
#define try_module_get(module)		true
#define module_put(module)		do { } while (0)
#define capable(cap)			true
#define CAP_SYS_BOOT			22
/* Huge pages are not to be executable. */
#define boot_cpu_has_bug(bug)		true
#define cpu_mitigations_off()		false
#define compat_report_itlb_multihit(on)	do { } while (0)

struct preempt_notifier { };
struct kref { };
struct pid;
#define task_pid_nr(task)		((task)->cpu)

/* -------- the process and its memory -------- */

struct mmu_notifier;
struct mmu_notifier_range {
	unsigned long start, end;
	bool blockable;
};

struct mmu_notifier_ops {
	void (*release)(struct mmu_notifier *mn, struct mm_struct *mm);
	int (*invalidate_range_start)(struct mmu_notifier *mn, const struct mmu_notifier_range *range);
	void (*invalidate_range_end)(struct mmu_notifier *mn, const struct mmu_notifier_range *range);
	bool (*clear_flush_young)(struct mmu_notifier *mn, struct mm_struct *mm, unsigned long start,
				  unsigned long end);
	bool (*clear_young)(struct mmu_notifier *mn, struct mm_struct *mm, unsigned long start,
			    unsigned long end);
	bool (*test_young)(struct mmu_notifier *mn, struct mm_struct *mm, unsigned long addr);
};

struct mmu_notifier {
	const struct mmu_notifier_ops *ops;
};

struct mm_struct {
	struct mmu_notifier *notifier;	/* the one that is registered */
};

#define mmu_notifier_range_blockable(range)	((range)->blockable)
#define mmgrab(mm)			((void)(mm))
#define mmdrop(mm)			((void)(mm))

static inline int mmu_notifier_register(struct mmu_notifier *mn, struct mm_struct *mm)
{
	mm->notifier = mn;
	return 0;
}

static inline void mmu_notifier_unregister(struct mmu_notifier *mn, struct mm_struct *mm)
{
	mm->notifier = NULL;
}

/* The host's side of guest memory is the program's. */
#define FOLL_WRITE		1u
#define FOLL_HWPOISON		2u
#define FOLL_NOWAIT		4u
int get_user_pages_fast_only(unsigned long addr, int n, unsigned int flags, struct page **page);
long get_user_pages_unlocked(unsigned long addr, unsigned long n, struct page **page,
			     unsigned int flags);
/* As what the host maps @addr: 1 to 3, 0: not at all. */
unsigned long shim_host_level(struct mm_struct *mm, unsigned long addr);

/* Its tables are a word, which tells the level. */
typedef unsigned long pgd_t, p4d_t, pud_t, pmd_t;

static inline pgd_t *pgd_offset(struct mm_struct *mm, unsigned long addr)
{
	static _Thread_local pgd_t word;

	word = shim_host_level(mm, addr);
	return &word;
}

#define p4d_offset(p, addr)	(p)
#define pud_offset(p, addr)	(p)
#define pmd_offset(p, addr)	(p)
#define pgd_none(v)		(!(v))
#define p4d_none(v)		(!(v))
#define p4d_present(v)		(v)
#define pud_none(v)		(!(v))
#define pud_present(v)		(v)
#define pud_leaf(v)		((v) == 3)
#define pmd_none(v)		(!(v))
#define pmd_present(v)		(v)
#define pmd_leaf(v)		((v) == 2)

/* No memory but pages. */
#define VM_READ			1ul
#define VM_WRITE		2ul
#define VM_IO			4ul
#define VM_PFNMAP		8ul
struct vm_area_struct {
	unsigned long vm_flags;
};

struct vmm_pfnmap {
	unsigned long pfn;
	bool writable, cached;
};

#define mmap_read_lock(mm)		do { } while (0)
#define mmap_read_unlock(mm)		do { } while (0)
#define vma_lookup(mm, addr)		((struct vm_area_struct *)NULL)
#define vmm_follow_pfnmap(vma, addr, write, map)	(-EFAULT)
#define send_sig_mceerr(code, addr, shift, task)	do { } while (0)

/* -------- user memory: racy by nature, so each access is a marked one -------- */

static inline unsigned long shim_copy(void *to, const void *from, unsigned long n)
{
	u8 *t = to;
	const u8 *f = from;

	for (; n; n--)
		WRITE_ONCE(*t++, READ_ONCE(*f++));
	return 0;
}

#define copy_to_user(to, from, n)	shim_copy(to, from, n)
#define copy_from_user(to, from, n)	shim_copy(to, from, n)
#define __copy_to_user(to, from, n)	shim_copy(to, from, n)
#define __copy_from_user(to, from, n)	shim_copy(to, from, n)
#define __get_user(x, ptr)		({ (x) = READ_ONCE(*(ptr)); 0; })
#define __try_cmpxchg_user(ptr, old, new, label)	(!try_cmpxchg(ptr, old, new))
#define user_access_begin(ptr, size)	true
#define user_access_end()		do { } while (0)
#define user_read_access_begin(ptr, len)	((void)(ptr), true)
#define user_read_access_end()		do { } while (0)
#define unsafe_get_user(x, ptr, label)	do { if (0) goto label; (x) = READ_ONCE(*(ptr)); } while (0)
#define unsafe_put_user(x, ptr, label)	do { if (0) goto label; WRITE_ONCE(*(ptr), x); } while (0)
#define pagefault_disable()		do { } while (0)
#define pagefault_enable()		do { } while (0)

/* -------- descriptors, which nobody makes here -------- */

#ifndef O_CLOEXEC
#define O_CLOEXEC		02000000
#endif
int get_unused_fd_flags(unsigned int flags);
void put_unused_fd(unsigned int fd);
void fd_install(unsigned int fd, struct file *file);

/* -------- the run loop's surroundings -------- */

#define compat_guest_mode_work_pending()	signal_pending(current)
#define compat_guest_has_run()		((void)0)
#define compat_guest_mode_work()	(-EINTR)
#define vtime_account_guest_enter()	do { } while (0)
#define vtime_account_guest_exit()	do { } while (0)

#endif /* SHIM_HOST_H */
