/* status.c: the English names of the statuses, for logs and error replies. */
#include "base/status.h"

const char *status_name(enum status status)
{
    switch (status) { /* no default: the compiler finds a status without a name */
    case STATUS_OK: return "ok";
    case STATUS_MORE: return "more bytes needed";
    case STATUS_MALFORMED: return "malformed";
    case STATUS_LIMIT: return "over a limit";
    case STATUS_NOT_FOUND: return "not found";
    case STATUS_EXISTS: return "exists";
    case STATUS_BUSY: return "busy";
    case STATUS_CORRUPT: return "corrupt";
    case STATUS_IO: return "input or output failed";
    case STATUS_NO_SPACE: return "no space";
    case STATUS_VERSION: return "wrong magic or version";
    case STATUS_CLOSED: return "closed";
    }
    return "unknown status";
}
