/* status.h: the named outcomes of calls that can fail for a reason outside our own code.
 *
 * Four kinds of trouble get four answers (ARCHITECTURE.md, "Errors"): our bug is an ASSERT; bad input and the
 * environment are a status; a protocol outcome is an enum of its module, never one of these.
 */
#ifndef MERIDIAN_BASE_STATUS_H
#define MERIDIAN_BASE_STATUS_H

enum status {
    STATUS_OK = 0,
    STATUS_MORE,      /* a correct prefix: call again with more bytes */
    STATUS_MALFORMED, /* can never become valid */
    STATUS_LIMIT,     /* larger than a named limit allows; nothing changed */
    STATUS_NOT_FOUND,
    STATUS_EXISTS,
    STATUS_BUSY,     /* a bounded queue is full: back off, nothing was taken */
    STATUS_CORRUPT,  /* bytes at rest fail their checksum or their structure */
    STATUS_IO,       /* the environment failed: disk or network */
    STATUS_NO_SPACE, /* the disk is full */
    STATUS_VERSION,  /* magic or version is not ours */
    STATUS_CLOSED,
};

/* A short lower-case English name, e.g. "no space". Never NULL. */
const char *status_name(enum status status);

#endif
