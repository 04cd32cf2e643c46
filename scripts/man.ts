// `npm run man`: writes docs/spevisor.1 from the commands' declarations.
import { writeFileSync } from "node:fs";
import { manPage } from "../src/cli/man.ts";
import { buildProgram } from "../src/cli/program.ts";
import type { World } from "../src/cli/world.ts";

const nowhere = { write: () => true };
const world = { stdout: nowhere, stderr: nowhere, env: {} } as unknown as World;
writeFileSync(new URL("../docs/spevisor.1", import.meta.url), manPage(buildProgram(world)));
