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

struct preempt_notifier { };
struct kref { };

struct pid;
struct mm_struct {
	struct mmu_notifier *notifier;	/* one */
};

struct mmu_notifier_ops;
struct mmu_notifier {
	const struct mmu_notifier_ops *ops;
};

struct mmu_notifier_range {
	unsigned long start, end;
	bool blockable;
};

#endif /* SHIM_HOST_H */
