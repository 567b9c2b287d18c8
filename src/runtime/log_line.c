/* log_line.c: compose a line, write it at once. */
#include "runtime/log_line.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LOG_LINE_BYTES_MAX = 2048 };

static const char *level_name(char level)
{
    switch (level) {
    case 'D': return "DEBUG";
    case 'W': return "WARN";
    case 'E': return "ERROR";
    default: return "INFO";
    }
}

void log_line(char level, const char *event, const char *text)
{
    struct timespec now;
    struct tm utc;
    char stamp[32], line[LOG_LINE_BYTES_MAX];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    int length = snprintf(line, sizeof line - 1, "%s.%03ldZ %-5s %s%s%s", stamp, now.tv_nsec / 1000000,
                          level_name(level), event, text[0] ? " " : "", text);
    if (length < 0) return;
    if (length > (int)sizeof line - 2) length = (int)sizeof line - 2;
    for (int i = 0; i < length; i++) {
        if (line[i] == '\n' || line[i] == '\r') line[i] = ' '; /* one event, one line */
    }
    line[length] = '\n';
    ssize_t written = write(STDERR_FILENO, line, (size_t)length + 1);
    MAYBE(written < 0); /* a log that can't be written must not stop the node */
}

void log_format(char level, const char *event, const char *format, ...)
{
    char text[LOG_LINE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_line(level, event, text);
}
