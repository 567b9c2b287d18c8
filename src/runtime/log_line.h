/* log_line.h: the structured log: one line an event, `2026-11-23T13:05:41.123Z INFO event key=value …`, to stderr. */
#ifndef MERIDIAN_RUNTIME_LOG_LINE_H
#define MERIDIAN_RUNTIME_LOG_LINE_H

#include "base/assert.h"

/* `level` is one of D, I, W, E. Safe from any thread: one write per line. */
void log_line(char level, const char *event, const char *text);
void log_format(char level, const char *event, const char *format, ...) PRINTF_LIKE(3, 4);

#endif
