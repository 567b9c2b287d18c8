/* key_value.c: the storage tests' key-value store in memory, here too. */
#include "tests/unit/storage/memory_kv.c"
