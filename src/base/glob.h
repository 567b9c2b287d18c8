/* glob.h: the patterns of Redis' KEYS, SCAN, PSUBSCRIBE and CONFIG GET.
 *
 *   *       any run of bytes           [a-z]   one byte of a range     \x      the byte x itself
 *   ?       any one byte               [^xy]   one byte not listed
 */
#ifndef MERIDIAN_BASE_GLOB_H
#define MERIDIAN_BASE_GLOB_H

#include "base/slice.h"

/* True when the whole of `text` fits `pattern`. Work is bounded by the product of both lengths, whatever the pattern.
 */
bool glob_match(struct slice pattern, struct slice text);
bool glob_match_nocase(struct slice pattern, struct slice text); /* ASCII letters of either case are equal */

#endif
