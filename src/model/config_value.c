/* SPDX-License-Identifier: Apache-2.0 */
/* One value of the configuration: from text, to text, equal, copied, released; one row a kind. */
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "model/config_table.h"
#include "model/pattern.h"
#include "util/cleanup.h"
#include "util/list.h"

static const struct {
	const char *word;
	bool on;
} switches[] = {
	{"on", true},	{"true", true},	  {"yes", true}, {"1", true},
	{"off", false}, {"false", false}, {"no", false}, {"0", false},
};

static int wrong(const struct conf_option *opt, const char *text, struct err *err)
{
	return err_set(err, -EINVAL, "\"%s\" is not %s", text, conf_kind_text(opt->kind));
}

static int check_bounds(const struct conf_option *opt, uint64_t value, const char *text,
			struct err *err)
{
	if (value < opt->min)
		return err_set(err, -EINVAL, "\"%s\" is too small", text);
	if (opt->max && value > opt->max)
		return err_set(err, -EINVAL, "\"%s\" is too large", text);
	return 0;
}

static int parse_u64(const char *text, uint64_t *ret)
{
	char *end;
	unsigned long long v;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || *end)
		return -EINVAL;
	*ret = v;
	return 0;
}

static int parse_switch(const char *text, bool *ret)
{
	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
		if (strcasecmp(text, switches[i].word) == 0) {
			*ret = switches[i].on;
			return 0;
		}
	}
	return -EINVAL;
}

static int set_bool(const struct conf_option *opt, void *field, const char *text, struct err *err)
{
	return parse_switch(text, field) < 0 ? wrong(opt, text, err) : 0;
}

static int set_tristate(const struct conf_option *opt, void *field, const char *text,
			struct err *err)
{
	bool on;

	if (strcasecmp(text, "auto") == 0) {
		*(enum conf_auto *)field = CONF_AUTO;
		return 0;
	}
	if (parse_switch(text, &on) < 0)
		return wrong(opt, text, err);
	*(enum conf_auto *)field = on ? CONF_ON : CONF_OFF;
	return 0;
}

static int set_size(const struct conf_option *opt, void *field, const char *text, struct err *err)
{
	uint64_t v;

	if (conf_parse_size(text, &v) < 0)
		return wrong(opt, text, err);
	if (check_bounds(opt, v, text, err) < 0)
		return -EINVAL;
	*(uint64_t *)field = v;
	return 0;
}

static int set_count(const struct conf_option *opt, void *field, const char *text, struct err *err)
{
	uint64_t v;

	if (parse_u64(text, &v) < 0)
		return wrong(opt, text, err);
	if (check_bounds(opt, v, text, err) < 0)
		return -EINVAL;
	*(uint64_t *)field = v;
	return 0;
}

/* "auto" is 0 where that is the default's word. */
static int set_number(const struct conf_option *opt, void *field, const char *text, struct err *err)
{
	uint64_t v = 0;
	bool is_auto = opt->def && strcmp(opt->def, "auto") == 0 && strcasecmp(text, "auto") == 0;

	if (!is_auto && (parse_u64(text, &v) < 0 || v > UINT32_MAX))
		return wrong(opt, text, err);
	if (check_bounds(opt, v, text, err) < 0)
		return -EINVAL;
	*(unsigned int *)field = (unsigned int)v;
	return 0;
}

static int parse_duration(const struct conf_option *opt, const char *text, int64_t unit,
			  int64_t *ret, struct err *err)
{
	int64_t ms;

	if (conf_parse_duration_ms(text, &ms) < 0)
		return wrong(opt, text, err);
	if (ms == CONF_NEVER) {
		if (!opt->never)
			return err_set(err, -EINVAL,
				       "\"never\" is no limit, and this option needs one");
		*ret = CONF_NEVER;
		return 0;
	}
	if (ms % unit)
		return err_set(err, -EINVAL, "\"%s\" is finer than a second", text);
	if (check_bounds(opt, (uint64_t)(ms / unit), text, err) < 0)
		return -EINVAL;
	*ret = ms / unit;
	return 0;
}

static int set_ms(const struct conf_option *opt, void *field, const char *text, struct err *err)
{
	return parse_duration(opt, text, 1, field, err);
}

static int set_seconds(const struct conf_option *opt, void *field, const char *text,
		       struct err *err)
{
	return parse_duration(opt, text, 1000, field, err);
}

static int set_word(const struct conf_option *opt, void *field, const char *text, struct err *err)
{
	char all[160] = "";
	size_t len = 0;

	for (size_t i = 0; opt->words[i]; i++) {
		if (strcmp(opt->words[i], text) == 0) {
			*(unsigned int *)field = (unsigned int)i;
			return 0;
		}
		len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s", i ? ", " : "",
					opt->words[i]);
	}
	for (size_t i = 0; opt->later && opt->later[i]; i++)
		if (strcmp(opt->later[i], text) == 0)
			return err_set(err, -EINVAL,
				       "\"%s\" is not in this version of cogfs; one of: %s", text,
				       all);
	return err_set(err, -EINVAL, "\"%s\" is none of: %s", text, all);
}

static int set_flag_word(const struct conf_option *opt, void *field, const char *text,
			 struct err *err)
{
	if (strcmp(text, opt->words[0]) != 0)
		return err_set(err, -EINVAL, "\"%s\" is not \"%s\"", text, opt->words[0]);
	*(bool *)field = true;
	return 0;
}

static void release_string(char **field, bool secret)
{
	if (*field && secret)
		explicit_bzero(*field, strlen(*field));
	free(*field);
	*field = NULL;
}

static int set_string(const struct conf_option *opt, void *field, const char *text, struct err *err)
{
	char **to = field;
	char *copy = NULL;

	/* "" means the default, which for some is the empty string itself. */
	if (*text || opt->def) {
		copy = strdup(text);
		if (!copy)
			return err_set(err, -ENOMEM, "no memory");
	}
	release_string(to, opt->kind == CONF_SECRET);
	*to = copy;
	return 0;
}

static int set_uid(const struct conf_option *opt, void *field, const char *text, struct err *err)
{
	const struct passwd *pw;
	uint64_t v;

	if (parse_u64(text, &v) == 0 && v < UINT32_MAX) {
		*(uid_t *)field = (uid_t)v;
		return 0;
	}
	pw = getpwnam(text);
	if (!pw)
		return err_set(err, -EINVAL, "there is no user \"%s\"", text);
	*(uid_t *)field = pw->pw_uid;
	(void)opt;
	return 0;
}

static int set_gid(const struct conf_option *opt, void *field, const char *text, struct err *err)
{
	const struct group *gr;
	uint64_t v;

	if (parse_u64(text, &v) == 0 && v < UINT32_MAX) {
		*(gid_t *)field = (gid_t)v;
		return 0;
	}
	gr = getgrnam(text);
	if (!gr)
		return err_set(err, -EINVAL, "there is no group \"%s\"", text);
	*(gid_t *)field = gr->gr_gid;
	(void)opt;
	return 0;
}

static int set_mode(const struct conf_option *opt, void *field, const char *text, struct err *err)
{
	char *end;
	unsigned long v;

	if (*text < '0' || *text > '7')
		return wrong(opt, text, err);
	v = strtoul(text, &end, 8);
	if (*end || v > 07777)
		return wrong(opt, text, err);
	*(mode_t *)field = (mode_t)v;
	return 0;
}

static int set_free_room(const struct conf_option *opt, void *field, const char *text,
			 struct err *err)
{
	struct conf_tier *tier = container_of(field, struct conf_tier, min_free);

	if (conf_parse_part(text, &tier->min_free, &tier->min_free_ratio) < 0)
		return wrong(opt, text, err);
	return 0;
}

int conf_patterns_add(char ***list, const char *pattern, struct err *err)
{
	struct pattern *compiled;
	size_t n = 0;
	char **grown;
	int r = pattern_compile(pattern, &compiled, err);

	if (r < 0)
		return r;
	pattern_free(compiled);
	while (*list && (*list)[n])
		n++;
	grown = realloc(*list, (n + 2) * sizeof(*grown));
	if (!grown)
		return err_set(err, -ENOMEM, "no memory");
	*list = grown;
	grown[n] = strdup(pattern);
	grown[n + 1] = NULL;
	return grown[n] ? 0 : err_set(err, -ENOMEM, "no memory");
}

static int set_patterns(const struct conf_option *opt, void *field, const char *text,
			struct err *err)
{
	(void)opt;
	return conf_patterns_add(field, text, err);
}

static int set_tiers(const struct conf_option *opt, void *field, const char *text, struct err *err)
{
	(void)opt;
	return conf_tiers_set(field, text, err);
}

static int set_compression(const struct conf_option *opt, void *field, const char *text,
			   struct err *err)
{
	return conf_compression_set(field, text, err) < 0 ? wrong(opt, text, err) : 0;
}

static int set_parts(const struct conf_option *opt, void *field, const char *text, struct err *err)
{
	(void)field;
	return wrong(opt, text, err);
}

static int set_later(const struct conf_option *opt, void *field, const char *text, struct err *err)
{
	bool given, now;

	(void)field;
	if (!opt->def)
		return err_set(err, -EINVAL, "not in this version of cogfs (%s)", opt->text);
	if (strcmp(opt->def, text) == 0 ||
	    (parse_switch(opt->def, &now) == 0 && parse_switch(text, &given) == 0 && given == now))
		return 0;
	return err_set(err, -EINVAL, "\"%s\" is not in this version of cogfs; only \"%s\" is", text,
		       opt->def);
}

/* --- to text --- */

static char *format_u64(uint64_t v)
{
	char *s;

	return asprintf(&s, "%" PRIu64, v) < 0 ? NULL : s;
}

static char *format_scaled(uint64_t v, const char *const *units, const uint64_t *factors, size_t n)
{
	char *s;

	for (size_t i = 0; i < n; i++)
		if (v && v % factors[i] == 0)
			return asprintf(&s, "%" PRIu64 "%s", v / factors[i], units[i]) < 0 ? NULL
											   : s;
	return format_u64(v);
}

char *conf_format_size(uint64_t v)
{
	static const char *const units[] = {"TiB", "GiB", "MiB", "KiB"};
	static const uint64_t factors[] = {1ULL << 40, 1ULL << 30, 1ULL << 20, 1ULL << 10};

	return format_scaled(v, units, factors, 4);
}

static char *format_ms(int64_t v)
{
	static const char *const units[] = {"d", "h", "m", "s", "ms"};
	static const uint64_t factors[] = {86400000, 3600000, 60000, 1000, 1};

	if (v == CONF_NEVER)
		return strdup("never");
	return format_scaled((uint64_t)v, units, factors, 5);
}

static char *format_tristate(enum conf_auto v)
{
	return strdup(v == CONF_AUTO ? "auto" : v == CONF_ON ? "on" : "off");
}

char *conf_value_format(const struct conf_option *opt, const void *base)
{
	const void *field = (const char *)base + opt->offset;
	const char *s;
	char *text;

	if (!conf_value_given(opt, base))
		return NULL;
	switch (opt->kind) {
	case CONF_BOOL:
		return strdup(*(const bool *)field ? "on" : "off");
	case CONF_TRISTATE:
		return format_tristate(*(const enum conf_auto *)field);
	case CONF_SIZE:
		return conf_format_size(*(const uint64_t *)field);
	case CONF_COUNT:
		return format_u64(*(const uint64_t *)field);
	case CONF_NUMBER:
		if (!*(const unsigned int *)field && opt->def && strcmp(opt->def, "auto") == 0)
			return strdup("auto");
		return format_u64(*(const unsigned int *)field);
	case CONF_MS:
		return format_ms(*(const int64_t *)field);
	case CONF_SECONDS:
		return *(const int64_t *)field == CONF_NEVER
			       ? strdup("never")
			       : format_ms(*(const int64_t *)field * 1000);
	case CONF_WORD:
		return strdup(opt->words[*(const unsigned int *)field]);
	case CONF_FLAG_WORD:
		return *(const bool *)field ? strdup(opt->words[0]) : NULL;
	case CONF_STRING:
	case CONF_PATH:
		s = *(char *const *)field;
		return s ? strdup(s) : NULL;
	case CONF_SECRET:
		return *(char *const *)field ? strdup("***") : NULL;
	case CONF_UID:
		return format_u64(*(const uid_t *)field);
	case CONF_GID:
		return format_u64(*(const gid_t *)field);
	case CONF_MODE:
		return asprintf(&text, "%04o", *(const mode_t *)field) < 0 ? NULL : text;
	case CONF_FREE:
		return conf_format_part(((const struct conf_tier *)base)->min_free,
					((const struct conf_tier *)base)->min_free_ratio);
	case CONF_TIERS:
		return conf_tiers_format(*(struct conf_share *const *)field);
	case CONF_COMPRESSION:
		return conf_compression_format(field);
	case CONF_PARTS:
		return conf_parts_format(*(struct conf_part *const *)field);
	case CONF_PATTERNS:
	case CONF_LATER:
		return NULL;
	}
	return NULL;
}

typedef int set_fn(const struct conf_option *opt, void *field, const char *text, struct err *err);

int conf_value_set(const struct conf_option *opt, void *base, const char *text, struct err *err)
{
	static set_fn *const setters[] = {
		[CONF_BOOL] = set_bool,
		[CONF_TRISTATE] = set_tristate,
		[CONF_SIZE] = set_size,
		[CONF_COUNT] = set_count,
		[CONF_NUMBER] = set_number,
		[CONF_MS] = set_ms,
		[CONF_SECONDS] = set_seconds,
		[CONF_WORD] = set_word,
		[CONF_FLAG_WORD] = set_flag_word,
		[CONF_STRING] = set_string,
		[CONF_PATH] = set_string,
		[CONF_SECRET] = set_string,
		[CONF_UID] = set_uid,
		[CONF_GID] = set_gid,
		[CONF_MODE] = set_mode,
		[CONF_FREE] = set_free_room,
		[CONF_PATTERNS] = set_patterns,
		[CONF_TIERS] = set_tiers,
		[CONF_COMPRESSION] = set_compression,
		[CONF_PARTS] = set_parts,
		[CONF_LATER] = set_later,
	};

	int r = setters[opt->kind](opt, (char *)base + opt->offset, text, err);

	if (r == 0)
		conf_value_note(opt, base);
	return r;
}

void conf_value_note(const struct conf_option *opt, void *base)
{
	if (opt->given)
		*(uint32_t *)((char *)base + opt->given_at) |= 1u << opt->given;
}

bool conf_value_given(const struct conf_option *opt, const void *base)
{
	return !opt->given ||
	       *(const uint32_t *)((const char *)base + opt->given_at) & 1u << opt->given;
}

bool conf_value_equal(const struct conf_option *opt, const void *a, const void *b)
{
	CLEANUP_FREE char *text_a = NULL, *text_b = NULL;

	if (opt->kind == CONF_SECRET) {
		const char *sa = *(char *const *)((const char *)a + opt->offset);
		const char *sb = *(char *const *)((const char *)b + opt->offset);

		return sa == sb || (sa && sb && strcmp(sa, sb) == 0);
	}
	text_a = conf_value_format(opt, a);
	text_b = conf_value_format(opt, b);
	return text_a == text_b || (text_a && text_b && strcmp(text_a, text_b) == 0);
}

void conf_value_copy(const struct conf_option *opt, void *to, const void *from)
{
	static const size_t sizes[] = {
		[CONF_SIZE] = sizeof(uint64_t), [CONF_COUNT] = sizeof(uint64_t),
		[CONF_MS] = sizeof(int64_t),	[CONF_SECONDS] = sizeof(int64_t),
		[CONF_WORD] = sizeof(int),	[CONF_NUMBER] = sizeof(unsigned int),
		[CONF_FREE] = sizeof(uint64_t), [CONF_LATER] = 0,
	};

	if (opt->kind == CONF_FREE)
		((struct conf_tier *)to)->min_free_ratio =
			((const struct conf_tier *)from)->min_free_ratio;
	memcpy((char *)to + opt->offset, (const char *)from + opt->offset, sizes[opt->kind]);
}

void conf_value_release(const struct conf_option *opt, void *base)
{
	void *field = (char *)base + opt->offset;

	if (opt->kind == CONF_STRING || opt->kind == CONF_PATH || opt->kind == CONF_SECRET)
		release_string(field, opt->kind == CONF_SECRET);
	if (opt->kind == CONF_TIERS) {
		conf_shares_free(*(struct conf_share **)field);
		*(struct conf_share **)field = NULL;
	}
	if (opt->kind == CONF_PARTS) {
		conf_parts_free(*(struct conf_part **)field);
		*(struct conf_part **)field = NULL;
	}
	if (opt->kind == CONF_PATTERNS) {
		char ***list = field;

		for (size_t i = 0; *list && (*list)[i]; i++)
			free((*list)[i]);
		free(*list);
		*list = NULL;
	}
}
