/** The manual page, out of commander's declarations: roff, as man(7) describes it. */
import type { EventEmitter } from "node:events";
import type { Command } from "commander";
import { visibleCommands } from "./completion/grammar.ts";
import { VERSION } from "./version.ts";

/** Text that roff does not take for requests or escapes. */
const escaped = (text: string): string =>
  text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^(['.])/gm, "\\&$1");

const bold = (text: string): string => `\\fB${escaped(text)}\\fR`;

/** What help says after the options: written by hand, its lines as they are. */
function afterHelp(command: Command): string {
  let text = "";
  // That it is one is not in commander's types.
  (command as unknown as EventEmitter).emit("afterHelp", {
    error: false,
    command,
    write: (piece: string) => {
      text += piece;
    },
  });
  return text.trim();
}

const block = (text: string): string[] => (text === "" ? [] : [".PP", ".nf", escaped(text), ".fi"]);

function section(command: Command, path: string): string[] {
  const help = command.createHelp();
  const item = (term: string, description: string): string[] => [".TP", bold(term), escaped(description)];
  return [
    `.SS ${escaped([path, command.usage()].join(" "))}`,
    escaped(command.description()),
    ...help
      .visibleArguments(command)
      .flatMap((argument) => item(argument.name(), help.argumentDescription(argument))),
    ...help.visibleOptions(command).flatMap((option) => item(option.flags, help.optionDescription(option))),
    ...block(afterHelp(command)),
    ...visibleCommands(command).flatMap((each) => section(each, `${path} ${each.name()}`)),
  ];
}

/** @returns the page's source */
export function manPage(program: Command): string {
  const name = program.name();
  return `${[
    `.TH ${name.toUpperCase()} 1 "" "${name} ${VERSION}" "User Commands"`,
    ".SH NAME",
    `${name} \\- what Arm SPE costs in a virtual machine, and an arm64 machine that runs guests`,
    ".SH SYNOPSIS",
    `${bold(name)} \\fIcommand\\fR [\\fIoptions\\fR]`,
    ".SH DESCRIPTION",
    escaped(program.description()),
    ...block(afterHelp(program)),
    ".SH COMMANDS",
    ...visibleCommands(program).flatMap((each) => section(each, each.name())),
    ".SH EXIT STATUS",
    ...[
      ["0", "Done. Of run: the command's own, or the guest has powered off."],
      ["1", "A policy misses the bar, or a bug."],
      ["2", "An option or a file is wrong: nothing was run."],
      ["124, 125", "Of run: the timeout is over; the guest has ended badly."],
      ["130, 143", "Interrupted, terminated."],
    ].flatMap(([status = "", text = ""]) => [".TP", bold(status), escaped(text)]),
  ].join("\n")}\n`;
}
