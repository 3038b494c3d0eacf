import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { brokenManifests } from "#shared/store/broken-manifests.fixture.ts";
import { at, type Background, SystemLab, until } from "../support/system-lab.ts";

const GATEWAYS = ["gateway-a", "gateway-b"];
const BATCH = 95;
const READERS = [
  ["cluster", "controller"],
  ["gateway-a", "frontend"],
] as const;

const findingSchema = z.looseObject({
  severity: z.string(),
  object: z.string().optional(),
  field: z.string().optional(),
  message: z.string(),
});
const validationSchema = z.looseObject({ objects: z.int(), findings: z.array(findingSchema) });
const logSchema = z.looseObject({
  msg: z.string(),
  problem: z.union([z.string(), findingSchema.partial()]).optional(),
});

describe("a running lab", () => {
  let lab: SystemLab;
  let running: readonly Background[];
  beforeAll(async () => {
    lab = await SystemLab.start("broken", { example: "default" });
    const more = ["--rate", "100", "--timeout", "3000"];
    running = [
      lab.background({ to: at("198.51.100.1", 8080), protocol: "udp", more }),
      lab.background({ to: at("2001:db8:100::1", 8080), protocol: "tcp", more }),
    ];
    await lab.proxies(GATEWAYS, ({ services }) => services.reduce((sum, { packets }) => sum + packets, 0) > 100);
  });
  afterAll(() => lab?.close());

  async function validate(): Promise<{ code: number | null; validation: z.infer<typeof validationSchema> }> {
    const { code, stdout } = await lab.run("validate", "--json", "-f", lab.manifest("."));
    return { code, validation: validationSchema.parse(JSON.parse(stdout)) };
  }

  /** What a process has said of manifests so far. Each speaks of the kinds that it reads; BgpPeers are the frontend's. */
  function said(node: string, name: string): z.infer<typeof logSchema>[] {
    return lab
      .log(node, name)
      .split("\n")
      .slice(0, -1)
      .flatMap((line) => (line.startsWith("{") ? [logSchema.parse(JSON.parse(line))] : []));
  }

  /** Problems that the process has told of, and not yet that they are gone. */
  function open(node: string, name: string): string[] {
    const texts = new Set<string>();
    for (const { msg, problem } of said(node, name)) {
      if (typeof problem === "object") texts.add(msg);
      else if (problem !== undefined) texts.delete(problem);
    }
    return [...texts];
  }

  /**
   * Promise: each of 200 and more broken manifests is refused, by `causeway validate` and by the running system alike,
   * with a message that names the object and the field; everything else goes on as if they were not there; and when they
   * are gone, so is every word of them.
   */
  it("refuses every broken manifest by object and field, and goes on", async () => {
    const broken = brokenManifests("default");
    expect(broken.length).toBeGreaterThanOrEqual(200);
    const clean = await validate();
    expect(clean.code).toBe(0);
    const generations = async (): Promise<unknown[]> =>
      await Promise.all(GATEWAYS.map(async (node) => (await lab.proxy(node))?.generation));
    const generation = await generations();
    const folder = lab.manifest("broken");
    const key = ({ object = "", field = "" }: { object?: string | undefined; field?: string | undefined }): string =>
      `${object} ${field}`;

    for (let start = 0; start < broken.length; start += BATCH) {
      const batch = broken.slice(start, start + BATCH);
      // Those of `causeway discovery` and `causeway topics`, which do not run here, are spoken of by `causeway validate` alone.
      const read = batch.filter(({ object }) => !/^(DiscoveryDomain|ConfigMap) /.test(object));
      mkdirSync(folder, { recursive: true });
      for (const { name, text } of batch) writeFileSync(join(folder, `${name}.yaml`), text);
      const { code, validation } = await validate();
      expect(code).toBe(1);
      expect(validation.objects, "the good ones are still there, and no other").toBe(clean.validation.objects);
      const found = new Set(validation.findings.filter(({ severity }) => severity === "error").map(key));
      for (const { object, field, fault } of batch) expect(found, fault).toContain(key({ object, field }));
      await until(
        () =>
          new Set(
            READERS.flatMap(([node, name]) => said(node, name)).flatMap(({ problem }) =>
              typeof problem === "object" ? [key(problem)] : [],
            ),
          ),
        (told) => read.every((manifest) => told.has(key(manifest))),
        15_000,
        (told) =>
          `no process spoke of ${read
            .filter((one) => !told.has(key(one)))
            .map(key)
            .join(", ")}`,
        100,
      );
      rmSync(folder, { recursive: true });
    }

    expect((await validate()).validation.findings).toEqual(clean.validation.findings);
    await until(
      () => READERS.flatMap(([node, name]) => open(node, name)),
      (texts) => texts.length === 0,
      15_000,
      (texts) => `problems that are not gone: ${texts.slice(0, 5).join("\n")}`,
      100,
    );
    await lab.converged();
    expect(await generations()).toEqual(generation);
    for (const report of await Promise.all(running.map((background) => background.stop()))) {
      expect(report.answered).toBeGreaterThan(50);
      expect(report).toMatchObject({ lost: 0 });
    }
  });
});
