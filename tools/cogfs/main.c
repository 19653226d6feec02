/* SPDX-License-Identifier: Apache-2.0 */
/* The program. Everything else is in a library, so that the unit tests reach it. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
	return cli_main(argc, argv);
}
