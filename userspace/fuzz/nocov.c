// SPDX-License-Identifier: GPL-2.0-only
/*
 * The unit tests are linked with the same objects, and do not ask where the code has been. (The sanitizers' library has such
 * functions for comparisons of integers.)
 */
void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
}

void __sanitizer_cov_trace_cmpf(float a, float b);
void __sanitizer_cov_trace_cmpf(float a, float b)
{
	(void)a;
	(void)b;
}

void __sanitizer_cov_trace_cmpd(double a, double b);
void __sanitizer_cov_trace_cmpd(double a, double b)
{
	(void)a;
	(void)b;
}
