# SPDX-License-Identifier: Apache-2.0
#
# cogfs_version.h: what `cogfs --version` says about how it was built.

set(COGFS_VERSION "${PROJECT_VERSION}")
set(COGFS_LIBFUSE_VERSION "${FUSE3_VERSION}")
if(FUSE3_VERSION VERSION_GREATER_EQUAL 3.17)
	set(COGFS_HAVE_PASSTHROUGH 1)
endif()
if(FUSE3_VERSION VERSION_GREATER_EQUAL 3.18)
	set(COGFS_HAVE_IO_URING 1)
endif()
find_file(COGFS_FUSE_KERNEL_H fuse_kernel.h PATHS ${FUSE3_INCLUDE_DIRS} NO_DEFAULT_PATH NO_CACHE)
if(COGFS_FUSE_KERNEL_H)
	set(COGFS_HAVE_FUSE_KERNEL_H 1)
endif()
set(COGFS_BUILD_KIND "${COGFS_SANITIZE}")
if(NOT COGFS_BUILD_KIND)
	set(COGFS_BUILD_KIND "plain")
endif()

configure_file(cmake/cogfs_version.h.in "${PROJECT_BINARY_DIR}/generated/cogfs_version.h" @ONLY)
target_include_directories(cogfs_flags INTERFACE "${PROJECT_BINARY_DIR}/generated")
