import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { type MachineState, machineState } from "../support/machine-state.ts";
import { at, SystemLab, until } from "../support/system-lab.ts";

const infoSchema = z.looseObject({ owner: z.looseObject({ pid: z.int() }) });

describe("a whole lab that has carried traffic leaves the machine as it was", () => {
  let lab: SystemLab | undefined;
  afterEach(() => lab?.close());

  async function startedAndUsed(): Promise<SystemLab> {
    lab = await SystemLab.start("traces", { example: "vxlan" });
    for (const protocol of ["tcp", "udp"] as const) {
      const more = ["--connections", "50"];
      expect(await lab.traffic({ to: at("198.51.100.1", 8080), protocol, more })).toMatchObject({ lost: 0 });
    }
    // Namespaces, links and daemons are there, but none of them out here.
    expect(await lab.exec("router", "ip", "netns", "list")).toContain("gateway-a");
    return lab;
  }

  /** Waits until nothing is left, beside the lab's own folder. */
  async function expectAsBefore(before: MachineState, used: SystemLab): Promise<void> {
    await until(
      () => extra(before, machineState()),
      (left) => left.length === 0,
      10_000,
      (left) => `left behind:\n${left.join("\n")}`,
      100,
    );
    expect([used.home, used.temporary].flatMap((folder) => readdirSync(folder))).toEqual([]);
  }

  function extra(before: MachineState, now: MachineState): string[] {
    return Object.entries(now).flatMap(([part, list]) => {
      const old = [...(before[part] ?? [])];
      const fresh = list.filter((entry) => {
        const index = old.indexOf(entry);
        if (index >= 0) old.splice(index, 1);
        return index < 0;
      });
      // What a lab takes away counts as well; but processes and files of others may end.
      const gone = ["processes", "namespaces", "files"].includes(part) ? [] : old;
      return [...fresh.map((entry) => `${part}: ${entry}`), ...gone.map((entry) => `${part} gone: ${entry}`)];
    });
  }

  /** Promise: `causeway lab down` takes every process, mount, namespace, link, rule, table and file along. */
  it("when it is taken down", async () => {
    const before = machineState();
    const used = await startedAndUsed();
    // Negative control: the look sees a lab that runs.
    const during = extra(before, machineState());
    for (const part of ["processes", "namespaces"]) expect(during.some((line) => line.startsWith(part))).toBe(true);
    expect(during.filter((line) => !/^(processes|namespaces): /.test(line))).toEqual([]);
    await used.lab("down");
    await expectAsBefore(before, used);
  });

  /** Promise: even `kill -9` of what holds the lab leaves nothing but its own folder. */
  it("when it is killed", async () => {
    const before = machineState();
    const used = await startedAndUsed();
    const { owner } = infoSchema.parse(JSON.parse(readFileSync(join(used.folder, "lab.json"), "utf8")));
    process.kill(owner.pid, "SIGKILL");
    await expectAsBefore(before, used);
  });
});
