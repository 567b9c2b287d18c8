/* worlds.c: the ordered tests' machine over a store in memory, here too. */
#include "tests/unit/ordered/machine_world.c"
