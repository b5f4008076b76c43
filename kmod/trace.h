/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracepoints vmm:*, named like the kvm:* events that users know. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vmm

#if !defined(VMM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define VMM_TRACE_H

#include <linux/tracepoint.h>

#include "events.h"

#define X(kind, name) TRACE_DEFINE_ENUM(EXIT_##kind);
VMM_EXIT_KINDS(X)
#undef X
TRACE_DEFINE_ENUM(NR_EXIT_KINDS);

#define vmm_exit_kind(kind, name) { EXIT_##kind, #name },

TRACE_EVENT(vmm_entry,
	TP_PROTO(unsigned int vcpu_id, unsigned long rip),
	TP_ARGS(vcpu_id, rip),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(unsigned long, rip)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->rip = rip;
	),
	TP_printk("vcpu %u rip 0x%lx", __entry->vcpu_id, __entry->rip)
);

TRACE_EVENT(vmm_exit,
	TP_PROTO(unsigned int vcpu_id, unsigned int kind, u32 reason, u64 info1, u64 info2),
	TP_ARGS(vcpu_id, kind, reason, info1, info2),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(unsigned int, kind)
		__field(u32, reason)
		__field(u64, info1)
		__field(u64, info2)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->kind = kind;
		__entry->reason = reason;
		__entry->info1 = info1;
		__entry->info2 = info2;
	),
	TP_printk("vcpu %u kind %s reason 0x%x info1 0x%llx info2 0x%llx",
		  __entry->vcpu_id,
		  __print_symbolic(__entry->kind,
				   VMM_EXIT_KINDS(vmm_exit_kind)
				   { NR_EXIT_KINDS, "?" }),
		  __entry->reason, __entry->info1, __entry->info2)
);

TRACE_EVENT(vmm_page_fault,
	TP_PROTO(unsigned int vcpu_id, u64 gpa, u32 access, int result),
	TP_ARGS(vcpu_id, gpa, access, result),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(u64, gpa)
		__field(u32, access)
		__field(int, result)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->gpa = gpa;
		__entry->access = access;
		__entry->result = result;
	),
	TP_printk("vcpu %u gpa 0x%llx access 0x%x result %d", __entry->vcpu_id,
		  __entry->gpa, __entry->access, __entry->result)
);

DECLARE_EVENT_CLASS(vmm_hva_range,
	TP_PROTO(unsigned long start, unsigned long end),
	TP_ARGS(start, end),
	TP_STRUCT__entry(
		__field(unsigned long, start)
		__field(unsigned long, end)
	),
	TP_fast_assign(
		__entry->start = start;
		__entry->end = end;
	),
	TP_printk("hva %#lx-%#lx", __entry->start, __entry->end)
);

DEFINE_EVENT(vmm_hva_range, vmm_unmap_hva_range,
	TP_PROTO(unsigned long start, unsigned long end),
	TP_ARGS(start, end)
);

DEFINE_EVENT(vmm_hva_range, vmm_age_hva,
	TP_PROTO(unsigned long start, unsigned long end),
	TP_ARGS(start, end)
);

TRACE_EVENT(vmm_inj_virq,
	TP_PROTO(unsigned int vcpu_id, unsigned int vector, bool soft),
	TP_ARGS(vcpu_id, vector, soft),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(unsigned int, vector)
		__field(bool, soft)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->vector = vector;
		__entry->soft = soft;
	),
	TP_printk("vcpu %u vector 0x%x%s", __entry->vcpu_id, __entry->vector,
		  __entry->soft ? " soft" : "")
);

TRACE_EVENT(vmm_inj_exception,
	TP_PROTO(unsigned int vcpu_id, u8 vector, bool has_error, u32 error),
	TP_ARGS(vcpu_id, vector, has_error, error),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(u8, vector)
		__field(bool, has_error)
		__field(u32, error)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->vector = vector;
		__entry->has_error = has_error;
		__entry->error = error;
	),
	TP_printk("vcpu %u vector %u error %s0x%x", __entry->vcpu_id, __entry->vector,
		  __entry->has_error ? "" : "none ", __entry->error)
);

TRACE_EVENT(vmm_msr,
	TP_PROTO(unsigned int vcpu_id, bool write, u32 msr, u64 data, int err),
	TP_ARGS(vcpu_id, write, msr, data, err),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(bool, write)
		__field(u32, msr)
		__field(u64, data)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->write = write;
		__entry->msr = msr;
		__entry->data = data;
		__entry->err = err;
	),
	TP_printk("vcpu %u msr_%s 0x%x = 0x%llx%s", __entry->vcpu_id,
		  __entry->write ? "write" : "read", __entry->msr, __entry->data,
		  __entry->err ? " (#GP)" : "")
);

TRACE_EVENT(vmm_cpuid,
	TP_PROTO(unsigned int vcpu_id, u32 function, u32 index, const u32 *regs),
	TP_ARGS(vcpu_id, function, index, regs),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(u32, function)
		__field(u32, index)
		__array(u32, regs, 4)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->function = function;
		__entry->index = index;
		memcpy(__entry->regs, regs, sizeof(__entry->regs));
	),
	TP_printk("vcpu %u func 0x%x idx 0x%x rax 0x%x rbx 0x%x rcx 0x%x rdx 0x%x",
		  __entry->vcpu_id, __entry->function, __entry->index, __entry->regs[0],
		  __entry->regs[1], __entry->regs[2], __entry->regs[3])
);

TRACE_EVENT(vmm_apic_ipi,
	TP_PROTO(unsigned int vcpu_id, u32 icr_low, u32 dest),
	TP_ARGS(vcpu_id, icr_low, dest),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(u32, icr_low)
		__field(u32, dest)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->icr_low = icr_low;
		__entry->dest = dest;
	),
	TP_printk("vcpu %u icr 0x%x dest 0x%x", __entry->vcpu_id, __entry->icr_low,
		  __entry->dest)
);

TRACE_EVENT(vmm_pio,
	TP_PROTO(unsigned int vcpu_id, bool write, u16 port, unsigned int size,
		 unsigned int count),
	TP_ARGS(vcpu_id, write, port, size, count),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(bool, write)
		__field(u16, port)
		__field(unsigned int, size)
		__field(unsigned int, count)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->write = write;
		__entry->port = port;
		__entry->size = size;
		__entry->count = count;
	),
	TP_printk("vcpu %u pio_%s at 0x%x size %u count %u", __entry->vcpu_id,
		  __entry->write ? "write" : "read", __entry->port, __entry->size,
		  __entry->count)
);

TRACE_EVENT(vmm_mmio,
	TP_PROTO(unsigned int vcpu_id, bool write, u64 gpa, unsigned int len),
	TP_ARGS(vcpu_id, write, gpa, len),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(bool, write)
		__field(u64, gpa)
		__field(unsigned int, len)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->write = write;
		__entry->gpa = gpa;
		__entry->len = len;
	),
	TP_printk("vcpu %u mmio %s len %u gpa 0x%llx", __entry->vcpu_id,
		  __entry->write ? "write" : "read", __entry->len, __entry->gpa)
);

TRACE_EVENT(vmm_hypercall,
	TP_PROTO(unsigned int vcpu_id, unsigned long nr, long ret),
	TP_ARGS(vcpu_id, nr, ret),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(unsigned long, nr)
		__field(long, ret)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->nr = nr;
		__entry->ret = ret;
	),
	TP_printk("vcpu %u nr 0x%lx ret %ld", __entry->vcpu_id, __entry->nr, __entry->ret)
);

TRACE_EVENT(vmm_userspace_exit,
	TP_PROTO(unsigned int vcpu_id, u32 reason, int err),
	TP_ARGS(vcpu_id, reason, err),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(u32, reason)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->reason = reason;
		__entry->err = err;
	),
	TP_printk("vcpu %u reason %u (%d)", __entry->vcpu_id, __entry->reason, __entry->err)
);

TRACE_EVENT(vmm_vcpu_wakeup,
	TP_PROTO(unsigned int vcpu_id, u64 ns),
	TP_ARGS(vcpu_id, ns),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(u64, ns)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->ns = ns;
	),
	TP_printk("vcpu %u wait time %llu ns", __entry->vcpu_id, __entry->ns)
);

TRACE_EVENT(vmm_smm_transition,
	TP_PROTO(unsigned int vcpu_id, u64 smbase, bool entering),
	TP_ARGS(vcpu_id, smbase, entering),
	TP_STRUCT__entry(
		__field(unsigned int, vcpu_id)
		__field(u64, smbase)
		__field(bool, entering)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->smbase = smbase;
		__entry->entering = entering;
	),
	TP_printk("vcpu %u: %s SMM, smbase 0x%llx", __entry->vcpu_id,
		  __entry->entering ? "entering" : "leaving", __entry->smbase)
);

#endif /* VMM_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace

#include <trace/define_trace.h>
