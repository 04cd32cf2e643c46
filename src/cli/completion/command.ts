/** `spevisor completion`: scripts that complete the command line in shells. */
import { Argument, type Command } from "commander";
import { LINUX_SCENARIOS } from "../../lab/linux/scenarios/index.ts";
import type { World } from "../world.ts";
import { type CommandWords, grammarOf } from "./grammar.ts";
import { bashScript, fishScript, zshScript } from "./scripts.ts";

const SCRIPTS: Readonly<Record<string, (program: string, grammar: CommandWords) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

export function addCompletion(program: Command, world: World): void {
  program
    .command("completion")
    .description("print a script that completes this command line in a shell")
    .addArgument(new Argument("<shell>", "whose").choices(Object.keys(SCRIPTS)))
    .addHelpText(
      "after",
      `
Examples:
  $ source <(spevisor completion bash)              now; in ~/.bashrc for good
  $ source <(spevisor completion zsh)               the same for ~/.zshrc
  $ spevisor completion fish | source               and for ~/.config/fish/config.fish`,
    )
    .action(async (shell: string) => {
      const lab = await world.loadLab();
      const named = (of: readonly { readonly name: string }[]): string[] => of.map(({ name }) => name);
      const grammar = grammarOf(program, {
        policy: named(lab.listPolicies()),
        profile: named(lab.listProfiles()),
        scenario: [...new Set(named([...lab.listScenarios(), ...LINUX_SCENARIOS]))],
      });
      world.stdout.write(SCRIPTS[shell]?.(program.name(), grammar) ?? "");
    });
}
