# Flags.cmake: the language, the warnings and the build modes, the same for every target.

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# Where ccache is installed, several clones and branches share what they compiled.
find_program(CCACHE ccache)
if(CCACHE)
    set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")

add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wvla -Werror
                    -fno-omit-frame-pointer)
add_compile_definitions(MERIDIAN_VERSION="${PROJECT_VERSION}")

# The commit that this tree was configured from; tools/build configures before every build. Only src/cli is told, as
# MERIDIAN_COMMIT, so that a commit does not recompile the rest.
execute_process(COMMAND git describe --always --dirty --abbrev=10 --exclude=*
                WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE MERIDIAN_COMMIT
                OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT MERIDIAN_COMMIT)
    set(MERIDIAN_COMMIT unknown)
endif()

if(MERIDIAN_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
        message(FATAL_ERROR "MERIDIAN_FUZZ needs clang: configure with -DCMAKE_C_COMPILER=clang")
    endif()
    if(MERIDIAN_SANITIZE)
        message(FATAL_ERROR "MERIDIAN_FUZZ brings its own sanitizers: leave MERIDIAN_SANITIZE empty")
    endif()
    add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
    add_link_options(-fsanitize=address,undefined)
elseif(MERIDIAN_SANITIZE)
    add_compile_options(-fsanitize=${MERIDIAN_SANITIZE} -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${MERIDIAN_SANITIZE})
endif()
