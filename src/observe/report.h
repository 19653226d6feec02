/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What fsck and import tell, as JSON: the same from a mount as from a cache directory. The caller
 * owns what is returned; NULL: no memory.
 */
#ifndef OBSERVE_REPORT_H
#define OBSERVE_REPORT_H

#include <jansson.h>

#include "cache/check.h"
#include "cache/import.h"

json_t *report_check_finding(const struct check_finding *f);
json_t *report_check_totals(const struct check_totals *t);
json_t *report_import_finding(const char *path, enum import_outcome outcome, const char *why);
json_t *report_import_totals(const struct import_totals *t);

#endif
