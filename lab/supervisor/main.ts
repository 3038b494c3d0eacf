import { readFileSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { LabError } from "../lab-error.ts";
import { LabFolder, readLabInfo } from "../lab-folder.ts";
import { loadTopology } from "../resolve-topology.ts";
import { serveControl } from "./control-server.ts";
import { Lab } from "./lab.ts";
import { storePodStatus } from "./store-pod-status.ts";

/** Last resort when an orderly stop hangs: the namespaces take everything with them. */
const STOP_LIMIT_MS = 12_000;

const [root, entry] = process.argv.slice(2);
if (root === undefined || entry === undefined) throw new LabError("usage: supervisor FOLDER PROGRAM");
await supervise(new LabFolder(root), entry);

/** Runs inside the lab's namespaces; tells its launcher on standard output how building went. */
async function supervise(folder: LabFolder, program: string): Promise<void> {
  const report = (message: string) => void process.stderr.write(`${new Date().toISOString()} ${message}\n`);
  const closing = new AbortController();
  let lab: Lab | undefined;
  const down = () => {
    setTimeout(() => process.exit(1), STOP_LIMIT_MS);
    Promise.resolve(lab?.stop()).then(
      () => process.exit(0),
      (error: unknown) => {
        report(`stopping: ${String(error)}`);
        process.exit(1);
      },
    );
  };
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, down);
  endWithLauncher(down);
  try {
    const info = await readLabInfo(folder);
    if (info === undefined) throw new LabError(`${folder.info} is missing or damaged`);
    const topology = loadTopology(readFileSync(folder.topology, "utf8"), folder.topology);
    lab = await Lab.build({
      folder,
      info,
      topology,
      entry: program,
      podStatus: storePodStatus(folder, closing.signal),
      report,
    });
    await serveControl(folder.control, lab, down);
    tell({ event: "built" });
  } catch (error) {
    report(error instanceof Error ? (error.stack ?? error.message) : String(error));
    tell({ event: "failed", message: error instanceof Error ? error.message : String(error) });
    process.exit(1);
  }
}

/** Until the launcher says `detach`, the lab ends when the launcher does, however that ends. */
function endWithLauncher(down: () => void): void {
  let detached = false;
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    detached ||= line === "detach";
  });
  lines.on("close", () => {
    if (!detached) down();
  });
}

function tell(message: Readonly<Record<string, string>>): void {
  writeSync(1, `${JSON.stringify(message)}\n`);
}
