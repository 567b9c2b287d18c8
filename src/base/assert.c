/* assert.c: the end of the process, with one line on standard error that says why.
 *
 * Nothing is flushed or saved: what is not durable yet was not acknowledged, and a process whose facts are wrong must
 * not write.
 */
#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { PANIC_LINE_BYTES = 1024 };

/* One fwrite of one line, so that the messages of two processes on one terminal do not mix. */
NORETURN static void die(const char *line)
{
    fputs(line, stderr);
    fflush(stderr);
    abort();
}

void assert_fail(const char *file, int line, const char *fact)
{
    char text[PANIC_LINE_BYTES];
    snprintf(text, sizeof text, "%s:%d: assertion failed: %s\n", file, line, fact);
    die(text);
}

void panic_at(const char *file, int line, const char *format, ...)
{
    char reason[PANIC_LINE_BYTES - 256];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    char text[PANIC_LINE_BYTES];
    snprintf(text, sizeof text, "%.200s:%d: panic: %s\n", file, line, reason);
    die(text);
}
