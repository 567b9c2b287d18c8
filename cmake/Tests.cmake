# Tests.cmake: how test programs are made. Everything here is globbed: a new test file is a new test.
#
# A test file may name the rooms it links in its first line, `/* links: sim node */`; a unit test always links its own.

set(MERIDIAN_TEST_ENVIRONMENT
    "TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/tsan.supp:halt_on_error=1:die_after_fork=0"
    "UBSAN_OPTIONS=print_stacktrace=1"
    "ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1")

# Set `out` to the rooms that the first line of `file` names.
function(rooms_of_file file out)
    file(STRINGS ${file} line LIMIT_COUNT 1)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    if(line MATCHES "^/\\* links: ([a-z ]+)\\*/")
        string(STRIP "${CMAKE_MATCH_1}" words)
        string(REPLACE " " ";" words "${words}")
        set(${out} ${words} PARENT_SCOPE)
    else()
        set(${out} "" PARENT_SCOPE)
    endif()
endfunction()

function(test_program target)
    add_executable(${target} ${ARGN})
    set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})
endfunction()

# True in `out` when every named room has a library in this tree.
function(rooms_exist out)
    set(${out} TRUE PARENT_SCOPE)
    foreach(room IN LISTS ARGN)
        if(NOT TARGET meridian_${room})
            set(${out} FALSE PARENT_SCOPE)
        endif()
    endforeach()
endfunction()

# tests/unit/<room>/test_<file>.c: a cmocka program; ctest name unit.<room>.<file>. Other .c files of the folder are
# shared by its tests and linked with each.
function(unit_test room file)
    get_filename_component(name ${file} NAME_WE)
    string(REGEX REPLACE "^test_" "" short ${name})
    rooms_of_file(${file} extra)
    rooms_exist(ready ${room} ${extra})
    if(NOT ready)
        return()
    endif()
    set(target unit_${room}_${short})
    get_filename_component(folder ${file} DIRECTORY)
    file(GLOB shared CONFIGURE_DEPENDS ${folder}/*.c)
    list(FILTER shared EXCLUDE REGEX "/test_[^/]*$")
    test_program(${target} ${file} ${shared})
    external_library(cmocka cmocka)
    link_rooms(${target} PRIVATE ${room} ${extra})
    target_link_libraries(${target} PRIVATE ${cmocka})
    link_allocator(${target})
    add_test(NAME unit.${room}.${short} COMMAND ${target} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(unit.${room}.${short} PROPERTIES LABELS "unit" TIMEOUT 300
                         ENVIRONMENT "${MERIDIAN_TEST_ENVIRONMENT}")
endfunction()

# tests/trace/test_<name>.c: like a unit test, over the scripts in tests/trace; ctest name trace.<name>.
function(trace_test file)
    get_filename_component(name ${file} NAME_WE)
    string(REGEX REPLACE "^test_" "" short ${name})
    rooms_of_file(${file} rooms)
    rooms_exist(ready ${rooms})
    if(NOT ready)
        return()
    endif()
    test_program(trace_${short} ${file})
    external_library(cmocka cmocka)
    link_rooms(trace_${short} PRIVATE ${rooms})
    target_link_libraries(trace_${short} PRIVATE ${cmocka})
    link_allocator(trace_${short})
    add_test(NAME trace.${short} COMMAND trace_${short} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(trace.${short} PROPERTIES LABELS "unit" TIMEOUT 300
                         ENVIRONMENT "${MERIDIAN_TEST_ENVIRONMENT}")
endfunction()

# tests/fuzz/fuzz_<name>.c: a libFuzzer program under MERIDIAN_FUZZ; else replay_<name>, which runs the kept corpus
# through the same function; ctest name fuzz.<name>.
function(fuzz_target file)
    get_filename_component(name ${file} NAME_WE)
    string(REGEX REPLACE "^fuzz_" "" short ${name})
    rooms_of_file(${file} rooms)
    rooms_exist(ready ${rooms})
    if(NOT ready)
        return()
    endif()
    set(corpus ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${short})
    if(MERIDIAN_FUZZ)
        test_program(fuzz_${short} ${file})
        target_link_options(fuzz_${short} PRIVATE -fsanitize=fuzzer)
        link_rooms(fuzz_${short} PRIVATE ${rooms})
        set_property(GLOBAL APPEND PROPERTY MERIDIAN_FUZZ_TARGETS fuzz_${short})
    else()
        test_program(replay_${short} ${file} ${PROJECT_SOURCE_DIR}/tests/fuzz/replay_main.c)
        link_rooms(replay_${short} PRIVATE ${rooms})
        link_allocator(replay_${short})
        add_test(NAME fuzz.${short} COMMAND replay_${short} ${corpus} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
        set_tests_properties(fuzz.${short} PROPERTIES LABELS "fuzz" TIMEOUT 300
                             ENVIRONMENT "${MERIDIAN_TEST_ENVIRONMENT}")
    endif()
endfunction()

# tests/integration/test_<name>.py: real processes of build/bin/meridian; ctest name integration.<name>.
function(integration_test file)
    get_filename_component(name ${file} NAME_WE)
    string(REGEX REPLACE "^test_" "" short ${name})
    add_test(NAME integration.${short} COMMAND /usr/bin/python3 ${file} -v
             WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}/tests/integration)
    set_tests_properties(integration.${short} PROPERTIES LABELS "integration" TIMEOUT 1200 SKIP_RETURN_CODE 77
                         ENVIRONMENT "MERIDIAN=${PROJECT_BINARY_DIR}/bin/meridian;${MERIDIAN_TEST_ENVIRONMENT}")
endfunction()

# tests/shim/<name>.c: a library for LD_PRELOAD, build/tests/lib<name>.so. Sanitizers want to be the first library
# themselves, so their builds have none.
function(preload_library file)
    get_filename_component(name ${file} NAME_WE)
    if(NOT MERIDIAN_SANITIZE AND NOT MERIDIAN_FUZZ)
        add_library(${name} SHARED ${file})
        set_target_properties(${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    endif()
endfunction()

# Build sim_bug_<name>: the simulator over core rooms compiled with -DPLANTED_BUG_<NAME>=1, which its checkers must
# catch; ctest name planted.<name>. Only the files that mention the flag are compiled again; they stand before the rooms
# on the linker's line, so that their untouched twins are never taken out of the libraries. Headers can't carry a bug:
# the rooms would disagree. Further arguments are definitions for the variant, such as PLANTED_IN_ORDERED=1.
add_custom_target(planted)

function(planted_variant bug)
    set(core causality crdt contract storage mergeable ordered txn node sim)
    rooms_exist(ready ${core})
    set(main ${PROJECT_SOURCE_DIR}/tests/planted/main.c)
    if(NOT ready OR NOT EXISTS ${main})
        return()
    endif()
    set(carriers)
    foreach(room IN LISTS core)
        file(GLOB files ${PROJECT_SOURCE_DIR}/src/${room}/*.[ch])
        foreach(file IN LISTS files)
            file(STRINGS ${file} hits REGEX "PLANTED_BUG_${bug}([^A-Z0-9_]|$)" LIMIT_COUNT 1)
            if(hits AND file MATCHES "\\.h$")
                message(FATAL_ERROR "${file}: a planted bug belongs into a .c file")
            elseif(hits)
                list(APPEND carriers ${file})
            endif()
        endforeach()
    endforeach()
    string(TOLOWER ${bug} lower)
    add_test(NAME planted.${lower} COMMAND sim_bug_${lower} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(planted.${lower} PROPERTIES LABELS "planted" TIMEOUT 600)
    if(NOT carriers)
        message(WARNING "planted bug ${bug}: no source mentions PLANTED_BUG_${bug}; its test will fail")
        return()
    endif()
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${carriers})
    test_program(sim_bug_${lower} ${main} ${carriers})
    set_target_properties(sim_bug_${lower} PROPERTIES EXCLUDE_FROM_ALL TRUE)
    target_compile_definitions(sim_bug_${lower} PRIVATE PLANTED_BUG_${bug}=1 ${ARGN})
    link_rooms(sim_bug_${lower} PRIVATE sim ${core} wire base)
    link_allocator(sim_bug_${lower})
    add_dependencies(planted sim_bug_${lower})
endfunction()
