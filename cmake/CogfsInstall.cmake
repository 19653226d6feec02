# SPDX-License-Identifier: Apache-2.0
#
# install and uninstall. mount(8) looks for mount.cogfs in /sbin, and cogfs
# knows from that name that it is called that way.

if(TARGET cogfs)
	install(TARGETS cogfs RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")

	file(RELATIVE_PATH cogfs_from_sbin
		"/prefix/${CMAKE_INSTALL_SBINDIR}" "/prefix/${CMAKE_INSTALL_BINDIR}/cogfs")
	set(cogfs_helper "${PROJECT_BINARY_DIR}/mount.cogfs")
	file(CREATE_LINK "${cogfs_from_sbin}" "${cogfs_helper}" SYMBOLIC)
	install(FILES "${cogfs_helper}" DESTINATION "${CMAKE_INSTALL_SBINDIR}")
endif()

install(FILES README.md LICENSE CHANGELOG.md DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(DIRECTORY etc/ DESTINATION "${CMAKE_INSTALL_DOCDIR}/examples"
	FILES_MATCHING PATTERN "*.yaml")

add_custom_target(uninstall
	COMMAND "${CMAKE_COMMAND}" "-DMANIFEST=${PROJECT_BINARY_DIR}/install_manifest.txt"
		-P "${PROJECT_SOURCE_DIR}/cmake/uninstall.cmake"
	COMMENT "Removing what install put there"
	VERBATIM)
