// `npm run schema`: writes docs/sweep.schema.json from the declaration of a sweep.
import { writeFileSync } from "node:fs";
import { sweepSchemaText } from "../src/lab/sweep/matrix.ts";

writeFileSync(new URL("../docs/sweep.schema.json", import.meta.url), sweepSchemaText());
