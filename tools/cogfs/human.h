/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and progress for people. */
#ifndef CLI_HUMAN_H
#define CLI_HUMAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "1.5 GiB", "17 bytes". Returns buf. */
const char *human_size(uint64_t bytes, char *buf, size_t size);
/* "2d 3h", "45s". Returns buf. */
const char *human_seconds(int64_t seconds, char *buf, size_t size);

/*
 * Names come from outside: nothing in them is to reach the terminal as a command. human_char is the
 * character, or '?' for one that is none to print; human_text prints a whole text so (NULL: none).
 */
char human_char(char c);
void human_text(const char *text);

/* One line on a terminal that is written again and again; silent where stderr is none. */
struct progress {
	const char *what; /* "flush" */
	bool shown;
	uint64_t most;	/* the most that was ever left: 0 % */
	bool counts_up; /* nobody knows how much there is: what is done is shown, without a bar */
};

/* left of entries and bytes; a bar from the most that was left down to nothing. */
void progress_show(struct progress *p, uint64_t entries, uint64_t bytes);
/* Takes the line away, so that the next message begins at the left. */
void progress_end(struct progress *p);

#endif
