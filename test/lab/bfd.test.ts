import { spawn } from "node:child_process";
import { appendFileSync, cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";
import { eventually, finished, LabCommand } from "./bare-lab.ts";

const MINIMAL = fileURLToPath(new URL("../../examples/lab/minimal", import.meta.url));
const CAUSEWAY = fileURLToPath(new URL("../../bin/causeway", import.meta.url));
const command = new LabCommand();
afterAll(() => command.remove());

function lab(...args: string[]) {
  return finished(spawn(CAUSEWAY, ["lab", ...args], { env: command.env, stdio: ["ignore", "pipe", "pipe"] }));
}

it("a topology with BFD and peers that ask for it have it on both sides, through a gateway's own ruleset", async () => {
  const folder = join(command.folder, "watched");
  cpSync(MINIMAL, folder, { recursive: true });
  const topology = join(folder, "topology.yaml");
  const text = readFileSync(topology, "utf8");
  writeFileSync(topology, text.replace("bgp:\n", "bgp:\n  bfd: { intervalMs: 100, multiplier: 3 }\n"));
  appendFileSync(join(folder, "manifests/routers.yaml"), "  bfd: { enabled: true, intervalMs: 100, multiplier: 3 }\n");
  const up = await lab("up", "--topology", topology);
  expect(up).toMatchObject({ code: 0, stderr: "" });
  await eventually(async () => {
    const status = JSON.parse((await lab("status", "--json")).stdout);
    expect(status.converged).toBe(true);
  }, 60_000);
  const sessions = (await lab("exec", "router", "--", "birdc", "show", "bfd", "sessions")).stdout;
  expect(sessions).toMatch(/192\.0\.2\.\d+\s+ext0\s+Up\s.*0\.100\s+0\.300/);
  expect((await lab("exec", "router", "--", "birdc", "show", "protocols")).stdout).toMatch(
    /gateway_a_ipv4.*Established/,
  );
  expect((await lab("down")).code).toBe(0);
});
