# SPDX-License-Identifier: Apache-2.0
#
# Flags that every target of ours gets through cogfs_flags. Other people's
# headers come in as SYSTEM and are not measured by them.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

add_library(cogfs_flags INTERFACE)

target_compile_definitions(cogfs_flags INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64)

target_compile_options(cogfs_flags INTERFACE
	-Wall -Wextra -Wshadow -Wvla -Wmissing-prototypes -Wstrict-prototypes
	-Wpointer-arith -Wformat=2 -Wundef
	# A slot of a table that takes one argument less still has to name it.
	-Wno-unused-parameter
	# A ret_ parameter stays untouched on failure, and the compiler cannot know
	# that what err_set() returned is negative. -Wuninitialized stays on.
	$<$<C_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>
	# Under -fsanitize gcc 12 loses the ranges of loop variables and warns of every number.
	$<$<C_COMPILER_ID:GNU>:-Wno-format-truncation>
	# Not warnings but mistakes, whatever the preset.
	-Werror=implicit-function-declaration -Werror=incompatible-pointer-types
	-Werror=int-conversion -Werror=return-type
	-fno-common -fstack-protector-strong
	# What an assert prints is a path in the tree, wherever it was built.
	"-fmacro-prefix-map=${PROJECT_SOURCE_DIR}/="
	# Calls that copy and compare without bounds, and those that keep static
	# state, do not compile.
	-include "${PROJECT_SOURCE_DIR}/src/util/banned.h"
)
if(COGFS_WERROR)
	target_compile_options(cogfs_flags INTERFACE -Werror)
endif()

target_link_options(cogfs_flags INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)

if(COGFS_FUZZ)
	target_compile_options(cogfs_flags INTERFACE -fsanitize=fuzzer-no-link)
	target_link_options(cogfs_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

if(COGFS_SANITIZE)
	set(sanitize "-fsanitize=${COGFS_SANITIZE}" -fno-omit-frame-pointer)
	if(COGFS_SANITIZE MATCHES "undefined")
		list(APPEND sanitize -fno-sanitize-recover=all)
	endif()
	target_compile_options(cogfs_flags INTERFACE ${sanitize})
	target_link_options(cogfs_flags INTERFACE ${sanitize})
	if(COGFS_SANITIZE MATCHES "thread")
		# gcc says that TSan does not model fences; none of ours orders data.
		target_compile_options(cogfs_flags INTERFACE $<$<C_COMPILER_ID:GNU>:-Wno-tsan>)
	endif()
elseif(NOT COGFS_DEBUG_CHECKS)
	# The sanitizers intercept the same calls, and -O1 hides what it would find.
	target_compile_options(cogfs_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
