/** The command line as data, out of commander's declarations: for completion scripts. */
import type { Argument, Command, Option } from "commander";

/** What a value may be, as far as a shell can complete it. */
export interface Values {
  readonly words: readonly string[];
  /** Paths of files, or of directories, beside the words. */
  readonly paths: "files" | "directories" | undefined;
  /** Every word up to the next option is one. */
  readonly many: boolean;
}

export interface OptionWords {
  /** "-h", "--help". */
  readonly flags: readonly string[];
  readonly description: string;
  /** Undefined: it takes no value. */
  readonly values: Values | undefined;
}

export interface CommandWords {
  /** "guest fetch"; empty for the program itself. */
  readonly path: string;
  readonly description: string;
  readonly commands: readonly CommandWords[];
  readonly options: readonly OptionWords[];
  /** What its arguments may be; undefined: it takes none. */
  readonly values: Values | undefined;
}

/** Names that the laboratory knows, by what the command line calls them. */
export type Names = Readonly<Record<"policy" | "profile" | "scenario", readonly string[]>>;

const FOLDERS = /^(dir|folder)/;
const FILES = /^files?\b/;

/** @param path of the command that it belongs to */
function valuesOf(name: string, placeholder: string, many: boolean, names: Names): Values {
  const known = Object.hasOwn(names, name) ? names[name as keyof Names] : [];
  const paths = FOLDERS.test(placeholder)
    ? "directories"
    : // A policy may be a file of the user's.
      FILES.test(placeholder) || name === "policy"
      ? "files"
      : undefined;
  return { words: many && known.length > 0 ? ["all", ...known] : known, paths, many };
}

function optionWords(option: Option, names: Names): OptionWords {
  const { flags, description, argChoices } = option;
  const placeholder = /[<[]([^>\]]*)/.exec(flags)?.[1];
  const values =
    placeholder === undefined
      ? undefined
      : argChoices === undefined
        ? valuesOf(option.attributeName(), placeholder, option.variadic, names)
        : { words: argChoices, paths: undefined, many: option.variadic };
  return {
    flags: [option.short, option.long].filter((flag) => flag !== undefined && flag !== null),
    description,
    values,
  };
}

/** What the arguments of a command may be: of several the same. */
function argumentValues(given: readonly Argument[], path: string, names: Names): Values | undefined {
  const [first] = given;
  if (first === undefined) return undefined;
  if (first.argChoices !== undefined)
    return { words: first.argChoices, paths: undefined, many: first.variadic };
  const name = path === "profiles" ? "profile" : first.name();
  return { ...valuesOf(name, name, first.variadic, names), many: given.length > 1 || first.variadic };
}

/** What help shows below a command, but for "help" itself: --help says the same. */
export const visibleCommands = (command: Command): readonly Command[] =>
  command
    .createHelp()
    .visibleCommands(command)
    .filter((each) => each.name() !== "help");

/** What a program's help shows: no hidden commands. */
export function grammarOf(command: Command, names: Names, above = ""): CommandWords {
  const path = command.parent === null ? "" : [above, command.name()].filter((part) => part !== "").join(" ");
  const help = command.createHelp();
  return {
    path,
    description: command.description(),
    commands: visibleCommands(command).map((each) => grammarOf(each, names, path)),
    options: help.visibleOptions(command).map((option) => optionWords(option, names)),
    values: argumentValues(command.registeredArguments, path, names),
  };
}

/** A command and all below it. */
export const everyCommand = (command: CommandWords): readonly CommandWords[] => [
  command,
  ...command.commands.flatMap(everyCommand),
];
