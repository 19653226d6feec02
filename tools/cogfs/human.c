/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and progress for people. */
#include "cli/human.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BAR_WIDTH 24

char human_char(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f ? '?' : c;
}

void human_text(const char *text)
{
	for (; text && *text; text++)
		putchar(human_char(*text));
}

const char *human_size(uint64_t bytes, char *buf, size_t size)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(buf, size, "%" PRIu64 " bytes", bytes);
		return buf;
	}
	for (; value >= 1023.95 && unit < 5; unit++)
		value /= 1024;
	snprintf(buf, size, "%.1f %s", value, units[unit]);
	return buf;
}

const char *human_seconds(int64_t seconds, char *buf, size_t size)
{
	if (seconds < 60)
		snprintf(buf, size, "%" PRId64 "s", seconds);
	else if (seconds < 3600)
		snprintf(buf, size, "%" PRId64 "m %" PRId64 "s", seconds / 60, seconds % 60);
	else if (seconds < 86400)
		snprintf(buf, size, "%" PRId64 "h %" PRId64 "m", seconds / 3600, seconds / 60 % 60);
	else
		snprintf(buf, size, "%" PRId64 "d %" PRId64 "h", seconds / 86400,
			 seconds / 3600 % 24);
	return buf;
}

void progress_show(struct progress *p, uint64_t entries, uint64_t bytes)
{
	char bar[BAR_WIDTH + 1], left[32];
	size_t filled;

	if (!isatty(STDERR_FILENO))
		return;
	if (p->counts_up) {
		fprintf(stderr, "\r\033[K%s %" PRIu64 " done, %s", p->what, entries,
			human_size(bytes, left, sizeof(left)));
		fflush(stderr);
		p->shown = true;
		return;
	}
	if (entries > p->most)
		p->most = entries;
	filled = p->most ? (size_t)((p->most - entries) * BAR_WIDTH / p->most) : BAR_WIDTH;
	memset(bar, '#', filled);
	memset(bar + filled, '.', BAR_WIDTH - filled);
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r\033[K%s [%s] %" PRIu64 " left", p->what, bar, entries);
	if (bytes)
		fprintf(stderr, ", %s", human_size(bytes, left, sizeof(left)));
	fflush(stderr);
	p->shown = true;
}

void progress_end(struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	p->shown = false;
}
