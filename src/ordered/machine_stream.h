/* machine_stream.h: the marks of a snapshot's stream, for its two ends. */
#ifndef MERIDIAN_ORDERED_MACHINE_STREAM_H
#define MERIDIAN_ORDERED_MACHINE_STREAM_H

#include <stdint.h>

#define STREAM_MAGIC UINT32_C(0x53474f4d) /* "MOGS" */

enum { STREAM_VERSION = 1, STREAM_END = 0xff };

#endif
