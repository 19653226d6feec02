/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions that are not used in cogfs. The build includes this header before
 * every source, so that a use is a compile error whose text names the function.
 *
 * They fall into three kinds: those that write without knowing how much room there is, those
 * whose answer lives in static storage that another thread overwrites, and those that cannot
 * report an error. What to take instead:
 *
 *   strcpy strcat strncpy strncat      memcpy with a checked length, snprintf
 *   sprintf vsprintf                   snprintf, vsnprintf, asprintf
 *   gets                               getline
 *   strtok                             strtok_r, strsep, strcspn
 *   localtime gmtime ctime asctime     localtime_r, gmtime_r, strftime
 *   atoi atol atoll atof               strtol and kin, with the end looked at
 *   alloca                             a fixed buffer, malloc with a cleanup attribute
 *   tmpnam tempnam mktemp              mkstemp, mkostemp, O_TMPFILE
 */
#ifndef COGFS_UTIL_BANNED_H
#define COGFS_UTIL_BANNED_H

/* The declarations must be read before the names go. */
#include <alloca.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#define strcpy banned_strcpy
#define strcat banned_strcat
#define strncpy banned_strncpy
#define strncat banned_strncat

#undef sprintf
#undef vsprintf
#undef gets
#define sprintf banned_sprintf
#define vsprintf banned_vsprintf
#define gets banned_gets

#undef strtok
#undef localtime
#undef gmtime
#undef ctime
#undef asctime
#define strtok banned_strtok
#define localtime banned_localtime
#define gmtime banned_gmtime
#define ctime banned_ctime
#define asctime banned_asctime

#undef atoi
#undef atol
#undef atoll
#undef atof
#define atoi banned_atoi
#define atol banned_atol
#define atoll banned_atoll
#define atof banned_atof

#undef alloca
#define alloca banned_alloca

#undef tmpnam
#undef tempnam
#undef mktemp
#define tmpnam banned_tmpnam
#define tempnam banned_tempnam
#define mktemp banned_mktemp

#endif
