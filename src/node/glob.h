/* glob.h: Redis' glob patterns, for KEYS, SCAN MATCH, PSUBSCRIBE and CONFIG GET: * ? [a-z] [^a] and \ to escape. */
#ifndef MERIDIAN_NODE_GLOB_H
#define MERIDIAN_NODE_GLOB_H

#include "base/slice.h"

/* Linear in the text for each star, without recursion: a hostile pattern costs at most pattern times text. */
bool glob_match(struct slice pattern, struct slice text);
bool glob_match_nocase(struct slice pattern, struct slice text);

#endif
