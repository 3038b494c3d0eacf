import { execFileSync, spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { z } from "zod";
import { CONTROLLER_NAME } from "#shared/api/names.ts";
import { DEPLOY, nameOf, resolve } from "./manifests.ts";

/*
 * deploy/ as it is written: what it names is there, what it runs exists, and nobody has more rights than is said.
 */

const INSTALLATIONS = [
  ".",
  "overlays/minimal",
  "overlays/high-availability",
  "overlays/edge",
  "overlays/prometheus",
  "overlays/discovery",
  "overlays/topics",
];
const HAS_KUBECTL = spawnSync("kubectl", ["version", "--client"]).status === 0;
const WITHOUT_KUBECTL = HAS_KUBECTL ? "" : " (skipped: no kubectl)";

const containerSchema = z.looseObject({
  name: z.string(),
  image: z.string(),
  args: z.array(z.string()),
  ports: z.array(z.looseObject({ name: z.string(), containerPort: z.int() })),
  securityContext: z.strictObject({
    allowPrivilegeEscalation: z.literal(false),
    readOnlyRootFilesystem: z.literal(true),
    runAsUser: z.literal(0).optional(),
    capabilities: z.strictObject({ drop: z.tuple([z.literal("ALL")]), add: z.array(z.string()).default([]) }),
  }),
  volumeMounts: z.array(z.looseObject({ name: z.string(), readOnly: z.boolean().default(false) })),
});
const workloadSchema = z.looseObject({
  spec: z.looseObject({
    selector: z.looseObject({ matchLabels: z.record(z.string(), z.string()) }),
    template: z.looseObject({
      metadata: z.looseObject({ labels: z.record(z.string(), z.string()) }),
      spec: z.looseObject({
        serviceAccountName: z.string(),
        securityContext: z.looseObject({
          runAsNonRoot: z.boolean().optional(),
          seccompProfile: z.object({ type: z.literal("RuntimeDefault") }),
        }),
        containers: z.array(containerSchema).length(1),
        volumes: z.array(
          z.looseObject({ name: z.string(), hostPath: z.object({ path: z.string() }).loose().optional() }),
        ),
        hostNetwork: z.undefined().optional(),
        hostPID: z.undefined().optional(),
        hostIPC: z.undefined().optional(),
      }),
    }),
  }),
});

const { resources } = resolve(DEPLOY);
const workload = (kind: string, name: string) => {
  const found = resources.find((manifest) => manifest.kind === kind && manifest.metadata.name === name);
  const { spec } = workloadSchema.parse(found);
  const [container] = spec.template.spec.containers;
  if (container === undefined) throw new Error(`${name} has no container`);
  return { spec, pod: spec.template.spec, container };
};
const controller = workload("Deployment", "causeway-controller");
const node = workload("DaemonSet", "causeway-node");

test.each(INSTALLATIONS)(
  "%s: every path leads somewhere, nothing comes twice, patches meet what they change",
  (folder) => {
    const resolved = resolve(join(DEPLOY, folder));
    const names = resolved.resources.map(nameOf);
    expect(new Set(names).size).toBe(names.length);
    expect(names.length).toBeGreaterThan(15);
    expect(resolved.patches.map(nameOf).filter((name) => !names.includes(name))).toEqual([]);
  },
);

test("every file belongs to an installation", () => {
  const used = new Set(INSTALLATIONS.flatMap((folder) => resolve(join(DEPLOY, folder)).files));
  const files = globSync("{base,components,overlays,crds}/**/*.yaml", { cwd: DEPLOY });
  expect(files.length).toBeGreaterThan(20);
  expect(files.map((file) => join(DEPLOY, file)).filter((file) => !used.has(file))).toEqual([]);
});

describe.skipIf(!HAS_KUBECTL)(`kubectl kustomize${WITHOUT_KUBECTL}`, () => {
  const built = (folder: string) =>
    parseAllDocuments(
      execFileSync("kubectl", ["kustomize", join(DEPLOY, folder)], { encoding: "utf8", stdio: "pipe" }),
    ).map((document) =>
      z.looseObject({ kind: z.string(), metadata: z.looseObject({ name: z.string() }) }).parse(document.toJS()),
    );
  const replicas = (folder: string) =>
    z
      .looseObject({ spec: z.looseObject({ replicas: z.int() }) })
      .parse(built(folder).find(({ kind }) => kind === "Deployment")).spec.replicas;

  test("the same objects come out as are named, and overlays change them", () => {
    const named = (folder: string): string[] =>
      resolve(join(DEPLOY, folder))
        .resources.map(({ kind, metadata }) => `${kind} ${metadata.name}`)
        .sort();
    for (const folder of INSTALLATIONS) {
      expect(
        built(folder)
          .map(({ kind, metadata }) => `${kind} ${metadata.name}`)
          .sort(),
      ).toEqual(named(folder));
    }
    expect([replicas("."), replicas("overlays/high-availability"), replicas("overlays/edge")]).toEqual([1, 2, 1]);
    expect(() => built("overlays/nothing")).toThrow();
  });
});

test("rights: the controller runs as nobody with none, the node agent as root with three, and neither on the host's network", () => {
  expect(controller.container.securityContext.capabilities.add).toEqual([]);
  expect(controller.pod.securityContext.runAsNonRoot).toBe(true);
  expect(controller.pod.volumes.filter(({ hostPath }) => hostPath !== undefined)).toEqual([]);
  expect(node.container.securityContext.capabilities.add).toEqual(["SYS_ADMIN", "NET_ADMIN", "NET_RAW"]);
  const paths = new Map(node.pod.volumes.map(({ name, hostPath }) => [name, hostPath?.path]));
  const writable = node.container.volumeMounts.filter(({ readOnly }) => !readOnly).map(({ name }) => paths.get(name));
  expect(writable).toEqual(["/run/causeway-node", "/proc/sys/net"]);
});

test("commands, ports, labels and accounts fit together", () => {
  for (const { spec, pod, container } of [controller, node]) {
    expect(spec.template.metadata.labels).toMatchObject(spec.selector.matchLabels);
    expect(resources.map(nameOf)).toContain(`ServiceAccount causeway-system/${pod.serviceAccountName}`);
    const [command = "", ...options] = container.args;
    const help = execFileSync(join(DEPLOY, "../bin/causeway"), [command, "--help"], { encoding: "utf8" });
    for (const option of options) expect(help).toContain(`${option.split("=")[0]} `);
    const [port] = container.ports;
    expect(container.args).toContain(`--listen=${port?.containerPort}`);
  }
  expect(controller.container.image).toBe(node.container.image);
  const { version } = z
    .looseObject({ version: z.string() })
    .parse(parse(readFileSync(join(DEPLOY, "../package.json"), "utf8")));
  expect(node.container.image).toBe(`causeway:${version}`);
  const gatewayClass = resources.find(({ kind }) => kind === "GatewayClass");
  expect(gatewayClass).toMatchObject({ spec: { controllerName: CONTROLLER_NAME } });
});

test("roles that are bound exist; so do metrics and labels that alerts name", () => {
  const bindings = resources.filter(({ kind }) => kind.endsWith("Binding"));
  const refSchema = z.looseObject({ roleRef: z.looseObject({ kind: z.string(), name: z.string() }) });
  for (const binding of bindings) {
    const { kind, name } = refSchema.parse(binding).roleRef;
    expect(resources.some((one) => one.kind === kind && one.metadata.name === name)).toBe(true);
  }
  expect(bindings.length).toBeGreaterThanOrEqual(3);
  const root = join(DEPLOY, "..");
  const sources = globSync("{controller,frontend,proxy,node}/metrics.ts", { cwd: root });
  const exported = sources.map((file) => readFileSync(join(root, file), "utf8")).join("\n");
  const alerts = readFileSync(join(DEPLOY, "components/prometheus/alerts.yaml"), "utf8");
  const metrics = [...new Set(alerts.match(/causeway_[a-z_]+/g))];
  expect(metrics.length).toBeGreaterThan(8);
  expect(metrics.filter((name) => !exported.includes(`"${name}"`))).toEqual([]);
  // What Prometheus adds by itself, and what it renames because it has one of that name.
  const scraped = ["pod", "namespace"];
  const labels = [...alerts.matchAll(/\$labels\.([a-z_]+)/g)].map(([, label = ""]) => label.replace(/^exported_/, ""));
  expect(labels.length).toBeGreaterThan(10);
  expect(labels.filter((label) => !scraped.includes(label) && !new RegExp(`\\b${label}\\b`).test(exported))).toEqual(
    [],
  );
});
