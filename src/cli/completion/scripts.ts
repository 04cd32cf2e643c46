/** Completion scripts, out of the command line's grammar. They start no program: what they know, they hold. */
import { type CommandWords, everyCommand, type Values } from "./grammar.ts";

/** A word for the shell as it is. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

const setValues = ({ words, paths, many }: Values): string =>
  `values=${quoted(words.join(" "))} paths=${paths ?? "none"} many=${many ? 1 : 0}`;

const lastWord = (path: string): string => path.split(" ").at(-1) ?? "";

/** The function that bash calls. Words behind `--` are the guest's, of whose files this computer knows nothing. */
function bashFunction(program: string, commands: readonly CommandWords[]): string {
  const words = commands.map(
    ({ path, commands: below, options, values }) =>
      `    ${quoted(path)}) commands=${quoted(below.map((each) => lastWord(each.path)).join(" "))} ` +
      `options=${quoted(options.flatMap(({ flags }) => flags).join(" "))}; ` +
      `${setValues(values ?? { words: [], paths: undefined, many: false })} ;;`,
  );
  const valued = commands.flatMap(({ path, options }) =>
    options.flatMap(({ flags, values }) =>
      values === undefined
        ? []
        : [`    ${flags.map((flag) => quoted(`${path} ${flag}`)).join("|")}) ${setValues(values)} ;;`],
    ),
  );
  return `_${program}_command() {
  case "$1" in
${words.join("\n")}
    *) return 1 ;;
  esac
}

# What the value of an option may be; fails for one that takes none.
_${program}_option() {
  case "$1" in
${valued.join("\n")}
    *) return 1 ;;
  esac
}

_${program}() {
  local current="\${COMP_WORDS[COMP_CWORD]}" where="" option="" word i
  local commands options values paths many
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    case "$word" in
      --) return ;;
      =) ;;
      -*) option="$word" ;;
      *)
        if [ -n "$option" ] && _${program}_option "$where $option"; then
          [ "$many" = 1 ] || option=""
        else
          option=""
          _${program}_command "\${where:+$where }$word" && where="\${where:+$where }$word"
        fi
        ;;
    esac
  done
  # --option=value comes in three words.
  [ "$current" = = ] && current=""
  _${program}_command "$where"
  local words="$commands"
  if [ -n "$option" ] && _${program}_option "$where $option"; then words="$values"; else words="$words $values"; fi
  case "$current" in
    -*) words="$options" paths=none ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  # Names of files may have spaces.
  local IFS=$'\\n'
  case "$paths" in
    files) compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$current")) ;;
    directories) compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -d -- "$current")) ;;
  esac
}`;
}

export function bashScript(program: string, grammar: CommandWords): string {
  return `# Completion of ${program} for bash: source <(${program} completion bash)
${bashFunction(program, everyCommand(grammar))}
complete -F _${program} ${program}
`;
}

/** zsh calls what was written for bash. */
export function zshScript(program: string, grammar: CommandWords): string {
  return `#compdef ${program}
# Completion of ${program} for zsh: source <(${program} completion zsh)
autoload -U +X compinit && compinit
autoload -U +X bashcompinit && bashcompinit
compopt() { :; }
${bashFunction(program, everyCommand(grammar))}
complete -F _${program} ${program}
`;
}

export function fishScript(program: string, grammar: CommandWords): string {
  const lines = everyCommand(grammar).flatMap((command) => {
    const { path, commands, options, values } = command;
    const parts = path.split(" ").filter((part) => part !== "");
    const inside = parts.map((part) => `__fish_seen_subcommand_from ${part}`);
    const below = commands.map((each) => lastWord(each.path));
    const before = below.length === 0 ? [] : [`not __fish_seen_subcommand_from ${below.join(" ")}`];
    const here = [...inside, ...before].join("; and ");
    const complete = (...rest: readonly string[]): string =>
      ["complete", "-c", program, ...(here === "" ? [] : ["-n", quoted(here)]), ...rest].join(" ");
    const valuesOf = ({ words, paths }: Values): string[] => [
      ...(paths === "files" ? ["-F"] : paths === "directories" ? [] : ["-f"]),
      ...(words.length === 0 && paths !== "directories"
        ? []
        : [
            "-a",
            quoted(
              [...words, ...(paths === "directories" ? ["(__fish_complete_directories)"] : [])].join(" "),
            ),
          ]),
    ];
    return [
      ...commands.map((each) =>
        complete("-f", "-a", quoted(lastWord(each.path)), "-d", quoted(each.description)),
      ),
      ...options.map(({ flags, description, values: of }) =>
        complete(
          ...flags.map((flag) => (flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`)),
          ...(of === undefined ? [] : ["-r", ...valuesOf(of)]),
          "-d",
          quoted(description),
        ),
      ),
      ...(values === undefined ? [] : [complete(...valuesOf(values))]),
    ];
  });
  return `# Completion of ${program} for fish: ${program} completion fish | source
${lines.join("\n")}
`;
}
