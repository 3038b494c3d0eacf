import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LabError } from "./lab-error.ts";

const EXAMPLES = fileURLToPath(new URL("../examples/lab", import.meta.url));

/** File of a topology given as a file, as a folder that holds `topology.yaml`, or by the name of an example. */
export function findTopology(given: string): string {
  for (const path of [given, join(EXAMPLES, given)]) {
    if (!existsSync(path)) continue;
    const file = statSync(path).isDirectory() ? join(path, "topology.yaml") : path;
    if (existsSync(file)) return file;
  }
  const names = readdirSync(EXAMPLES).filter((entry) => existsSync(join(EXAMPLES, entry, "topology.yaml")));
  throw new LabError(`no topology ${given}: give a file, a folder with a topology.yaml, or one of ${names.join(", ")}`);
}
