/* disk.c: the storage tests' folder of files in memory, here too. */
#include "tests/unit/storage/memory_files.c"
