# SPDX-License-Identifier: Apache-2.0
"""What the black-box tests stand on: servers, stores, mounts, waiting, bounded calls."""
