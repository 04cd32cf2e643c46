/**
 * Packages of a suite's index, and what they depend on.
 *
 * This is no dpkg: it takes the first of alternatives, looks at versions only where one is asked for exactly ("= 1.2"),
 * and knows neither Conflicts nor Provides. Within one suite's main that is enough: Debian holds a released suite's
 * own dependencies, and the few packages of a guest name real ones.
 */
import { UserError } from "../../common/errors.ts";
import { paragraphTexts, parseParagraph } from "./deb822.ts";
import { MIRROR_SETTING } from "./hints.ts";

export interface Package {
  readonly name: string;
  readonly version: string;
  readonly depends: readonly Dependency[];
  /** Its path below the mirror. */
  readonly filename: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface Dependency {
  readonly name: string;
  /** Where the dependency is on one version only. */
  readonly exactVersion: string | undefined;
}

/** A Depends field: the first alternative of each part, without its architecture. */
export const parseDepends = (text: string): readonly Dependency[] =>
  text.split(",").flatMap((part) => {
    const [, name, relation, version] =
      /^\s*([a-z0-9][a-z0-9.+-]*)(?::[a-z0-9]+)?\s*(?:\(\s*([<>=]+)\s*([^)\s]+)\s*\))?/.exec(part) ?? [];
    return name === undefined ? [] : [{ name, exactVersion: relation === "=" ? version : undefined }];
  });

export class PackageIndex {
  readonly #texts = new Map<string, string[]>();
  readonly #where: string;

  /**
   * @param text a Packages file
   * @param where its name, for errors
   */
  constructor(text: string, where: string) {
    this.#where = where;
    for (const paragraph of paragraphTexts(text)) {
      const name = /^Package:\s*(\S+)/m.exec(paragraph)?.[1];
      if (name === undefined) continue;
      const same = this.#texts.get(name);
      if (same === undefined) this.#texts.set(name, [paragraph]);
      else same.push(paragraph);
    }
  }

  /**
   * A package by name, in the version asked for, or else the last that the index has: it rarely has two.
   * @throws UserError if the index has no such package
   */
  find({ name, exactVersion }: Dependency): Package {
    const versions = (this.#texts.get(name) ?? []).map((text) => this.#parse(text));
    const found =
      exactVersion === undefined ? versions.at(-1) : versions.find(({ version }) => version === exactVersion);
    if (found !== undefined) return found;
    const wanted = exactVersion === undefined ? name : `${name} ${exactVersion}`;
    throw new UserError(
      `${this.#where}: has no package ${wanted}`,
      `The mirror may be in the middle of an update: try again later, or name another with ${MIRROR_SETTING}`,
    );
  }

  has(name: string): boolean {
    return this.#texts.has(name);
  }

  #parse(text: string): Package {
    const fields = parseParagraph(text);
    const field = (name: string): string => {
      const value = fields.get(name);
      if (value === undefined)
        throw new UserError(
          `${this.#where}: package ${fields.get("package")} has no field ${name}`,
          `Name another mirror with ${MIRROR_SETTING}`,
        );
      return value;
    };
    return {
      name: field("package"),
      version: field("version"),
      depends: ["pre-depends", "depends"].flatMap((name) => parseDepends(fields.get(name) ?? "")),
      filename: field("filename"),
      bytes: Number(field("size")),
      sha256: field("sha256"),
    };
  }
}
