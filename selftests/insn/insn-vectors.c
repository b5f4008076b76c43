// SPDX-License-Identifier: GPL-2.0-only
/* What cannot be tried on the CPU itself: other modes, privilege, devices. */
#include "ktap.h"

#include "internal.h"
#include "vectors.h"

static void real_addressing(void)
{
	/* ModRM byte, offset with BX=0x100 BP=0x200 SI=0x10 DI=0x20 disp=0x04/0x0304, segment */
	static const struct { u8 modrm; u16 offset; u32 base; } t[] = {
		{ 0x00, 0x110, 0x20000 }, { 0x01, 0x120, 0x20000 }, { 0x02, 0x210, 0x40000 },
		{ 0x03, 0x220, 0x40000 }, { 0x04, 0x010, 0x20000 }, { 0x05, 0x020, 0x20000 },
		{ 0x06, 0x304, 0x20000 }, { 0x07, 0x100, 0x20000 }, { 0x46, 0x204, 0x40000 },
		{ 0x47, 0x104, 0x20000 }, { 0x80, 0x414, 0x20000 }, { 0x82, 0x514, 0x40000 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		u8 mov[] = { 0x8b, t[i].modrm, 0x04, 0x03 };

		real_mode();
		R(RBX) = 0x100;
		R(RBP) = 0x200;
		R(RSI) = 0x10;
		R(RDI) = 0x20;
		R(RAX) = 0x1111111111111111;
		code(mov, sizeof(mov));
		poke(t[i].base + t[i].offset, 0xbeef, 2);
		expect_ok();
		CHECK_EQ(R(RAX), 0x111111111111beef);
	}
	real_mode();				/* wraps at 64 KiB */
	CODE(0x8a, 0x40, 0x7f);			/* mov al, [bx+si+0x7f] */
	R(RBX) = 0xfff0;
	R(RSI) = 0x20;
	poke(0x2008f, 0x5a, 1);
	expect_ok();
	CHECK_EQ(R(RAX), 0x5a);
	real_mode();				/* segment override */
	CODE(0x26, 0xa0, 0x34, 0x02);		/* mov al, es:[0x234] */
	poke(0x30234, 0x77, 1);
	expect_ok();
	CHECK_EQ(R(RAX), 0x77);
}

static void real_limits(void)
{
	real_mode();
	CODE(0xa1, 0xff, 0xff);			/* mov ax, [0xffff] */
	expect_fault(13, -1);
	real_mode();
	CODE(0x36, 0xa1, 0xff, 0xff);		/* mov ax, ss:[0xffff] */
	expect_fault(12, -1);
	real_mode();
	CODE(0x67, 0xa0, 0x00, 0x00, 0x01, 0x00);	/* mov al, [0x10000] */
	expect_fault(13, -1);
	real_mode();				/* "unreal": the limit is the cached one */
	CODE(0x67, 0xa0, 0x10, 0x00, 0x01, 0x00);
	sim.s.segs[INSN_DS].limit = ~0u;
	poke(0x30010, 0x42, 1);
	expect_ok();
	CHECK_EQ(R(RAX), 0x42);
	real_mode();
	CODE(0x50);				/* push ax with SP = 1 */
	R(RSP) = 1;
	expect_fault(12, -1);
	real_mode();				/* a jump beyond the limit */
	CODE(0x66, 0xe9, 0x00, 0x00, 0x01, 0x00);
	expect_fault(13, -1);
}

static void real_far(void)
{
	real_mode();
	CODE(0xea, 0x34, 0x12, 0x00, 0x20);	/* jmp 2000:1234 */
	expect_ok();
	CHECK_EQ(R(RIP), 0x1234);
	CHECK_EQ(sim.s.segs[INSN_CS].selector, 0x2000);
	CHECK_EQ(sim.s.segs[INSN_CS].base, 0x20000);
	real_mode();
	CODE(0x9a, 0x34, 0x12, 0x00, 0x20);	/* call 2000:1234 */
	expect_ok();
	CHECK_EQ(R(RSP), 0x7fc);
	CHECK_EQ((u32)sim_peek64(&sim, 0x407fc), 0x10000105);
	real_mode();
	CODE(0xca, 0x06, 0x00);			/* retf 6 */
	poke(0x40800, 0x20001234, 4);
	expect_ok();
	CHECK_EQ(R(RSP), 0x80a);
	CHECK_EQ(R(RIP), 0x1234);
	real_mode();
	CODE(0xcf);				/* iret */
	poke(0x40800, 0x0ed720001234, 6);
	expect_ok();
	CHECK_EQ(R(RFLAGS), 0x0ed7);
	CHECK_EQ(R(RSP), 0x806);
	real_mode();
	CODE(0x8e, 0xd8);			/* mov ds, ax: keeps the limit */
	R(RAX) = 0x1234;
	sim.s.segs[INSN_DS].limit = ~0u;
	expect_ok();
	CHECK_EQ(sim.s.segs[INSN_DS].base, 0x12340);
	CHECK_EQ(sim.s.segs[INSN_DS].limit, ~0u);
	real_mode();
	CODE(0x17);				/* pop ss */
	poke(0x40800, 0x1234, 2);
	expect_ok();
	CHECK_EQ(sim.ctx.shadow, INSN_SHADOW_MOV_SS);
}

static void string_rep(void)
{
	u8 out[8];

	flat(INSN_PROT32);
	CODE(0xf3, 0xa4);			/* rep movsb, downwards */
	R(RSI) = 0x11007;
	R(RDI) = 0x11107;
	R(RCX) = 8;
	R(RFLAGS) |= FL_DF;
	poke(0x11000, 0x0807060504030201, 8);
	expect_ok();
	CHECK_EQ(sim_peek64(&sim, 0x11100), 0x0807060504030201);
	CHECK_EQ(R(RSI), 0x10fff);
	CHECK_EQ(R(RCX), 0);
	CHECK_EQ(R(RIP), 0x10102);
	CHECK(!(R(RFLAGS) & FL_RF));

	flat(INSN_PROT32);			/* one element per call, RF in between */
	CODE(0xf3, 0xab);			/* rep stosd */
	R(RAX) = 0x44332211;
	R(RDI) = 0x20000;
	R(RCX) = 3;
	CHECK_EQ(sim_step(&sim), INSN_OK);
	CHECK(sim.ctx.rep_pending);
	CHECK_EQ(R(RIP), 0x10100);
	CHECK_EQ(R(RCX), 2);
	CHECK(R(RFLAGS) & FL_RF);
	expect_ok();
	CHECK(!(R(RFLAGS) & FL_RF));
	sim_peek(&sim, 0x20004, out, 8);
	CHECK(!memcmp(out, "\x11\x22\x33\x44\x11\x22\x33\x44", 8));

	flat(INSN_LONG);			/* count 0: nothing, not even a fault */
	CODE(0xf3, 0x48, 0xa5);
	R(RSI) = 0xdead0000;
	expect_ok();
	CHECK_EQ(R(RSI), 0xdead0000);
	CHECK_EQ(R(RIP), 0x10103);

	flat(INSN_LONG);			/* repne scasb */
	CODE(0xf2, 0xae);
	R(RDI) = 0x20000;
	R(RCX) = 100;
	R(RAX) = 7;
	poke(0x20005, 7, 1);
	expect_ok();
	CHECK_EQ(R(RDI), 0x20006);
	CHECK_EQ(R(RCX), 94);
	CHECK_EQ(sim.s.mmio_reads, 6);

	flat(INSN_LONG);			/* a store that faults: the device is not read */
	CODE(0xa5);
	R(RSI) = 0x20000;
	R(RDI) = 0x50000;
	expect_fault(14, 2);
	CHECK_EQ(sim.s.mmio_reads, 0);
}

/* REP INS/OUTS: batches into RAM up to the page's end, one by one elsewhere. */
static void string_io(void)
{
	unsigned int user, batch;

	for (user = 0; user < 2; user++) {
		for (batch = 0; batch < 2; batch++) {
			flat(INSN_LONG);
			sim.force_user = user;
			sim.no_ram = !batch;
			CODE(0xf3, 0x6d);	/* rep insd */
			R(RDX) = 0x1f0;
			R(RDI) = 0x11ff8;
			R(RCX) = 4;
			expect_ok();
			CHECK_EQ(R(RDI), 0x12008);
			CHECK_EQ(sim_peek64(&sim, 0x11ff8), 0x050608f900000000);
			if (user && batch)
				CHECK_EQ(sim.user_exits, 2);
			CODE(0);
			R(RIP) = 0x10200;
			CODE(0xf3, 0x6e);	/* rep outsb */
			R(RSI) = 0x11ff8;
			R(RCX) = 12;
			sim.s.port_out = 0;
			expect_ok();
			CHECK_EQ(R(RSI), 0x12004);
			CHECK_EQ(R(RCX), 0);
			CHECK(sim.s.port_out);
		}
	}
	flat(INSN_LONG);			/* downwards, with a segment's base */
	CODE(0xf3, 0x65, 0x67, 0x6e);		/* rep outsb gs:[esi] */
	sim.s.segs[INSN_GS].base = 0x10000;
	R(RSI) = 0xffffffff00001000;
	R(RCX) = 0xffffffff00000002;
	R(RFLAGS) |= FL_DF;
	expect_ok();
	CHECK_EQ(R(RSI), 0xffe);
	CHECK_EQ(R(RCX), 0);
	flat(INSN_LONG);			/* no 64-bit form */
	CODE(0x48, 0x6d);
	R(RDI) = 0x11000;
	poke(0x11000, ~0ull, 8);
	sim.s.port_in = 0x1111222233334444;
	expect_ok();
	CHECK_EQ(R(RDI), 0x11004);
	CHECK_EQ(sim_peek64(&sim, 0x11000), 0xffffffff33334444);
}

static void io_permission(void)
{
	unsigned int allowed;

	for (allowed = 0; allowed < 2; allowed++) {
		flat(INSN_PROT32);
		sim.cpl = 3;
		sim.s.segs[INSN_TR] = (struct insn_segment){
			.base = 0x13000, .limit = 0x1ff, .type = 11, .present = 1,
		};
		poke(0x13000 + 102, 0x68, 2);
		poke(0x13000 + 0x68 + 0x60 / 8, allowed ? 0xfffe : 0xffff, 2);
		CODE(0xe4, 0x60);		/* in al, 0x60 */
		sim.s.port_in = 0x99;
		if (!allowed) {
			expect_fault(13, 0);
			continue;
		}
		expect_ok();
		CHECK_EQ(R(RAX), 0x99);
		CODE(0xe4, 0x61);
		expect_fault(13, 0);
	}
	flat(INSN_PROT32);			/* IOPL 3 needs no bitmap */
	sim.cpl = 3;
	R(RFLAGS) |= FL_IOPL;
	CODE(0xef);
	expect_ok();
	flat(INSN_PROT32);			/* beyond the TSS */
	sim.cpl = 3;
	sim.s.segs[INSN_TR] = (struct insn_segment){ .base = 0x13000, .limit = 103, .type = 11 };
	poke(0x13000 + 102, 0x68, 2);
	CODE(0xe4, 0x60);
	expect_fault(13, 0);
}

static void load_ds(u16 selector)
{
	R(RIP) = 0x10100;
	CODE(0x8e, 0xd8);			/* mov ds, ax */
	R(RAX) = selector;
}

static void segment_load(void)
{
	flat(INSN_PROT32);
	gdt(1, descriptor(0x12345678, 0xfffff, 0x92, 0xc));
	load_ds(8);
	expect_ok();
	CHECK_EQ(sim.s.segs[INSN_DS].base, 0x12345678);
	CHECK_EQ(sim.s.segs[INSN_DS].limit, ~0u);
	CHECK_EQ(sim.s.segs[INSN_DS].db, 1);
	CHECK_EQ(sim.s.segs[INSN_DS].type, 3);
	CHECK_EQ(sim_peek64(&sim, 0x1300d) & 0xff, 0x93);	/* accessed */
	gdt(2, descriptor(0, 0xff, 0x12, 0));	/* not present */
	load_ds(0x10);
	expect_fault(11, 0x10);
	gdt(2, descriptor(0, 0xff, 0x98, 0));	/* execute-only code */
	load_ds(0x10);
	expect_fault(13, 0x10);
	gdt(2, descriptor(0, 0xff, 0x92, 0));	/* RPL 3 > DPL 0 */
	load_ds(0x13);
	expect_fault(13, 0x10);
	load_ds(0x40);				/* beyond the table */
	expect_fault(13, 0x40);
	load_ds(0x0c);				/* no LDT */
	expect_fault(13, 0x0c);
	load_ds(3);				/* null */
	expect_ok();
	CHECK(sim.s.segs[INSN_DS].unusable);
	R(RIP) = 0x10100;
	CODE(0xa0, 0, 0, 1, 0);			/* mov al, [0x10000] through it */
	expect_fault(13, 0);
	R(RIP) = 0x10100;
	CODE(0x8e, 0xd0);			/* mov ss, ax: null */
	R(RAX) = 0;
	expect_fault(13, 0);
	R(RAX) = 0x10;
	expect_ok();
	CHECK_EQ(sim.ctx.shadow, INSN_SHADOW_MOV_SS);
	CHECK_EQ(sim.s.segs[INSN_SS].limit, 0xff);
	R(RIP) = 0x10100;
	CODE(0x8e, 0xc8);			/* mov cs, ax */
	expect_fault(6, -1);
	sim_init(&sim, INSN_PROT32);
	flat(INSN_PROT32);
	gdt(3, descriptor(0, 0xfff, 0x96, 4));	/* expand-down: 0x1000 up */
	load_ds(0x18);
	expect_ok();
	R(RIP) = 0x10100;
	CODE(0xa0, 0xff, 0x0f, 0, 0);
	expect_fault(13, 0);
	CODE(0xa0, 0x00, 0x00, 1, 0);
	expect_ok();
}

static void privileged(void)
{
	flat(INSN_LONG);
	CODE(0xf4);				/* hlt */
	sim.cpl = 3;
	expect_fault(13, 0);
	sim.cpl = 0;
	expect_ok();
	CHECK_EQ(sim.s.sys_calls, INSN_SYS_HLT);
	flat(INSN_LONG);
	CODE(0x0f, 0x22, 0xd8);			/* mov cr3, rax */
	R(RAX) = 0x1234567000;
	expect_ok();
	CHECK_EQ(sim.s.cr[3], 0x1234567000);
	flat(INSN_LONG);
	CODE(0x44, 0x0f, 0x20, 0xc1);		/* mov rcx, cr8 */
	sim.s.cr[8] = 9;
	expect_ok();
	CHECK_EQ(R(RCX), 9);
	flat(INSN_LONG);
	CODE(0x0f, 0x20, 0xc8);			/* mov rax, cr1 */
	expect_fault(6, -1);
	flat(INSN_PROT32);
	CODE(0xf0, 0x0f, 0x20, 0xc1);		/* lock mov ecx, cr0 = cr8 */
	sim.s.cr[8] = 5;
	expect_ok();
	CHECK_EQ(R(RCX), 5);
	flat(INSN_LONG);
	CODE(0x0f, 0x01, 0xf0);			/* lmsw ax: cannot clear PE */
	R(RAX) = 0xfff8;
	expect_ok();
	CHECK_EQ(sim.s.cr[0], 0x80050039);
	flat(INSN_LONG);
	CODE(0x0f, 0x06);			/* clts */
	sim.s.cr[0] |= CR0_TS;
	expect_ok();
	CHECK(!(sim.s.cr[0] & CR0_TS));
	flat(INSN_LONG);
	CODE(0x0f, 0x32);			/* rdmsr */
	R(RCX) = 0xdead;
	expect_fault(13, 0);
	R(RCX) = 0x1b;
	sim.s.msr_value = 0x1122334455667788;
	expect_ok();
	CHECK_EQ(R(RDX), 0x11223344);
	CHECK_EQ(R(RAX), 0x556677a3);
	flat(INSN_LONG);
	CODE(0x0f, 0xa2);			/* cpuid */
	R(RAX) = ~0ull;
	R(RBX) = ~0ull;
	expect_ok();
	CHECK_EQ(R(RAX), 0);
	CHECK_EQ(R(RBX), 1);
	flat(INSN_LONG);
	CODE(0x0f, 0x31);			/* rdtsc, CR4.TSD */
	sim.cpl = 3;
	sim.s.cr[4] |= CR4_TSD;
	expect_fault(13, 0);
}

static void system_more(void)
{
	flat(INSN_LONG);
	CODE(0x0f, 0x01, 0xf8);			/* swapgs */
	sim.s.segs[INSN_GS].base = 0x1000;
	sim.s.msr_value = 0x55 - 0xc0000102ull;
	expect_ok();
	CHECK_EQ(sim.s.segs[INSN_GS].base, 0x55);
	flat(INSN_LONG);
	CODE(0x0f, 0x01, 0x04, 0x25, 0, 0x10, 1, 0);	/* sgdt [0x11000] */
	sim.s.tables[INSN_GDTR] = (struct insn_table_reg){ .base = 0xffff800011112222, .limit = 0x7f };
	expect_ok();
	CHECK_EQ(sim_peek64(&sim, 0x11002), 0xffff800011112222);
	R(RIP) = 0x10100;
	CODE(0x0f, 0x01, 0x1c, 0x25, 0, 0x10, 1, 0);	/* lidt */
	expect_ok();
	CHECK_EQ(sim.s.tables[INSN_IDTR].base, 0xffff800011112222);
	CHECK_EQ(sim.s.tables[INSN_IDTR].limit, 0x7f);
	poke(0x11009, 0x12, 1);			/* not canonical */
	R(RIP) = 0x10100;
	expect_fault(13, 0);
	flat(INSN_LONG);
	CODE(0x0f, 0x01, 0xd1);			/* xsetbv */
	R(RAX) = 7;
	expect_ok();
	CHECK_EQ(sim.s.xcr0, 7);
	R(RIP) = 0x10100;
	R(RCX) = 1;
	expect_fault(13, 0);
	flat(INSN_LONG);
	CODE(0x0f, 0x21, 0xe0);			/* mov rax, dr4 = dr6 */
	sim.s.dr[6] = 0xffff0ff0;
	expect_ok();
	CHECK_EQ(R(RAX), 0xffff0ff0);
	R(RIP) = 0x10100;
	sim.s.cr[4] |= CR4_DE;
	expect_fault(6, -1);
	flat(INSN_LONG);
	CODE(0xfb);				/* sti */
	expect_ok();
	CHECK_EQ(sim.ctx.shadow, INSN_SHADOW_STI);
	flat(INSN_LONG);
	CODE(0x0f, 0x01, 0xd9);			/* vmmcall */
	expect_ok();
	CHECK_EQ(sim.s.sys_calls, INSN_SYS_HYPERCALL);
	vm86_mode();
	CODE(0xfa);				/* cli */
	expect_fault(13, 0);
}

/* Instructions that end in one of the ops, or store what one gives. */
static void system_rest(void)
{
	flat(INSN_LONG);
	CODE(0x0f, 0x01, 0x24, 0x25, 0, 0x10, 1, 0);	/* smsw [0x11000]: 16 bits */
	expect_ok();
	CHECK_EQ(sim_peek64(&sim, 0x11000), 0x33);
	R(RIP) = 0x10100;
	CODE(0x48, 0x0f, 0x01, 0xe0);			/* smsw rax */
	expect_ok();
	CHECK_EQ(R(RAX), 0x80050033);
	R(RIP) = 0x10100;
	CODE(0x0f, 0x00, 0xc8);				/* str eax */
	sim.s.segs[INSN_TR].selector = 0x40;
	expect_ok();
	CHECK_EQ(R(RAX), 0x40);
	R(RIP) = 0x10100;
	sim.cpl = 3;
	sim.s.cr[4] |= CR4_UMIP;
	expect_fault(13, 0);
	flat(INSN_LONG);
	CODE(0x65, 0x0f, 0x01, 0x38);			/* invlpg gs:[rax] */
	R(RAX) = 0x1234;
	sim.s.segs[INSN_GS].base = 0x10000;
	expect_ok();
	CHECK_EQ(sim.s.sys_calls, INSN_SYS_INVLPG + 0x11234);
	flat(INSN_LONG);
	CODE(0x66, 0x0f, 0xae, 0x38);			/* clflushopt [rax] */
	R(RAX) = 0x11040;
	expect_ok();
	CHECK_EQ(sim.s.sys_calls, INSN_SYS_CLFLUSH + 0x11040);
	flat(INSN_LONG);
	CODE(0x0f, 0x01, 0xc8);				/* monitor */
	R(RAX) = 0x11040;
	expect_ok();
	CHECK_EQ(sim.s.sys_calls, INSN_SYS_MONITOR + 0x11040);
	flat(INSN_LONG);
	CODE(0x0f, 0xaa);				/* rsm: nothing is added to what the op did */
	R(RFLAGS) = 2;
	expect_fault(6, -1);
	sim.smm = true;
	expect_ok();
	CHECK_EQ(sim.s.sys_calls, INSN_SYS_RSM);
	CHECK_EQ(R(RIP), SIM_RSM_RIP);
	CHECK_EQ(R(RFLAGS), SIM_RSM_RFLAGS);
	flat(INSN_LONG);
	sim.smm = true;
	CODE(0xf0, 0x0f, 0xaa);				/* lock rsm */
	expect_fault(6, -1);
	flat(INSN_LONG);
	CODE(0x0f, 0x01, 0xcb);				/* stac */
	expect_ok();
	CHECK(R(RFLAGS) & FL_AC);
	flat(INSN_LONG);
	CODE(0x0f, 0x01, 0xf9);				/* rdtscp */
	sim.s.msr_value = 0x100000000;
	expect_ok();
	CHECK_EQ(R(RDX), 1);
	CHECK_EQ(R(RAX), 0x10);
	CHECK_EQ(R(RCX), 0xc0000103);
	flat(INSN_LONG);
	CODE(0x0f, 0x01, 0xd0);				/* xgetbv */
	sim.s.xcr0 = 0xe7;
	expect_ok();
	CHECK_EQ(R(RAX), 0xe7);
	flat(INSN_LONG);
	CODE(0x0f, 0x23, 0xf8);				/* mov dr7, rax */
	R(RAX) = 0x455;
	expect_ok();
	CHECK_EQ(sim.s.dr[7], 0x455);
	flat(INSN_PROT32);
	gdt(1, descriptor(0x5000, 0xff, 0x93, 0));
	CODE(0xc4, 0x05, 0, 0x10, 1, 0);		/* les eax, [0x11000] */
	poke(0x11000, 0x0008deadbeef, 6);
	expect_ok();
	CHECK_EQ(R(RAX), 0xdeadbeef);
	CHECK_EQ(sim.s.segs[INSN_ES].base, 0x5000);
}

static void fetching(void)
{
	static const u8 long_nop[16] = {
		0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
		0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90,
	};

	flat(INSN_LONG);
	code(long_nop, sizeof(long_nop));
	expect_fault(13, 0);
	R(RIP)++;				/* 15 bytes are legal */
	expect_ok();
	flat(INSN_LONG);			/* the second half is not there */
	R(RIP) = 0x14ffe;
	CODE(0x8b, 0x05);
	expect_fault(14, 0x10);
	CHECK_EQ(sim.ctx.fault.address, 0x15000);
	R(RIP) = 0x14fff;			/* it is not needed */
	CODE(0x90);
	expect_ok();
	flat(INSN_PROT32);			/* the code segment ends */
	sim.s.segs[INSN_CS].limit = 0x10101;
	CODE(0xb8, 1, 2, 3, 4);
	expect_fault(13, 0);
	flat(INSN_LONG);
	R(RIP) = 0x800000000000 - 1;
	sim_add_page(&sim, 0x7ffffffff000, SIM_RW)[0xfff] = 0x0f;
	expect_fault(13, 0);
	flat(INSN_LONG);			/* bytes that the hardware gave */
	memcpy(sim.ctx.bytes, "\xb0\x42\xcc", 3);
	sim.ctx.prefetched = 3;
	expect_ok();
	CHECK_EQ(R(RAX), 0x42);
	flat(INSN_LONG);
	CODE(0x06);				/* push es */
	expect_fault(6, -1);
}

static void skipping(void)
{
	static const struct { u8 len; u8 bytes[8]; } t[] = {
		{ 2, { 0x0f, 0xa2 } }, { 1, { 0xf4 } }, { 2, { 0x0f, 0x32 } }, { 2, { 0x0f, 0x31 } },
		{ 3, { 0x0f, 0x01, 0xc1 } }, { 3, { 0x0f, 0x01, 0xd9 } }, { 2, { 0x0f, 0x08 } },
		{ 2, { 0x0f, 0x09 } }, { 3, { 0x0f, 0x20, 0x05 } }, { 4, { 0x44, 0x0f, 0x22, 0xc0 } },
		{ 3, { 0x0f, 0x21, 0xf8 } }, { 3, { 0x0f, 0x01, 0xf0 } }, { 2, { 0x0f, 0x06 } },
		{ 3, { 0x0f, 0x01, 0xd1 } }, { 3, { 0x0f, 0x01, 0xc8 } }, { 3, { 0x0f, 0x01, 0xc9 } },
		{ 2, { 0xf3, 0x90 } }, { 2, { 0xe4, 0x60 } }, { 2, { 0x66, 0xed } }, { 1, { 0xcc } },
		{ 2, { 0xcd, 0x80 } }, { 3, { 0x0f, 0x01, 0xf9 } }, { 3, { 0x0f, 0x01, 0xd8 } },
		{ 7, { 0x0f, 0x01, 0x3d, 1, 2, 3, 4 } }, { 3, { 0x2e, 0x0f, 0xa2 } },
		{ 4, { 0x66, 0x0f, 0x38, 0x82 } }, { 2, { 0x0f, 0x33 } },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		flat(INSN_LONG);
		code(t[i].bytes, 8);
		R(RFLAGS) |= FL_RF;
		CHECK_EQ(insn_skip(&sim.ctx), INSN_OK);
		CHECK_EQ(R(RIP) - 0x10100, t[i].len + (t[i].bytes[2] == 0x38));
		CHECK(!(R(RFLAGS) & FL_RF));
	}
	flat(INSN_PROT32);
	CODE(0xce);				/* into */
	CHECK_EQ(insn_skip(&sim.ctx), INSN_OK);
	CHECK_EQ(R(RIP), 0x10101);
}

static void atomics(void)
{
	flat(INSN_LONG);
	CODE(0xf0, 0xff, 0x04, 0x25, 0, 0x10, 1, 0);	/* lock inc dword [0x11000] */
	sim.race = true;
	CHECK_EQ(sim_step(&sim), INSN_RETRY);
	CHECK_EQ(R(RIP), 0x10100);
	sim.race = false;
	expect_ok();
	CHECK_EQ(sim_peek64(&sim, 0x11000), 2);
	flat(INSN_LONG);
	CODE(0x87, 0x04, 0x25, 0, 0x10, 1, 0);		/* xchg locks by itself */
	sim.race = true;
	CHECK_EQ(sim_step(&sim), INSN_RETRY);
	flat(INSN_LONG);
	CODE(0xf0, 0x89, 0x04, 0x25, 0, 0x10, 1, 0);	/* lock mov */
	expect_fault(6, -1);
	flat(INSN_LONG);
	CODE(0xf0, 0x01, 0xc0);				/* lock add eax, eax */
	expect_fault(6, -1);
	flat(INSN_LONG);
	CODE(0x48, 0x0f, 0xc7, 0x0c, 0x25, 8, 0x10, 1, 0); /* cmpxchg16b, misaligned */
	expect_fault(13, 0);
}

static void vectors(void)
{
	u8 pattern[16] = "0123456789abcdef", out[16];

	flat(INSN_LONG);
	memcpy(sim.s.vec[3], pattern, 16);
	CODE(0x0f, 0x11, 0x1c, 0x25, 0xf8, 0x0f, 2, 0);	/* movups [0x20ff8], xmm3 */
	expect_fault(14, 2);
	CHECK_EQ(sim.ctx.fault.address, 0x21000);
	CHECK_EQ(sim_peek64(&sim, 0x20ff8), 0);
	flat(INSN_LONG);
	memcpy(sim.s.vec[3], pattern, 16);
	sim.force_user = true;
	CODE(0x0f, 0x11, 0x1c, 0x25, 0x00, 0x00, 2, 0);
	expect_ok();
	CHECK_EQ(sim.user_exits, 2);
	sim_peek(&sim, 0x20000, out, 16);
	CHECK(!memcmp(out, pattern, 16));
	flat(INSN_LONG);
	CODE(0x66, 0x0f, 0x7f, 0x04, 0x25, 8, 0, 2, 0);	/* movdqa, misaligned */
	expect_fault(13, 0);
	sim.s.cr[0] |= CR0_TS;
	expect_fault(7, -1);
	sim.s.cr[0] |= CR0_EM;
	expect_fault(6, -1);
	flat(INSN_LONG);
	memcpy(sim.s.mmx[5], pattern, 8);
	CODE(0x0f, 0x7f, 0x2c, 0x25, 0, 0, 2, 0);	/* movq [0x20000], mm5 */
	expect_ok();
	CHECK_EQ(sim_peek64(&sim, 0x20000), *(u64 *)pattern);
	R(RIP) = 0x10100;
	CODE(0x0f, 0x6f, 0x0c, 0x25, 0, 0, 2, 0);	/* movq mm1, [0x20000] */
	expect_ok();
	CHECK(!memcmp(sim.s.mmx[1], pattern, 8));
	flat(INSN_LONG);
	CODE(0xc5, 0xf8, 0x10, 0x04, 0x25, 0, 0, 2, 0);	/* vmovups without AVX enabled */
	sim.s.xcr0 = 3;
	expect_fault(6, -1);
}

static void evex(void)
{
	u8 pattern[64], out[64];

	rnd_fill(pattern, sizeof(pattern));
	flat(INSN_LONG);
	sim.s.xcr0 = 0xe7;
	memcpy(sim.s.vec[17], pattern, 64);
	R(RAX) = 0x11000;
	sim.force_user = true;
	CODE(0x62, 0xe1, 0xfe, 0x48, 0x7f, 0x48, 0x01);	/* vmovdqu64 [rax+64], zmm17 */
	expect_ok();
	CHECK_EQ(sim.user_exits, 8);
	sim_peek(&sim, 0x11040, out, 64);
	CHECK(!memcmp(out, pattern, 64));
	R(RIP) = 0x10100;
	CODE(0x62, 0xe1, 0x7c, 0x28, 0x10, 0x48, 0x02);	/* vmovups ymm17, [rax+64] */
	expect_ok();
	CHECK(!memcmp(sim.s.vec[17], pattern, 32));
	CHECK(!sim.s.vec[17][32] && !sim.s.vec[17][63]);
	R(RIP) = 0x10100;
	CODE(0x62, 0xe1, 0xfe, 0x49, 0x7f, 0x48, 0x01);	/* masked */
	CHECK_EQ(sim_step(&sim), INSN_UNHANDLEABLE);
	sim.s.xcr0 = 7;
	sim.force_user = false;
	expect_fault(6, -1);
}

static void alignment(void)
{
	flat(INSN_PROT32);
	sim.cpl = 3;
	sim.s.cr[0] |= CR0_AM;
	R(RFLAGS) |= FL_AC;
	CODE(0xa1, 0x02, 0x10, 1, 0);			/* mov eax, [0x11002] */
	expect_fault(17, 0);
	sim.cpl = 0;
	expect_ok();
}

/* A trap flag set before counts, one that the instruction sets does not. */
static void stepping(void)
{
	flat(INSN_LONG);
	CODE(0x9d);					/* popf */
	poke(0x12000, 0x102, 8);
	expect_ok();
	CHECK(!sim.ctx.single_step);
	R(RIP) = 0x10100;
	CODE(0x90);
	expect_ok();
	CHECK(sim.ctx.single_step);
}

static const struct test tests[] = {
	{ "insn-real-addressing", real_addressing },
	{ "insn-real-limits", real_limits },
	{ "insn-real-far", real_far },
	{ "insn-string-rep", string_rep },
	{ "insn-string-io", string_io },
	{ "insn-io-permission", io_permission },
	{ "insn-segment-load", segment_load },
	{ "insn-privileged", privileged },
	{ "insn-system", system_more },
	{ "insn-system-rest", system_rest },
	{ "insn-fetch", fetching },
	{ "insn-skip", skipping },
	{ "insn-atomics", atomics },
	{ "insn-vector-moves", vectors },
	{ "insn-evex-moves", evex },
	{ "insn-alignment", alignment },
	{ "insn-single-step", stepping },
};

TEST_MAIN(tests)
