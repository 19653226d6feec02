/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metrics file: Prometheus' text format 0.0.4. Names are cogfs_NAME, with _total behind a
 * counter and _seconds for _s; HELP and TYPE come from the tables of counters and gauges.
 */
#ifndef OBSERVE_METRICS_H
#define OBSERVE_METRICS_H

#include <stdio.h>

#include "observe/sample.h"

/* Errors are the stream's. */
void metrics_print(const struct sample *s, FILE *out);

#endif
