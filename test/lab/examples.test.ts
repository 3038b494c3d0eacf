import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { eventually, finished, LabCommand, machine } from "./bare-lab.ts";

const CAUSEWAY = fileURLToPath(new URL("../../bin/causeway", import.meta.url));
const LABS = new URL("../../examples/lab/", import.meta.url);
/** Those with a Gateway and an echo service behind it: the others have nobody to ask. */
const EXAMPLES = readdirSync(LABS)
  .filter((name) => name !== "README.md")
  .filter((name) => {
    const topology = readFileSync(new URL(`${name}/topology.yaml`, LABS), "utf8");
    return ["role: gateway", "echo: {"].every((text) => topology.includes(text));
  });

const command = new LabCommand();
afterAll(() => command.remove());

function demo(...args: string[]) {
  return spawn(CAUSEWAY, ["lab", "demo", ...args], { env: command.env, stdio: ["ignore", "pipe", "pipe"] });
}

describe("the demo", () => {
  it.each(EXAMPLES)("loses nothing and hits every target and instance: %s", async (topology) => {
    const before = machine();
    const { code, stdout, stderr } = await finished(demo("--once", "--topology", topology));
    expect(stderr).toBe("");
    expect(stdout).toContain("nothing was lost; every target and instance was hit");
    expect(code).toBe(0);
    expect(machine()).toEqual(before);
  });

  it("tears everything down on Ctrl-C", async () => {
    const before = machine();
    const child = demo("--topology", "minimal");
    let seen = "";
    child.stdout.on("data", (chunk: Buffer) => {
      seen += chunk.toString();
    });
    const end = finished(child);
    await eventually(() => expect(seen).toMatch(/VIPs routed; answered/), 60_000);
    child.kill("SIGINT");
    expect(await end).toMatchObject({ code: 0, stdout: expect.stringContaining("the lab is down") });
    expect(machine()).toEqual(before);
  });
});
