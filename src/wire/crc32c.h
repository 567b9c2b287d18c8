/* crc32c.h: the Castagnoli checksum (RFC 3720, B.4), with the processor's instruction where there is one. */
#ifndef MERIDIAN_WIRE_CRC32C_H
#define MERIDIAN_WIRE_CRC32C_H

#include "base/slice.h"

uint32_t crc32c(uint32_t seed, struct slice s); /* seed 0 to begin; chain with the previous result */

/* The same without the instruction: what other processors run, and what the tests hold the first against. */
uint32_t crc32c_by_table(uint32_t seed, struct slice s);

#endif
