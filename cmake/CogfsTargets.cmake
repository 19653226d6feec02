# SPDX-License-Identifier: Apache-2.0
#
# How a folder becomes a target.

# cogfs_add_layer(NAME [EXCLUDE file...] [LINK target...])
#
# A static library cogfs_NAME of all .c files at and below the current folder.
# Headers are included as "NAME/x.h". The folder is made visible under its name
# in a directory of its own, and visibility follows the links: what a layer
# does not link, it cannot include. A folder that has no .c file yet becomes an
# INTERFACE library.
function(cogfs_add_layer name)
	cmake_parse_arguments(arg "" "" "EXCLUDE;LINK" ${ARGN})

	file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.c")
	foreach(excluded IN LISTS arg_EXCLUDE)
		list(REMOVE_ITEM sources "${CMAKE_CURRENT_SOURCE_DIR}/${excluded}")
	endforeach()

	set(include_dir "${PROJECT_BINARY_DIR}/include/${name}")
	file(MAKE_DIRECTORY "${include_dir}")
	file(CREATE_LINK "${CMAKE_CURRENT_SOURCE_DIR}" "${include_dir}/${name}" SYMBOLIC)

	if(sources)
		add_library(cogfs_${name} STATIC ${sources})
		set(scope PUBLIC)
	else()
		add_library(cogfs_${name} INTERFACE)
		set(scope INTERFACE)
	endif()
	target_include_directories(cogfs_${name} ${scope} "${include_dir}")
	target_link_libraries(cogfs_${name} ${scope} cogfs_flags ${arg_LINK})
endfunction()

# cogfs_add_test_suite(LABEL [LINK target...] [ENVIRONMENT var=value...])
#
# One cmocka program for each test_*.c of the current folder, registered with
# ctest as LABEL.name. What else is in the folder is linked to all of them.
function(cogfs_add_test_suite label)
	cmake_parse_arguments(arg "" "" "LINK;ENVIRONMENT" ${ARGN})

	file(GLOB tests CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/test_*.c")
	file(GLOB support CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.c")
	if(tests)
		list(REMOVE_ITEM support ${tests})
	endif()
	set(link ${arg_LINK})
	if(support)
		add_library(cogfs_${label}_support STATIC ${support})
		target_link_libraries(cogfs_${label}_support PUBLIC ${arg_LINK})
		list(PREPEND link cogfs_${label}_support)
	endif()

	foreach(source IN LISTS tests)
		get_filename_component(name "${source}" NAME_WE)
		string(REGEX REPLACE "^test_" "" name "${name}")
		add_executable(${label}_${name} "${source}")
		target_link_libraries(${label}_${name} PRIVATE ${link})
		add_test(NAME ${label}.${name} COMMAND ${label}_${name})
		set_tests_properties(${label}.${name} PROPERTIES
			LABELS ${label} TIMEOUT 240 SKIP_RETURN_CODE 77
			ENVIRONMENT "${arg_ENVIRONMENT}")
	endforeach()
endfunction()
