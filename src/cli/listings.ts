/** The commands that run nothing: what there is, and what it is. */
import { formatNs } from "../common/sizes.ts";
import { LINUX_SCENARIOS } from "../lab/linux/scenarios/index.ts";
import type { PolicyInfo } from "./engine.ts";
import { choosePolicies } from "./job.ts";
import { knownName } from "./options.ts";
import { renderList, renderParagraph } from "./tables.ts";
import { lookOf, type World } from "./world.ts";

interface Flags {
  readonly json?: true;
}

const print = (world: World, flags: Flags, data: unknown, text: () => string): void => {
  world.stdout.write(`${flags.json === true ? JSON.stringify(data, null, 2) : text()}\n`);
};

export async function listPolicies(flags: Flags, world: World): Promise<void> {
  const policies = (await world.loadLab()).listPolicies();
  print(world, flags, policies, () =>
    renderList(
      policies.map((policy) => [policy.name, policy.summary]),
      lookOf(world.stdout, world.env),
    ),
  );
}

/** Those of the model and those of Linux itself: some have the same name, since they are the same commands. */
export async function listScenarios(flags: Flags, world: World): Promise<void> {
  const scenarios = [
    ...(await world.loadLab())
      .listScenarios()
      .map(({ name, summary }) => ({ guest: "model" as const, name, summary })),
    ...LINUX_SCENARIOS.map(({ name, summary, origin }) => ({
      guest: "linux" as const,
      name,
      summary: `${summary}. ${origin}${/[.?!]$/.test(origin) ? "" : "."}`,
    })),
  ];
  const look = lookOf(world.stdout, world.env);
  const listOf = (guest: "model" | "linux"): string =>
    renderList(
      scenarios.filter((scenario) => scenario.guest === guest).map(({ name, summary }) => [name, summary]),
      look,
    );
  print(world, flags, scenarios, () =>
    [
      look.colors.bold("In a model of Linux's driver (thread --scenario)"),
      listOf("model"),
      "",
      look.colors.bold("On Linux itself (thread --guest linux --scenario)"),
      listOf("linux"),
    ].join("\n"),
  );
}

/** All profiles by name, or one with its costs. */
export async function listProfiles(name: string | undefined, flags: Flags, world: World): Promise<void> {
  const profiles = (await world.loadLab()).listProfiles();
  const look = lookOf(world.stdout, world.env);
  if (name === undefined) {
    print(world, flags, profiles, () =>
      renderList(
        profiles.map((profile) => [profile.name, profile.summary]),
        look,
      ),
    );
    return;
  }
  const names = profiles.map((profile) => profile.name);
  const profile = profiles[names.indexOf(knownName("cost profile", name, names))];
  print(world, flags, profile, () =>
    [
      renderParagraph(profile?.summary ?? "", 0, look),
      "",
      renderList(
        (profile?.costs ?? []).map((cost) => [
          cost.name,
          formatNs(cost.valueNs),
          cost.lowNs === cost.highNs ? "" : `${formatNs(cost.lowNs)} to ${formatNs(cost.highNs)}`,
          cost.source,
        ]),
        look,
      ),
    ].join("\n"),
  );
}

/** One policy's page, of the list or of a file. */
export async function explain(name: string, flags: Flags, world: World): Promise<void> {
  const lab = await world.loadLab();
  const [choice] = await choosePolicies(lab, [name]);
  const described =
    choice?.kind === "loaded"
      ? lab.describePolicy(choice.policy)
      : lab.listPolicies().find((policy) => policy.name === name);
  const policy = described as PolicyInfo;
  const look = lookOf(world.stdout, world.env);
  const section = (title: string, text: string) => [
    look.colors.bold(title),
    renderParagraph(text, 2, look),
    "",
  ];
  print(world, flags, policy, () =>
    [
      ...section(policy.name, policy.summary),
      ...section("Origin", policy.origin),
      ...section("Trade-off", policy.tradeOff),
      ...section(
        "Traps",
        policy.trapsBuffer
          ? "PMBLIMITR_EL1, PMBPTR_EL1 and PMBSR_EL1: it sees each enable and disable, and each costs exits."
          : "None of the buffer registers: toggling costs no exits, and the policy does not see it.",
      ),
    ]
      .join("\n")
      .trimEnd(),
  );
}
