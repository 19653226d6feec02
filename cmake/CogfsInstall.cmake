# SPDX-License-Identifier: Apache-2.0
#
# install and uninstall. mount(8) looks for mount.cogfs in /sbin and nowhere
# else, so a system-wide prefix puts it there; another prefix keeps it.

set(cogfs_helper_dir "${CMAKE_INSTALL_FULL_SBINDIR}")
if(CMAKE_INSTALL_PREFIX MATCHES "^/usr(/local)?/?$")
	set(cogfs_helper_dir /sbin)
endif()
set(COGFS_MOUNT_HELPER_DIR "${cogfs_helper_dir}" CACHE PATH "Where mount.cogfs goes")

if(TARGET cogfs)
	install(TARGETS cogfs RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")

	set(cogfs_helper "${PROJECT_BINARY_DIR}/mount.cogfs")
	file(CREATE_LINK "${CMAKE_INSTALL_FULL_BINDIR}/cogfs" "${cogfs_helper}" SYMBOLIC)
	install(FILES "${cogfs_helper}" DESTINATION "${COGFS_MOUNT_HELPER_DIR}")
endif()

install(FILES README.md LICENSE CHANGELOG.md DESTINATION "${CMAKE_INSTALL_DOCDIR}")
if(IS_DIRECTORY "${PROJECT_SOURCE_DIR}/etc")
	install(DIRECTORY etc/ DESTINATION "${CMAKE_INSTALL_DOCDIR}/examples"
		FILES_MATCHING PATTERN "*.yaml")
endif()
install(FILES etc/man/cogfs.1 DESTINATION "${CMAKE_INSTALL_MANDIR}/man1")
install(FILES etc/completions/cogfs.bash RENAME cogfs
	DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions")

add_custom_target(uninstall
	COMMAND "${CMAKE_COMMAND}" "-DMANIFEST=${PROJECT_BINARY_DIR}/install_manifest.txt"
		"-DHELPER=${COGFS_MOUNT_HELPER_DIR}/mount.cogfs"
		-P "${PROJECT_SOURCE_DIR}/cmake/uninstall.cmake"
	COMMENT "Removing what install put there"
	VERBATIM)
