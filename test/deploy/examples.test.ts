import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { globSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { parseAllDocuments } from "yaml";
import { z } from "zod";
import { Cluster, HAS_GATEWAY_API, type Manifest, WITHOUT_GATEWAY_API } from "../cluster/support/cluster.ts";
import { type ControllerUnderTest, runningStatus, startController } from "../cluster/support/controller.ts";

/*
 * examples/kubernetes: what each README says is done, as it is written there, and gives what it says.
 */

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const EXAMPLES = "examples/kubernetes";
const FOLDERS = readdirSync(join(ROOT, EXAMPLES)).filter((name) => name !== "README.md");

/** The targets that each of a README's reports names, and what part of the connections of the last target is expected. */
const SEEN: Readonly<Record<string, { readonly reports: readonly (readonly string[])[]; readonly last?: number }>> = {
  "bgp-md5-bfd": { reports: [["target-1", "target-2"]] },
  canary: { reports: [["v1-1", "v1-2", "v2-1"]], last: 0.1 },
  "dual-stack": {
    reports: [
      ["target-1", "target-2"],
      ["target-1", "target-2"],
    ],
  },
  "flow-routes": { reports: [["web-1"], ["partner-1"], ["canary-1"]] },
  "ordinary-service": { reports: [["pod-1", "pod-2", "target-1", "target-2"]], last: 0.25 },
  "tcp-service": { reports: [["target-1", "target-2"]], last: 0.5 },
  tenants: { reports: [["red-target"], ["blue-target"]] },
  "udp-and-tcp": {
    reports: [
      ["target-1", "target-2"],
      ["target-1", "target-2"],
    ],
  },
};

/** The blocks of shell commands of an example's README: for a cluster, and for a lab. */
function commandsOf(folder: string): readonly string[] {
  const text = readFileSync(join(ROOT, EXAMPLES, folder, "README.md"), "utf8");
  return [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = ""]) => block);
}

const manifestSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional() }),
});
function manifestsOf(folder: string): readonly Manifest[] {
  return globSync(`${EXAMPLES}/${folder}/manifests/*.yaml`, { cwd: ROOT })
    .flatMap((file) => parseAllDocuments(readFileSync(join(ROOT, file), "utf8")))
    .map((document) => manifestSchema.parse(document.toJS()))
    .sort((a, b) => Number(b.kind === "Namespace") - Number(a.kind === "Namespace"));
}

const annotatedSchema = z.looseObject({ annotations: z.record(z.string(), z.string()).default({}) });
/** The service network that a Service names; the targets of others are Kubernetes' own business. */
const networkOf = ({ metadata }: Manifest): string | undefined =>
  annotatedSchema.parse(metadata).annotations["k8s.v1.cni.cncf.io/service-network"];

test("every example is one of those here, and in the list", () => {
  expect(Object.keys(SEEN).sort()).toEqual(FOLDERS.sort());
  const list = readFileSync(join(ROOT, EXAMPLES, "README.md"), "utf8");
  for (const folder of FOLDERS) expect(list).toContain(`[${folder}](${folder})`);
});

const findingsSchema = z.looseObject({
  findings: z.array(z.looseObject({ severity: z.string(), message: z.string() })),
});
test.each(FOLDERS)("%s: `causeway validate` finds nothing but kinds that are others'", (folder) => {
  const command = ["validate", "--json", "-f", join(EXAMPLES, folder, "manifests")];
  const text = execFileSync(join(ROOT, "bin/causeway"), command, { cwd: ROOT, encoding: "utf8" });
  const { findings } = findingsSchema.parse(JSON.parse(text));
  const others = /(Deployment|NetworkAttachmentDefinition) is not read by Causeway/;
  expect(findings.filter(({ message }) => !others.test(message))).toEqual([]);
  expect(findings.length).toBeGreaterThan(2);
});

describe.concurrent("in a lab", () => {
  const home = mkdtempSync(join(tmpdir(), "cw-examples-"));
  afterAll(() => rmSync(home, { recursive: true, force: true }));

  test.each(FOLDERS)("%s: the README's commands give what it says", async (folder) => {
    const [, script = ""] = commandsOf(folder);
    expect(script).toContain(`causeway lab run --topology ${EXAMPLES}/${folder} -- `);
    const env = {
      ...process.env,
      PATH: `${join(ROOT, "bin")}:${process.env.PATH}`,
      CAUSEWAY_LAB: folder,
      XDG_RUNTIME_DIR: home,
      XDG_STATE_HOME: home,
    };
    const child = spawn("sh", ["-ec", script], { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk: string) => {
        output += chunk;
      });
    }
    const [code] = await once(child, "close");
    expect({ code, output }).toMatchObject({ code: 0 });
    const reports = output.split(/^(?=(?:tcp|udp) )/m).filter((part) => /^(tcp|udp) /.test(part));
    const targets = reports.map((report) => [...report.matchAll(/^ {2}(\S+) +(\d+) +[\d.]+ %$/gm)]);
    const { reports: expected, last } = SEEN[folder] ?? { reports: [] };
    expect(targets.map((lines) => lines.map(([, name]) => name).sort())).toEqual(expected);
    for (const report of reports) expect(report).toContain("lost 0");
    if (last !== undefined) {
      const counts = (targets[0] ?? [])
        .toSorted(([, a = ""], [, b = ""]) => (a < b ? -1 : 1))
        .map(([, , n]) => Number(n));
      const share = (counts.at(-1) ?? 0) / counts.reduce((sum, n) => sum + n, 0);
      expect(Math.abs(share - last)).toBeLessThan(last / 2);
    }
    if (folder === "bgp-md5-bfd") expect(output.match(/^192\.0\.2\.\d+ +ext0 +Up /gm)).toHaveLength(2);
  });
});

const statusSchema = z.looseObject({
  status: z
    .looseObject({
      addresses: z.array(z.looseObject({ value: z.string() })).default([]),
      conditions: z.array(z.looseObject({ type: z.string(), status: z.string() })).default([]),
      parents: z
        .array(z.looseObject({ conditions: z.array(z.looseObject({ type: z.string(), status: z.string() })) }))
        .default([]),
    })
    .prefault({}),
});
const sliceListSchema = z.looseObject({
  items: z.array(z.looseObject({ endpoints: z.array(z.looseObject({ addresses: z.array(z.string()) })).nullish() })),
});
const workloadSchema = z.looseObject({
  spec: z.looseObject({
    replicas: z.int(),
    template: z.looseObject({ metadata: z.looseObject({ labels: z.record(z.string(), z.string()) }) }),
  }),
});

/** As Multus has it, without what is not looked at here. */
const ATTACHMENTS = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "network-attachment-definitions.k8s.cni.cncf.io" },
  spec: {
    group: "k8s.cni.cncf.io",
    scope: "Namespaced",
    names: {
      plural: "network-attachment-definitions",
      singular: "network-attachment-definition",
      kind: "NetworkAttachmentDefinition",
    },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: "object",
            properties: { spec: { type: "object", properties: { config: { type: "string" } } } },
          },
        },
      },
    ],
  },
};

describe.skipIf(!HAS_GATEWAY_API)(`on the Kubernetes API${WITHOUT_GATEWAY_API}`, () => {
  let cluster: Cluster;
  let controller: ControllerUnderTest;

  beforeAll(async () => {
    cluster = await Cluster.start();
    await cluster.apply(ATTACHMENTS);
    controller = await startController(cluster, undefined, { instances: { image: "causeway:test" } });
  });
  afterAll(async () => {
    await controller?.stop();
    await cluster?.close();
  });

  const isTrue = (conditions: readonly { type: string; status: string }[], type: string): boolean =>
    conditions.some((condition) => condition.type === type && condition.status === "True");
  const until = (check: () => Promise<void>): Promise<void> => vi.waitFor(check, { timeout: 15_000, interval: 50 });

  test.each(FOLDERS)(
    "%s: is admitted, accepted, resolved, given VIPs, instances and targets; and goes",
    async (folder) => {
      const [kubectl = ""] = commandsOf(folder);
      const applied = /^kubectl apply -f (\S+)$/m.exec(kubectl)?.[1] ?? "";
      expect(statSync(join(ROOT, applied)).isDirectory()).toBe(true);
      expect(applied).toBe(`${EXAMPLES}/${folder}/manifests`);
      const manifests = manifestsOf(folder);
      const pods: Manifest[] = [];
      for (const manifest of manifests) await cluster.apply(manifest);
      for (const manifest of manifests.filter(({ kind }) => kind === "Deployment")) {
        const { replicas, template } = workloadSchema.parse(manifest).spec;
        const { namespace = "default", name } = manifest.metadata;
        for (let n = 1; n <= replicas; n++) {
          const attached = [
            { name: `${namespace}/service-net`, interface: "svc0", ips: [`10.1.0.${pods.length + 1}`] },
          ];
          pods.push({
            apiVersion: "v1",
            kind: "Pod",
            metadata: {
              name: `${name}-${n}`,
              namespace,
              labels: template.metadata.labels,
              annotations: { "k8s.v1.cni.cncf.io/network-status": JSON.stringify(attached) },
            },
            spec: { nodeName: "worker", containers: [{ name: "echo", image: "i" }] },
          });
        }
      }
      for (const pod of pods) {
        await cluster.apply(pod);
        await cluster.patch(pod, runningStatus(), "status");
      }
      for (const manifest of manifests) {
        const { kind, metadata } = manifest;
        if (kind === "Gateway") {
          await until(async () => {
            const { status } = statusSchema.parse(await cluster.get(manifest));
            expect(isTrue(status.conditions, "Accepted")).toBe(true);
            expect(status.addresses.length).toBe(folder === "dual-stack" ? 2 : 1);
            const instances = { ...manifest, apiVersion: "apps/v1", kind: "Deployment" };
            const name = `${metadata.name}-causeway`;
            expect(await cluster.get({ ...instances, metadata: { ...metadata, name } })).toBeDefined();
          });
        } else if (kind.endsWith("Route")) {
          await until(async () => {
            const { parents } = statusSchema.parse(await cluster.get(manifest)).status;
            expect(parents).toHaveLength(1);
            for (const type of ["Accepted", "ResolvedRefs"])
              expect(isTrue(parents[0]?.conditions ?? [], type)).toBe(true);
          });
        } else if (kind === "Service" && networkOf(manifest) !== undefined) {
          const { namespace = "default", name } = metadata;
          const query = new URLSearchParams({ labelSelector: `kubernetes.io/service-name=${name}` });
          await until(async () => {
            const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices?${query}`;
            const { items } = sliceListSchema.parse(await cluster.raw("GET", path));
            const wanted = pods.filter(
              (pod) => (pod.metadata.namespace ?? "") === namespace && pod.metadata.name.startsWith(`${name}-`),
            );
            expect(items.flatMap(({ endpoints }) => endpoints ?? []).length).toBe(wanted.length);
            expect(wanted.length).toBeGreaterThan(0);
          });
        }
      }
      const leave = [...manifests, ...pods].filter(({ kind }) => kind !== "Namespace" && kind !== "GatewayClass");
      for (const manifest of leave.reverse()) await cluster.delete(manifest);
      expect(controller.warnings).toEqual([]);
    },
  );
});
