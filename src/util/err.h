/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: inside cogfs a function returns 0 or a negative errno. Where a person must read what
 * happened, the caller passes a struct err as well; the message is wrapped on its way up
 * ("fill a/b.jpg: GET: TLS: certificate has expired") and logged once, at the edge.
 */
#ifndef UTIL_ERR_H
#define UTIL_ERR_H

#include <stddef.h>

/* A human-readable reason. Zero-initialise; needs no release. Never holds a secret. */
struct err {
	char text[512];
};

/* Sets the text and returns code (a negative errno) for `return err_set(...)`. e may be NULL. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " in front of the present text; returns code. e may be NULL. */
int err_wrap(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The text, or strerror of code where nobody said anything. Valid as long as e is. */
const char *err_text(const struct err *e, int code);

#endif
