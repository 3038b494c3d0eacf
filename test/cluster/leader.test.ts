import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { Cluster, HAS_GATEWAY_API, IS_REAL, WITHOUT_GATEWAY_API } from "./support/cluster.ts";
import { runningStatus, targetPod } from "./support/controller.ts";

/* Replicas of the controller as processes: one leads, and who follows takes over with nothing lost and nothing doubled. */

const CAUSEWAY = fileURLToPath(new URL("../../bin/causeway", import.meta.url));
const EXAMPLE = fileURLToPath(new URL("../../examples/lab/minimal/manifests/*.yaml", import.meta.url));
const SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const LEASE = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: { name: "causeway-controller" } };

const slicesSchema = z.looseObject({
  items: z.array(z.looseObject({ endpoints: z.array(z.looseObject({ addresses: z.array(z.string()) })).nullable() })),
});
const leaseSchema = z.looseObject({ spec: z.looseObject({ holderIdentity: z.string(), leaseTransitions: z.int() }) });

describe.skipIf(!HAS_GATEWAY_API || IS_REAL)(`replicas of the controller${WITHOUT_GATEWAY_API}`, () => {
  let folder: string;
  let cluster: Cluster;
  const replicas = new Map<string, ChildProcess>();

  function start(name: string): ChildProcess {
    const runDir = join(folder, name);
    mkdirSync(runDir);
    writeFileSync(join(runDir, "config"), cluster.kubeconfig(name));
    const args = ["controller", "--kubeconfig", join(runDir, "config"), "--run-dir", runDir, "--log-level", "silent"];
    const child = spawn("sh", [CAUSEWAY, ...args], { stdio: ["ignore", "inherit", "inherit"] });
    replicas.set(name, child);
    return child;
  }
  /** The replica that wrote last. */
  const lastWriter = (): string | undefined =>
    cluster.double.access.writes.findLast(({ resource }) => resource !== "leases")?.user;
  const settled = (check: () => Promise<unknown> | unknown, wanted: unknown): Promise<void> =>
    expect.poll(check, { timeout: 40_000, interval: 50 }).toEqual(wanted);
  const endpoints = async (): Promise<string[]> =>
    slicesSchema
      .parse(await cluster.raw("GET", SLICES))
      .items.flatMap(({ endpoints: listed }) => (listed ?? []).flatMap(({ addresses }) => addresses))
      .sort();
  const transitions = async (): Promise<number> => leaseSchema.parse(await cluster.get(LEASE)).spec.leaseTransitions;
  async function ready(at: number): Promise<void> {
    const pod = targetPod(`echo-${at}`, `10.1.0.${at}`);
    await cluster.apply(pod);
    await cluster.patch(pod, runningStatus(), "status");
  }
  /** Pods come while somebody else takes the lead. @returns the addresses of all. */
  async function manyReady(from: number, count: number): Promise<void> {
    for (let at = from; at < from + count; at++) await ready(at);
  }
  const addresses = (count: number): string[] => Array.from({ length: count }, (_, at) => `10.1.0.${at + 1}`).sort();

  beforeAll(async () => {
    if (!HAS_GATEWAY_API || IS_REAL) return;
    folder = mkdtempSync(join(tmpdir(), "cw-lead-"));
    cluster = await Cluster.start();
    for (const file of globSync(EXAMPLE).sort()) await cluster.applyText(readFileSync(file, "utf8"));
  });
  afterAll(async () => {
    if (!HAS_GATEWAY_API || IS_REAL) return;
    for (const child of replicas.values()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
    await cluster.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test("one works, the others wait; killed, ended or frozen in the middle of writes, another goes on", async () => {
    start("a");
    await manyReady(1, 1);
    await settled(endpoints, addresses(1));
    expect(lastWriter()).toBe("a");
    start("b");
    // It renews for longer than it may lead without.
    const renewals = () =>
      cluster.double.access.writes.filter(({ user, resource }) => user === "a" && resource === "leases").length;
    await expect.poll(renewals, { timeout: 60_000 }).toBeGreaterThan(10);
    expect(await transitions()).toBe(0);

    // Killed while pods come.
    const more = manyReady(2, 10);
    replicas.get("a")?.kill("SIGKILL");
    await more;
    await settled(endpoints, addresses(11));
    expect(lastWriter()).toBe("b");

    // Ended in good order.
    start("c");
    await expect
      .poll(() => cluster.double.access.uses().some(({ user, resource }) => user === "c" && resource === "leases"), {
        timeout: 20_000,
      })
      .toBe(true);
    const b = replicas.get("b");
    const ended = b === undefined ? undefined : once(b, "exit");
    b?.kill("SIGTERM");
    await manyReady(12, 2);
    await settled(endpoints, addresses(13));
    expect(lastWriter()).toBe("c");
    expect(await ended).toEqual([0, null]);

    // Frozen for longer than its lease: it must not write when it wakes, and ends.
    start("d");
    const c = replicas.get("c");
    const lost = c === undefined ? undefined : once(c, "exit");
    c?.kill("SIGSTOP");
    await manyReady(14, 2);
    await settled(endpoints, addresses(15));
    expect(lastWriter()).toBe("d");
    await ready(16);
    c?.kill("SIGCONT");
    await settled(endpoints, addresses(16));
    expect(await lost).toEqual([1, null]);
    expect(await transitions()).toBe(3);

    // Each wrote in a time of its own.
    const writers = cluster.double.access.writes
      .filter(({ resource }) => resource !== "leases")
      .map(({ user }) => user);
    const turns = writers.filter(
      (user, at) => user !== "admin" && user !== writers.slice(0, at).findLast((one) => one !== "admin"),
    );
    expect(turns).toEqual(["a", "b", "c", "d"]);
  });
});
