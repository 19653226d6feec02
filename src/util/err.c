/* SPDX-License-Identifier: Apache-2.0 */
/* Reasons for people, wrapped on their way up. */
#include "util/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX sizeof(((struct err *)NULL)->text)

/* Puts as much of s behind the text as there is room for. */
static void append(char text[TEXT_MAX], const char *s)
{
	size_t len = strlen(text), more = strnlen(s, TEXT_MAX - 1 - len);

	memcpy(text + len, s, more);
	text[len + more] = '\0';
}

/*
 * Formats aside first: an argument may point into e->text itself, as in err_set(e, code, "%s
 * (again)", e->text).
 */
int err_set(struct err *e, int code, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	if (!e)
		return code;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	memcpy(e->text, text, strlen(text) + 1);
	return code;
}

int err_wrap(struct err *e, int code, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	if (!e)
		return code;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	append(text, ": ");
	append(text, err_text(e, code));
	memcpy(e->text, text, strlen(text) + 1);
	return code;
}

const char *err_text(const struct err *e, int code)
{
	const char *text;

	if (e && e->text[0])
		return e->text;
	/* Unlike strerror(), this answers from constant storage. */
	text = strerrordesc_np(code < 0 ? -code : code);
	return text ? text : "Unknown error";
}
