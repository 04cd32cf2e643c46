/** Checks who signed a suite's InRelease, with gpgv and Debian's keys, where a machine has them. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { UserError } from "../../common/errors.ts";
import { MIRROR_SETTING } from "../debian/hints.ts";
import { signedText } from "../debian/release.ts";

export const DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

export interface Checked {
  /** What was signed: only this is to be believed. */
  readonly text: string;
  /** Why the signature was not checked; undefined where it was, and is good. */
  readonly unchecked: string | undefined;
}

const STATUS_FD = 3;

/**
 * The signed text of an InRelease.
 * @param keyring whose signatures count
 * @throws UserError if it is signed by nobody in the keyring, or was changed since
 */
export function checkSignature(
  message: Uint8Array,
  where: string,
  keyring: string = DEBIAN_KEYRING,
): Checked {
  const plain = (why: string): Checked => ({
    text: signedText(new TextDecoder().decode(message)),
    unchecked: why,
  });
  if (!existsSync(keyring))
    return plain(`there is no ${keyring} (install the package debian-archive-keyring to have it checked)`);
  const done = spawnSync(
    "gpgv",
    ["--status-fd", `${STATUS_FD}`, "--keyring", keyring, "--output", "-", "-"],
    {
      input: message,
      stdio: ["pipe", "pipe", "pipe", "pipe"],
      timeout: 60_000,
      maxBuffer: 64 * 1024 ** 2,
    },
  );
  if (done.error !== undefined && "code" in done.error && done.error.code === "ENOENT")
    return plain("there is no gpgv (install the package gpgv to have it checked)");
  // Its exit status also counts signatures by keys we do not have; one good signature is enough, as for apt.
  const status = String(done.output?.[STATUS_FD] ?? "");
  if (/^\[GNUPG:\] GOODSIG /m.test(status))
    return { text: done.stdout.toString("utf8"), unchecked: undefined };
  const why = done.stderr.toString("utf8").trim().split("\n").at(-1) ?? "";
  throw new UserError(
    `${where}: its signature is not Debian's (${why})`,
    `Name another mirror with ${MIRROR_SETTING}, or update the package debian-archive-keyring`,
  );
}
