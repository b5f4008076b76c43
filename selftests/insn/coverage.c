// SPDX-License-Identifier: GPL-2.0-only
/* Linked with --wrap=_exit: the tests' processes leave so, without gcov's counts. */
void __gcov_dump(void);
_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);

_Noreturn void __wrap__exit(int status)
{
	__gcov_dump();
	__real__exit(status);
}
