/* assert.h: assertions that stay on in release builds, and the attributes used with them.
 *
 * ASSERT(fact)       our own bug if false: the process stops, naming file, line and fact.
 * MAYBE(fact)        documents that a fact may be either way; asserts nothing, so the fact must have no effect.
 * PANIC(fmt, ...)    stop the process with a message (a failed fsync, memory exhausted).
 * MUST_USE           the result must not be dropped.
 */
#ifndef MERIDIAN_BASE_ASSERT_H
#define MERIDIAN_BASE_ASSERT_H

#define MUST_USE __attribute__((warn_unused_result))
#define NORETURN __attribute__((noreturn))
#define PRINTF_LIKE(format_index, first_arg) __attribute__((format(printf, format_index, first_arg)))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* What the macros below call. Each writes one line to standard error and aborts. */
NORETURN void assert_fail(const char *file, int line, const char *fact);
/* The same with a formatted reason. */
NORETURN PRINTF_LIKE(3, 4) void panic_at(const char *file, int line, const char *format, ...);

#define ASSERT(fact) (LIKELY(fact) ? (void)0 : assert_fail(__FILE__, __LINE__, #fact))
#define MAYBE(fact) ((void)(fact))
#define PANIC(...) panic_at(__FILE__, __LINE__, __VA_ARGS__)

#endif
