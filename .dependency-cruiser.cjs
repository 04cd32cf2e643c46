// Who may import whom. The folders of src/ are layers, lowest first; a layer imports only from layers before it,
// and layers in one bracket know nothing of each other. `npm run layers` checks it.

/** The layers, lowest first. */
const LAYERS = [
  "common",
  "wasm",
  "arm",
  "a64",
  "mmu",
  ["spe", "host"],
  ["kvm", "perf"],
  ["board", "cpu"],
  "vmm",
  "guest",
  "lab",
  "cli",
  "api",
].map((rank) => (Array.isArray(rank) ? rank : [rank]));

/** What a layer would lose if it imported from above. */
const REASONS = {
  common: "everything stands on it",
  wasm: "a binary format knows nothing of what is encoded in it",
  arm: "the architecture as data serves every model of it",
  a64: "instruction semantics are written once, whoever executes them",
  mmu: "one walker serves the SPU, KVM and every core, so it knows none of them",
  spe: "the profiling unit is hardware: it cannot know who virtualizes it",
  host: "the host's memory does not know what it is used for",
  kvm: "the hypervisor does not know how its guest executes or what measures it",
  perf: "a file format knows nothing of the machine that wrote it",
  board: "devices are the same whatever executes beside them",
  cpu: "a core is the same on whatever board it sits",
  vmm: "it builds a VM from options; what runs in it is a layer above",
  guest: "what runs in a VM does not know that it is measured",
  lab: "an experiment is a value; command line and page are two readers of it",
  cli: "what people type stands on everything but the package's exports",
  api: "what the package exports stands on all of it",
};

const TESTS = "\\.(test|testing)\\.ts$";
const folder = (names) => `^src/(${names.join("|")})/`;

/** No import from a layer's own rank or from above it. */
const layerRules = LAYERS.flatMap((rank, i) =>
  rank.map((layer) => {
    const refused = [...rank.filter((other) => other !== layer), ...LAYERS.slice(i + 1).flat()];
    return {
      name: `${layer}-imports-only-from-below`,
      comment: REASONS[layer],
      severity: "error",
      from: { path: folder([layer]), pathNot: TESTS },
      to: { path: refused.length > 0 ? folder(refused) : "^$" },
    };
  }),
);

/** Modules of Node, by any way of imports, are for these folders alone. */
const onlyIn = (folders, what, reason) => ({
  name: `only-${folders.join("-and-").replaceAll("/", "-")}`,
  comment: reason,
  severity: "error",
  from: { path: "^src/", pathNot: [...folders.map((name) => `^src/${name}/`), TESTS] },
  to: { path: what, reachable: true },
});

/** What dependency-cruiser calls Node's own modules: their names, without a path. */
const NODE_MODULES = `^(node:.*|${require("node:module")
  .builtinModules.map((name) => name.replaceAll("/", "\\/"))
  .join("|")})$`;

module.exports = {
  forbidden: [
    ...layerRules,
    onlyIn(
      ["api", "cli", "vmm/node", "guest/node"],
      NODE_MODULES,
      "the same inputs must give the same bits in Node, in a worker and in a browser tab",
    ),
    {
      name: "api-takes-parts-of-the-command-line",
      comment:
        "whoever imports the package has no terminal, no process to end and no options: of cli/ it is the parts without",
      severity: "error",
      from: { path: "^src/api/", pathNot: TESTS },
      to: {
        path: "^src/cli/",
        pathNot: "^src/cli/((cache-folder|defaults|engine|lab|options)\\.ts|run/(boots|shares)\\.ts)$",
      },
    },
    {
      name: "costs-are-charged-where-they-arise",
      comment:
        "every nanosecond is charged by a call in host/ or kvm/; an experiment only chooses a profile by name",
      severity: "error",
      from: { path: folder(["guest", "lab"]), pathNot: TESTS },
      to: { path: "^src/host/profiles" },
    },
    {
      name: "known-layers-only",
      comment: "a folder that is in no layer could import anything: add it to the list, in its place",
      severity: "error",
      from: {},
      to: { path: "^src/", pathNot: folder(LAYERS.flat()) },
    },
    {
      name: "product-without-tests",
      comment: "what ships must not need the tests",
      severity: "error",
      from: { path: "^src/", pathNot: TESTS },
      to: { path: ["^test/", "^bench/", TESTS] },
    },
    {
      name: "no-cycles",
      comment: "files that import each other, be it types, cannot be read, or tested, one at a time",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    {
      name: "resolvable",
      comment: "an import that leads nowhere",
      severity: "error",
      from: { path: "^src/" },
      to: { couldNotResolve: true },
    },
    {
      name: "declared-packages-only",
      comment: "a package must be in dependencies of package.json to be there for users",
      severity: "error",
      from: { path: "^src/", pathNot: TESTS },
      to: { dependencyTypes: ["npm-no-pkg", "npm-unknown", "npm-dev"], dependencyTypesNot: ["type-only"] },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "default", "types"],
    },
  },
};
