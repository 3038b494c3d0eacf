import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { readProgrammed } from "#shared/instance/programmed.ts";
import { until } from "../support/system-lab.ts";
import { Testbed } from "../support/testbed.ts";

const PROGRAM = join(import.meta.dirname, "proxy-process.ts");
const [STAYS, GOES, COMES] = ["2001:db8:100::10", "198.51.100.10", "198.51.100.11"];

let bed: Testbed;
let folder: string;
let proxy: ChildProcess;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cw-"));
  bed = new Testbed({ prefix: "cw-n", targets: 1 });
  proxy = spawn("ip", ["netns", "exec", bed.name("g"), process.execPath, PROGRAM, folder], {
    stdio: ["pipe", "inherit", "ignore"],
  });
});
afterAll(async () => {
  await ended("SIGKILL");
  bed?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Ends the proxy, if it still runs. */
async function ended(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  if (proxy.exitCode !== null || proxy.signalCode !== null) return;
  const exited = once(proxy, "exit");
  proxy.kill(signal);
  proxy.stdin?.end();
  await exited;
}

const vips = (...addresses: readonly string[]): void => void proxy.stdin?.write(`${addresses.join(" ")}\n`);

/** VIPs that the frontend is told of, once they are as expected. */
async function announced(expected: (addresses: readonly string[]) => boolean): Promise<readonly string[]> {
  return await until(
    async () => (await readProgrammed(folder))?.vips.map(({ address }) => address).toSorted() ?? [],
    expected,
    20_000,
    (addresses) => `announced: ${addresses.join()}`,
  );
}

it("a VIP that goes is withdrawn before the kernel drops it, and one that comes is announced after the kernel has it", async () => {
  vips(STAYS, GOES);
  await announced((addresses) => addresses.includes(GOES));
  // A set of our name for something else: whatever is to be changed in the table is refused.
  bed.exec(
    "g",
    `nft 'delete table inet causeway; add table inet causeway; add set inet causeway vips4 { type inet_service; }'`,
  );
  vips(STAYS, COMES);
  expect(await announced((addresses) => !addresses.includes(GOES))).toEqual([STAYS]);
  expect(bed.exec("g", "nft list set inet causeway vips4")).toContain("inet_service");
  bed.exec("g", "nft delete table inet causeway");
  expect(await announced((addresses) => addresses.includes(COMES))).toEqual([COMES, STAYS]);
});

it("a proxy that is stopped has withdrawn, and ends when no packet has come for a second", async () => {
  const began = performance.now();
  await ended("SIGTERM");
  expect(performance.now() - began).toBeGreaterThan(1_000);
  const { state, vips: left } = (await readProgrammed(folder)) ?? expect.fail("nothing is said");
  expect([state, left.map(({ ready }) => ready)]).toEqual(["drained", [false, false]]);
});
