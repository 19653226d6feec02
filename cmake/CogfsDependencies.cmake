# SPDX-License-Identifier: Apache-2.0
#
# The libraries, through pkg-config. tools/deps.sh installs them, and puts a
# newer libfuse into COGFS_DEPS_PREFIX where the system's is older than 3.18.

if(DEFINED ENV{COGFS_DEPS_PREFIX})
	set(cogfs_default_prefix "$ENV{COGFS_DEPS_PREFIX}")
else()
	set(cogfs_default_prefix /var/cache/cogfs-build/libfuse-3.18)
endif()
set(COGFS_DEPS_PREFIX "${cogfs_default_prefix}" CACHE PATH "Where tools/deps.sh put libfuse")

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl>=7.74)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto>=3.0)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash>=0.8)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(EXPAT REQUIRED IMPORTED_TARGET expat)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd>=1.4)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.13)

# The prefix's fuse3.pc is of a static library and names the libraries that it
# needs, so no --static: that would pull in their private ones as well.
set(ENV{PKG_CONFIG_PATH} "${COGFS_DEPS_PREFIX}/lib/pkgconfig:$ENV{PKG_CONFIG_PATH}")
pkg_check_modules(FUSE3 REQUIRED IMPORTED_TARGET fuse3>=3.14)

# One API for both: the newest that this libfuse knows of those we were tried with.
if(FUSE3_VERSION VERSION_GREATER_EQUAL 3.18)
	set(cogfs_fuse_use_version 318)
else()
	set(cogfs_fuse_use_version 314)
endif()

add_library(cogfs_libfuse INTERFACE)
target_link_libraries(cogfs_libfuse INTERFACE PkgConfig::FUSE3)
target_compile_definitions(cogfs_libfuse INTERFACE FUSE_USE_VERSION=${cogfs_fuse_use_version})

message(STATUS "libfuse ${FUSE3_VERSION} (API ${cogfs_fuse_use_version})")
if(FUSE3_VERSION VERSION_LESS 3.17)
	message(STATUS "libfuse is older than 3.17: no passthrough (tools/deps.sh builds a newer one)")
endif()
