# Rooms.cmake: how a room of the house becomes a library.
#
#   room(storage DEPENDS base wire LIBS lz4 EXTERNAL_ONLY rocks.c:rocksdb)
#
# DEPENDS        rooms whose public headers this one may include; the linker sees no others, so a forbidden call fails.
# LIBS           libraries by their pkg-config name, or by plain linker name where there is none.
# EXTERNAL_ONLY  file:library. Linked like LIBS, but only that file gets its flags; tools/tidy checks the includes.
#
# src/cli is the exception: it is the library meridian_cli without main.c, and the program `meridian` from main.c.

find_package(PkgConfig REQUIRED)

# Set `out` to what target_link_libraries needs for one library.
function(external_library name out)
    string(MAKE_C_IDENTIFIER "${name}" id)
    if(NOT TARGET PkgConfig::external_${id})
        pkg_check_modules(external_${id} QUIET IMPORTED_TARGET GLOBAL ${name})
    endif()
    if(TARGET PkgConfig::external_${id})
        set(${out} PkgConfig::external_${id} PARENT_SCOPE)
    else()
        set(${out} ${name} PARENT_SCOPE)
    endif()
endfunction()

# Executables use jemalloc, unless a sanitizer brings its own allocator.
function(link_allocator target)
    if(NOT MERIDIAN_SANITIZE AND NOT MERIDIAN_FUZZ)
        external_library(jemalloc library)
        target_link_libraries(${target} PRIVATE ${library})
    endif()
endfunction()

# Link those of the named rooms that exist. A tree with rooms missing still configures.
function(link_rooms target visibility)
    foreach(room IN LISTS ARGN)
        if(TARGET meridian_${room})
            target_link_libraries(${target} ${visibility} meridian_${room})
        endif()
    endforeach()
endfunction()

function(room name)
    cmake_parse_arguments(PARSE_ARGV 1 ROOM "" "" "DEPENDS;LIBS;EXTERNAL_ONLY")
    if(ROOM_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "room(${name}): what is '${ROOM_UNPARSED_ARGUMENTS}'?")
    endif()

    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
    set(main ${CMAKE_CURRENT_SOURCE_DIR}/main.c)
    if(name STREQUAL "cli")
        list(REMOVE_ITEM sources ${main})
    endif()
    if(sources)
        add_library(meridian_${name} STATIC ${sources})
        target_include_directories(meridian_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
        link_rooms(meridian_${name} PUBLIC ${ROOM_DEPENDS})
        if(name STREQUAL "cli")
            target_compile_definitions(meridian_cli PUBLIC MERIDIAN_COMMIT="${MERIDIAN_COMMIT}")
        endif()
        foreach(library IN LISTS ROOM_LIBS)
            external_library(${library} linked)
            target_link_libraries(meridian_${name} PUBLIC ${linked})
        endforeach()
        foreach(pair IN LISTS ROOM_EXTERNAL_ONLY)
            string(REPLACE ":" ";" pair "${pair}")
            list(GET pair 0 file)
            list(GET pair 1 library)
            external_library(${library} linked)
            target_link_libraries(meridian_${name} PUBLIC $<LINK_ONLY:${linked}>)
            if(TARGET ${linked})
                get_target_property(flags ${linked} INTERFACE_COMPILE_OPTIONS)
                get_target_property(folders ${linked} INTERFACE_INCLUDE_DIRECTORIES)
                if(flags)
                    set_property(SOURCE ${file} APPEND PROPERTY COMPILE_OPTIONS ${flags})
                endif()
                if(folders)
                    set_property(SOURCE ${file} APPEND PROPERTY INCLUDE_DIRECTORIES ${folders})
                endif()
            endif()
        endforeach()
    endif()

    if(name STREQUAL "cli" AND EXISTS ${main})
        add_executable(meridian ${main})
        set_target_properties(meridian PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
        target_include_directories(meridian PRIVATE ${PROJECT_SOURCE_DIR}/src)
        link_rooms(meridian PRIVATE cli ${ROOM_DEPENDS})
        link_allocator(meridian)
    endif()
endfunction()
