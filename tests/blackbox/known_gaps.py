# SPDX-License-Identifier: Apache-2.0
"""What the black-box suite asks for and does not get yet.

The default run (tools/test.sh) takes the modules of CORE and leaves out the tests of GAPS; tools/test.sh --all runs
everything. A test leaves GAPS when it passes in both passthrough modes and with both stores; nothing is added without
its reason.
"""

CORE = {
    "test_main_job",
    "test_seed_backends",
    "test_posix",
    "test_posix_attributes",
    "test_posix_names",
    "test_tools",
    "test_metadata",
    "test_writes",
    "test_cli",
    "test_listing",
    "test_integrity",
    "test_import",
    "test_policies",
    "test_keys",
    "test_tenants",
}

GAPS = {}  # test: reason
