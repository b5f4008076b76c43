// SPDX-License-Identifier: GPL-2.0-only
#include "opts_parser.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "opts.h"
#include "util/msg.h"

/* ---- values ---- */

int opts_number(const char *text, unsigned long min, unsigned long max,
		       unsigned long *value)
{
	char *end;

	errno = 0;
	*value = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end)
		return -EINVAL;
	return errno || *value < min || *value > max ? -ERANGE : 0;
}

int opts_switch(const char *text, bool *on)
{
	*on = !strcmp(text, "on");
	return *on || !strcmp(text, "off") ? 0 : -EINVAL;
}

static int opts_size_shift(const char *suffix, unsigned int *shift)
{
	static const char letters[] = "KMGT";
	const char *letter;

	*shift = 20;
	if (!suffix[0])
		return 0;
	letter = strchr(letters, toupper((unsigned char)suffix[0]));
	if (!letter || suffix[1])
		return -EINVAL;
	*shift = 10 * (unsigned int)(letter - letters + 1);
	return 0;
}

int opts_size(const char *text, uint64_t *size)
{
	unsigned long long n;
	unsigned int shift;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (opts_size_shift(end, &shift))
		return -EINVAL;
	if (errno || n > UINT64_MAX >> shift)
		return -ERANGE;
	*size = n << shift;
	return 0;
}

/* ---- parsing ---- */

static const struct opt *opts_find(const struct opt *opts, size_t nr,
				   const char *arg, size_t len)
{
	for (size_t i = 0; i < nr; i++)
		if (strlen(opts[i].name) == len &&
		    !strncmp(opts[i].name, arg, len))
			return &opts[i];
	return NULL;
}

static int opts_parse_option(struct opts_parser *p)
{
	char *arg = p->argv[p->pos++];
	size_t len = strcspn(arg, "=");
	const struct opt *opt = opts_find(p->opts, p->nr, arg, len);
	char *value = arg[len] ? arg + len + 1 : NULL;

	if (!opt && !strcmp(arg, "-h"))
		opt = opts_find(p->opts, p->nr, "--help", 6);
	if (!opt)
		return msg_fail(-EINVAL, "%.*s: no such option: " HELP_HINT,
				(int)len, arg, p->command);
	if (!opt->arg && value)
		return msg_fail(-EINVAL, "%s: takes no value", opt->name);
	if (opt->arg && !value && p->pos < p->argc)
		value = p->argv[p->pos++];
	if (opt->arg && !value)
		return msg_fail(-EINVAL, "%s: needs a value: %s", opt->name,
				opt->arg);
	*p->help |= !opt->set;
	return opt->set ? opt->set(p->to, value) : 0;
}

int opts_parse(struct opts_parser *p)
{
	int err = 0;

	while (p->pos < p->argc && !err) {
		char *arg = p->argv[p->pos];

		if (arg[0] == '-' && arg[1]) {
			err = opts_parse_option(p);
			continue;
		}
		p->pos++;
		if (p->nr_plain == p->max_plain)
			err = p->max_plain ?
			      msg_fail(-EINVAL, "%s: one argument too many: " HELP_HINT,
				       arg, p->command) :
			      msg_fail(-EINVAL, "%s: options begin with --: " HELP_HINT,
				       arg, p->command);
		else
			p->plain[p->nr_plain++] = arg;
	}
	return err;
}

int opts_parse_named(struct opts_parser *p, const char **name)
{
	int err = opts_parse(p);

	*name = p->plain[0];
	if (!err && !*name && !*p->help)
		err = msg_fail(-EINVAL, "the machine's name is missing: 'vmrun list' shows those that run");
	return err;
}

/* ---- help ---- */

void opts_help_table(FILE *out, const struct opt *opts, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		char left[40];

		snprintf(left, sizeof(left), "%s%s%s", opts[i].name,
			 opts[i].arg ? " " : "",
			 opts[i].arg ? opts[i].arg : "");
		fprintf(out, "  %-24s %s\n", left, opts[i].help);
	}
}
