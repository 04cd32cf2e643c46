/** What kernels are told by us. */

/** Any kernel, beside what the user tells it: a panic ends the machine. */
export const COMMAND_LINE = "console=ttyAMA0 panic=-1";

/**
 * The default guest's. Most of what Debian's kernels execute up to init is the self-test of their own ciphers
 * (crypto/testmgr.c), which has passed at Debian's.
 */
export const DEFAULT_COMMAND_LINE = `${COMMAND_LINE} cryptomgr.notests`;
