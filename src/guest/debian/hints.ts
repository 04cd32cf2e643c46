/** What errors advise: in words that hold for every command that fetches. */

/** "Name another mirror with ..." */
export const MIRROR_SETTING = "SPEVISOR_MIRROR, or --mirror of spevisor guest fetch";
/** "... name another folder with ..." */
export const CACHE_SETTING = "XDG_CACHE_HOME, or --cache of spevisor guest fetch";
