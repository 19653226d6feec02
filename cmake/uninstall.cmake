# SPDX-License-Identifier: Apache-2.0
#
# Removes what the last install wrote, by its manifest. Configuration and the
# cache itself are nobody's to remove but the user's.

if(NOT EXISTS "${MANIFEST}")
	message(FATAL_ERROR "nothing was installed from this build folder (no ${MANIFEST})")
endif()
file(STRINGS "${MANIFEST}" files)
# A second install finds the link in place and leaves it out of the manifest.
list(APPEND files "${HELPER}")
list(REMOVE_DUPLICATES files)
foreach(file IN LISTS files)
	set(path "$ENV{DESTDIR}${file}")
	if(EXISTS "${path}" OR IS_SYMLINK "${path}")
		message(STATUS "Removing ${path}")
		file(REMOVE "${path}")
	endif()
endforeach()
file(REMOVE "${MANIFEST}")
