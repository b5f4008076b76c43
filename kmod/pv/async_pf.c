// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asynchronous page faults: while a work item fetches a page that the host has
 * elsewhere, the guest runs another of its tasks, or halts as if by HLT.
 *
 * A job belongs to the vCPU thread and is on apf->jobs; when its page has come
 * the worker puts it on apf->done, too, and the vCPU thread takes it from
 * there, tells the guest and frees it. A job that the vCPU gives up before is
 * only marked, and the worker frees it: nobody ever waits for a worker, which
 * may itself wait for user space (userfaultfd). Until then the job keeps the
 * VM, so that there is a lock to take, and the module.
 */
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "pv/pv.h"
#include "regs_access.h"

#define APF_ENABLED	(KVM_ASYNC_PF_ENABLED | KVM_ASYNC_PF_DELIVERY_AS_INT)
#define APF_RESERVED	GENMASK_ULL(5, 4)
#define APF_ADDRESS	(~GENMASK_ULL(5, 0))
#define APF_WAKE_ALL	(~0u)
#define NO_GFN		(~(gfn_t)0)

struct apf_job {
	struct work_struct work;
	struct vcpu *vcpu;
	struct list_head link;		/* (v) apf->jobs */
	struct list_head done_link;	/* lock: apf->done */
	gfn_t gfn;			/* NO_GFN: no page, all tasks are to look */
	hva_t hva;
	u32 token;
	bool write;
	bool told;			/* (v) the guest waits for the token */
	bool done;			/* lock */
	bool given_up;			/* lock */
};

/*
 * Workers wait as long as their pages take. Below the workqueue's own limit each
 * job has one at once, whatever the pages of other VMs do.
 */
#define APF_MAX_WORKERS	128

static struct workqueue_struct *apf_wq;
static atomic_t apf_workers;

int pv_apf_module_init(void)
{
	apf_wq = alloc_workqueue("vmm-async-pf", WQ_UNBOUND, 0);
	return apf_wq ? 0 : -ENOMEM;
}

/* Workers have let go of the module by now, but may not have returned. */
void pv_apf_module_exit(void)
{
	destroy_workqueue(apf_wq);
}

static bool apf_on(const struct pv_apf *apf)
{
	return (apf->en & APF_ENABLED) == APF_ENABLED;
}

static void page_came(struct vcpu *vcpu)
{
	vcpu_request(vcpu, REQ_APF);
	vcpu_kick(vcpu);
}

/* -------- the worker -------- */

static void fetch_page(struct mm_struct *mm, const struct apf_job *job)
{
	int locked = 1;

	if (!mmget_not_zero(mm))
		return;
	mmap_read_lock(mm);
	/* Whether it came shows when the guest tries again. */
	vmm_fault_in_remote(mm, job->hva, job->write, &locked);
	if (locked)
		mmap_read_unlock(mm);
	mmput(mm);
}

static void apf_work(struct work_struct *work)
{
	struct apf_job *job = container_of(work, struct apf_job, work);
	struct vcpu *vcpu = job->vcpu;
	struct pv_apf *apf = &vcpu->pv->apf;
	struct vm *vm = vcpu->vm;
	bool given_up;

	fetch_page(vm->mm, job);
	spin_lock(&apf->lock);
	given_up = job->given_up;
	if (!given_up) {
		job->done = true;
		list_add_tail(&job->done_link, &apf->done);
	} else {
		apf->nr_given_up--;
	}
	spin_unlock(&apf->lock);
	/* The vCPU may have freed a job that is done by now. */
	if (given_up)
		kfree(job);
	else
		page_came(vcpu);
	atomic_dec(&apf_workers);
	vm_put(vm);
	module_put(THIS_MODULE);
}

/* -------- a page is not there -------- */

/* Would the guest take the exception at this moment? */
static bool deliverable(struct vcpu *vcpu)
{
	struct pv_apf *apf = &vcpu->pv->apf;

	if (!apf_on(apf))
		return false;
	if (!(apf->en & KVM_ASYNC_PF_SEND_ALWAYS) && !vcpu_cpl(vcpu))
		return false;
	/* Without paging its IDT is hardly made for this. */
	return vcpu_paging(vcpu);
}

/* Else the vCPU could not even be halted: no interrupt would end that. */
static bool can_wait(struct vcpu *vcpu)
{
	if (!vcpu->lapic || events_busy(vcpu))
		return false;
	/* A guest whose HLT does not exit is not to be halted by us either. */
	if ((vcpu->vm->disabled_exits & KVM_X86_DISABLE_EXITS_HLT) && !deliverable(vcpu))
		return false;
	return irq_allowed(vcpu);
}

static struct apf_job *find_job(struct pv_apf *apf, gfn_t gfn)
{
	struct apf_job *job;

	list_for_each_entry(job, &apf->jobs, link)
		if (job->gfn == gfn)
			return job;
	return NULL;
}

static bool job_done(struct pv_apf *apf, const struct apf_job *job)
{
	bool done;

	spin_lock(&apf->lock);
	done = job->done;
	spin_unlock(&apf->lock);
	return done;
}

/* Never 0, which means that there is no token. */
static u32 make_token(struct vcpu *vcpu)
{
	struct pv_apf *apf = &vcpu->pv->apf;

	if (!(apf->next_id << 12))
		apf->next_id = 1;
	return apf->next_id++ << 12 | vcpu->id;
}

static struct apf_job *new_job(struct vcpu *vcpu, gfn_t gfn)
{
	struct pv_apf *apf = &vcpu->pv->apf;
	struct apf_job *job;

	/* If memory is short we may as well wait for the page. */
	job = kzalloc(sizeof(*job), GFP_NOWAIT | __GFP_NOWARN | __GFP_ACCOUNT);
	if (!job)
		return NULL;
	INIT_WORK(&job->work, apf_work);
	job->vcpu = vcpu;
	job->gfn = gfn;
	list_add_tail(&job->link, &apf->jobs);
	apf->nr++;
	return job;
}

static void free_job(struct pv_apf *apf, struct apf_job *job)
{
	list_del(&job->link);
	apf->nr--;
	kfree(job);
}

static bool tell_not_present(struct vcpu *vcpu, u32 token)
{
	u32 reason = KVM_PV_REASON_PAGE_NOT_PRESENT;

	if (!deliverable(vcpu) ||
	    gpa_cache_write(vcpu, &vcpu->pv->apf.data, &reason,
			    offsetof(struct kvm_vcpu_pv_apf_data, flags), sizeof(reason)))
		return false;
	queue_page_fault(vcpu, token, 0);
	return true;
}

static void halt_for_page(struct vcpu *vcpu)
{
	vcpu->stats.apf_halts++;
	vcpu->apf_halted = true;
}

/* Given-up jobs count, too: a guest may forget as often as it likes. */
static bool too_many(struct pv_apf *apf)
{
	return apf->nr + READ_ONCE(apf->nr_given_up) >= APF_MAX_JOBS;
}

static bool take_worker(void)
{
	if (atomic_inc_return(&apf_workers) <= APF_MAX_WORKERS)
		return true;
	atomic_dec(&apf_workers);
	return false;
}

bool pv_apf_begin(struct vcpu *vcpu, gpa_t gpa, bool write)
{
	struct pv_apf *apf = &vcpu->pv->apf;
	gfn_t gfn = gpa >> PAGE_SHIFT;
	struct apf_job *job;
	hva_t hva;

	if (!can_wait(vcpu))
		return false;
	job = find_job(apf, gfn);
	if (job) {
		/* The page came and went again before the guest could be told. */
		if (job_done(apf, job))
			return false;
		halt_for_page(vcpu);
		return true;
	}
	if (too_many(apf) || mm_gfn_to_hva(vcpu->vm, vcpu->tdp.as_id, gfn, write, &hva) ||
	    !take_worker())
		return false;
	job = new_job(vcpu, gfn);
	if (!job) {
		atomic_dec(&apf_workers);
		return false;
	}
	job->hva = hva;
	job->write = write;
	job->token = make_token(vcpu);
	job->told = tell_not_present(vcpu, job->token);
	if (!job->told)
		halt_for_page(vcpu);
	vcpu->stats.apf_started++;
	vm_get(vcpu->vm);
	__module_get(THIS_MODULE);
	queue_work(apf_wq, &job->work);
	return true;
}

/* -------- pages have come -------- */

/* The guest zeroes the token when it has read it. */
static bool token_free(struct vcpu *vcpu)
{
	u32 token;

	return !gpa_cache_read(vcpu, &vcpu->pv->apf.data, &token,
			       offsetof(struct kvm_vcpu_pv_apf_data, token), sizeof(token)) &&
	       !token;
}

static void tell_ready(struct vcpu *vcpu, u32 token)
{
	struct pv_apf *apf = &vcpu->pv->apf;

	if (!apf_on(apf) ||
	    gpa_cache_write(vcpu, &apf->data, &token,
			    offsetof(struct kvm_vcpu_pv_apf_data, token), sizeof(token)))
		return;
	lapic_post(vcpu, apf->irq & KVM_ASYNC_PF_VEC_MASK);
}

static struct apf_job *take_done(struct pv_apf *apf)
{
	struct apf_job *job;

	spin_lock(&apf->lock);
	job = list_first_entry_or_null(&apf->done, struct apf_job, done_link);
	if (job)
		list_del(&job->done_link);
	spin_unlock(&apf->lock);
	return job;
}

void pv_apf_ready(struct vcpu *vcpu)
{
	struct pv_apf *apf = &vcpu->pv->apf;
	struct apf_job *job;

	/* Whatever came: the access that waits is tried again. */
	vcpu->apf_halted = false;
	while (!list_empty_careful(&apf->done)) {
		/* The rest stays until the guest's acknowledgment asks for it. */
		if (apf_on(apf) && !(lapic_listens(vcpu) && token_free(vcpu)))
			return;
		job = take_done(apf);
		if (job->told)
			tell_ready(vcpu, job->token);
		free_job(apf, job);
	}
}

/* A guest that was told of pages elsewhere (migration) lets all its tasks try again. */
static void wake_all(struct vcpu *vcpu)
{
	struct pv_apf *apf = &vcpu->pv->apf;
	struct apf_job *job;

	if (!list_empty_careful(&apf->done))
		return;
	job = new_job(vcpu, NO_GFN);
	if (!job)
		return;
	job->token = APF_WAKE_ALL;
	job->told = true;
	job->done = true;
	spin_lock(&apf->lock);
	list_add_tail(&job->done_link, &apf->done);
	spin_unlock(&apf->lock);
	vcpu_request(vcpu, REQ_APF);
}

/* -------- MSRs and life -------- */

static void forget_jobs(struct vcpu *vcpu)
{
	struct pv_apf *apf = &vcpu->pv->apf;
	struct apf_job *job, *next;

	spin_lock(&apf->lock);
	list_for_each_entry_safe(job, next, &apf->jobs, link) {
		list_del(&job->link);
		if (job->done) {
			list_del(&job->done_link);
			kfree(job);
		} else {
			job->given_up = true;
			apf->nr_given_up++;
		}
	}
	spin_unlock(&apf->lock);
	apf->nr = 0;
	vcpu->apf_halted = false;
}

int pv_apf_set_en(struct vcpu *vcpu, u64 val, bool host)
{
	struct pv_apf *apf = &vcpu->pv->apf;

	if (val & APF_RESERVED)
		return 1;
	if ((val & KVM_ASYNC_PF_DELIVERY_AS_PF_VMEXIT) &&
	    !pv_has(vcpu, KVM_FEATURE_ASYNC_PF_VMEXIT))
		return 1;
	if ((val & KVM_ASYNC_PF_DELIVERY_AS_INT) && !pv_has(vcpu, KVM_FEATURE_ASYNC_PF_INT))
		return 1;
	if (!vcpu->lapic)
		return val ? 1 : 0;
	apf->en = val;
	if (!apf_on(apf)) {
		forget_jobs(vcpu);
		return 0;
	}
	if (gpa_cache_init(vcpu, &apf->data, val & APF_ADDRESS, sizeof(u64)))
		return 1;
	wake_all(vcpu);
	return 0;
}

int pv_apf_set_irq(struct vcpu *vcpu, u64 val, bool host)
{
	if ((val & ~(u64)KVM_ASYNC_PF_VEC_MASK) || !vcpu->lapic)
		return 1;
	vcpu->pv->apf.irq = val;
	return 0;
}

int pv_apf_set_ack(struct vcpu *vcpu, u64 val, bool host)
{
	if (val & 1)
		pv_apf_ready(vcpu);
	return 0;
}

void pv_apf_create(struct vcpu *vcpu)
{
	struct pv_apf *apf = &vcpu->pv->apf;

	INIT_LIST_HEAD(&apf->jobs);
	INIT_LIST_HEAD(&apf->done);
	spin_lock_init(&apf->lock);
}

void pv_apf_reset(struct vcpu *vcpu)
{
	vcpu->pv->apf.en = 0;
	vcpu->pv->apf.irq = 0;
	forget_jobs(vcpu);
}

/* A worker under way keeps the VM: what is left is done. */
void pv_apf_destroy(struct vcpu *vcpu)
{
	forget_jobs(vcpu);
}
